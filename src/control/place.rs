//! Where the socket lies: in the data folder, or where the folder's path is too long for a socket, in a folder of
//! its own that a file in the data folder points to. Only the owner can reach either.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::clock::Entropy;

/// The socket's name.
const SOCKET_NAME: &str = "control.sock";

/// The name under which it is made, before it takes the place of the last one.
const NEW_SOCKET_NAME: &str = "control.sock.new";

/// The file that says where the socket lies instead.
const POINTER_NAME: &str = "control.path";

/// A socket's path has at most so many bytes: the system's 108 with the zero at the end.
const PATH_BYTES_MAX: usize = 107;

/// The bound socket; its files go when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// The folder of its own and the file that points to it.
    elsewhere: Option<(PathBuf, PathBuf)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is replaced at the next start.
        let _ = fs::remove_file(&self.path);
        if let Some((folder, pointer)) = &self.elsewhere {
            let _ = fs::remove_file(pointer);
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Binds the socket of the data folder `dir`, in the place of one that a killed process left. The caller holds the
/// folder's lock, so that no living process listens there.
pub(super) fn bind(dir: &Path, entropy: &Entropy) -> io::Result<(UnixListener, Place)> {
    let dir = dir.canonicalize()?;
    remove_left_over(&dir);
    if dir.join(NEW_SOCKET_NAME).as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
        let listener = bind_in(&dir)?;
        return Ok((listener, Place { path: dir.join(SOCKET_NAME), elsewhere: None }));
    }
    let folder = runtime_folder().join(format!("eider-{}", entropy.token(9)));
    // Fails where the name is taken, so that nobody can have made it for us.
    DirBuilder::new().mode(0o700).create(&folder)?;
    let listener = bind_in(&folder)?;
    let pointer = dir.join(POINTER_NAME);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&pointer)?;
    file.write_all(folder.join(SOCKET_NAME).as_os_str().as_bytes())?;
    Ok((listener, Place { path: folder.join(SOCKET_NAME), elsewhere: Some((folder, pointer)) }))
}

/// Binds under another name first: at its own name the socket never has another mode than its own.
fn bind_in(folder: &Path) -> io::Result<UnixListener> {
    let new = folder.join(NEW_SOCKET_NAME);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, folder.join(SOCKET_NAME))?;
    Ok(listener)
}

/// The path of the socket that may be listening for the data folder `dir`.
pub(super) fn find(dir: &Path) -> PathBuf {
    let near = dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).join(SOCKET_NAME);
    pointed(dir).unwrap_or(near)
}

fn pointed(dir: &Path) -> Option<PathBuf> {
    let bytes = fs::read(dir.join(POINTER_NAME)).ok()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
}

fn remove_left_over(dir: &Path) {
    let Some(socket) = pointed(dir) else { return };
    // Gone already, or not ours: either way it is not in our way.
    let _ = fs::remove_file(&socket);
    let _ = fs::remove_file(dir.join(POINTER_NAME));
    if let Some(folder) = socket.parent() {
        let _ = fs::remove_dir(folder);
    }
}

fn runtime_folder() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}
