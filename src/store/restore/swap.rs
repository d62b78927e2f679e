//! Puts restored data in the place of the present data, in steps of one rename each. Killed between any two, the next
//! start finds what is left to do and does it: from the moment when the restored data are ready, they are what counts.
//!
//! Nothing that was there is ever deleted: it is moved aside.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::FILE_NAME;
use crate::store::files::{self, sync_folder};
use crate::vault::VAULT_FILE_NAME;

/// Restored data while they are prepared. What is in it is of no use to anybody else.
pub(super) const STAGE_NAME: &str = "restore.part";
/// Restored data that are complete and only have to be moved.
const READY_NAME: &str = "restore.ready";
/// The restored data, within either.
pub(super) const DATA_NAME: &str = "data";
/// Where to put what is there.
const PLAN_NAME: &str = "plan.json";
/// Says that what was there is out of the way.
const CLEARED_NAME: &str = "cleared";

#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    /// The folder, in the data folder, for what was there.
    aside: PathBuf,
}

/// True where restored data wait to be moved in.
pub(super) fn is_pending(dir: &Path) -> bool {
    dir.join(READY_NAME).exists()
}

/// Declares what lies in the stage to be the data from now on. Until this returns, the old data are.
pub(super) fn commit(dir: &Path, aside: &Path) -> io::Result<()> {
    let stage = dir.join(STAGE_NAME);
    let plan = serde_json::to_vec(&Plan { aside: aside.to_owned() })?;
    let mut file = File::create_new(stage.join(PLAN_NAME))?;
    file.write_all(&plan)?;
    file.sync_all()?;
    sync_folder(&stage)?;
    fs::rename(&stage, dir.join(READY_NAME))?;
    sync_folder(dir)
}

/// Takes the next step; false where none is left.
pub(super) fn step(dir: &Path) -> io::Result<bool> {
    let ready = dir.join(READY_NAME);
    if !ready.exists() {
        return Ok(false);
    }
    let plan: Plan = serde_json::from_slice(&fs::read(ready.join(PLAN_NAME))?)?;
    let aside = dir.join(plan.aside);
    let cleared = ready.join(CLEARED_NAME);
    if !cleared.exists() {
        return match first_of_ours(dir)? {
            Some(name) => {
                DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
                move_into(dir, &name, &aside)
            }
            None => {
                File::create_new(&cleared)?.sync_all()?;
                sync_folder(&ready)
            }
        }
        .map(|()| true);
    }
    let data = ready.join(DATA_NAME);
    if let Some(name) = first_of_ours(&data)? {
        move_into(&data, &name, dir)?;
        return Ok(true);
    }
    // Renamed first: were the rest removed piece by piece, a half of it would be taken for a plan.
    let done = dir.join(STAGE_NAME);
    remove(&done)?;
    fs::rename(&ready, &done)?;
    sync_folder(dir)?;
    remove(&done)?;
    Ok(true)
}

/// Removes a folder that may not be there.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn move_into(from: &Path, name: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from.join(name), to.join(name))?;
    sync_folder(to)?;
    sync_folder(from)
}

/// What a restore replaces: the database with its log, the vault, the files. The database comes last.
fn first_of_ours(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut ours = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_log = text.strip_prefix(FILE_NAME).is_some_and(|rest| rest.starts_with(".wal"));
        if is_log || text == VAULT_FILE_NAME || text == files::FOLDER_NAME || text == FILE_NAME {
            ours.push((text == FILE_NAME, PathBuf::from(&name)));
        }
    }
    ours.sort_unstable();
    Ok(ours.into_iter().next().map(|(_, name)| name))
}
