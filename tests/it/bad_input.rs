//! What goes wrong in the world around the appliance: each case has its own clear message, and loses nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::appliance::{Appliance, Between, EIDER, Mischief, Platforms, eider, folder, until};

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A command that fails, and what it says.
#[track_caller]
fn refused(output: &Output, code: i32, wanted: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in wanted {
        assert!(said.contains(part), "“{part}” is not said: {said}");
    }
}

#[test]
fn a_half_written_config_names_file_and_line() {
    let (_kept, dir) = folder();
    fs::write(dir.join("appliance.toml"), "[server]\nlisten = \"127.0.0.1:8080\"\n[log\nlev").unwrap();
    refused(&eider(&dir, &["serve"]), 2, &["appliance.toml", "line 3"]);
    fs::write(dir.join("appliance.toml"), "[server]\nlisten = \"127.0.").unwrap();
    refused(&eider(&dir, &["serve"]), 2, &["appliance.toml", "line 2"]);
}

/// `eider serve` as a user whom permissions stop: whoever may do everything gives up the rights to that first.
fn serve_within_permissions(data: &Path) -> Command {
    let mut serve = Command::new(if rustix::process::geteuid().is_root() { "setpriv" } else { EIDER });
    if rustix::process::geteuid().is_root() {
        serve.args(["--bounding-set=-dac_override,-dac_read_search", "--", EIDER]);
    }
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    serve
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_to_is_named_before_anything_starts() {
    let (_kept, dir) = folder();
    let locked = dir.join("locked");
    fs::create_dir(&locked).unwrap();
    let allow = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&locked, 0o555);
    let output = serve_within_permissions(&locked.join("data")).output().unwrap();
    refused(&output, 1, &["locked/data", "ermission denied"]);
    let listed = fs::read_dir(&locked).unwrap().count();
    assert_eq!(listed, 0);

    // Data are there, and the folder or the file takes no more.
    Appliance::start(&dir).stop().await;
    let (data, file) = (dir.join("data"), dir.join("data/eider.duckdb"));
    let held = fs::read(&file).unwrap();
    let own_mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    for (path, mode) in [(&data, 0o555), (&file, 0o444)] {
        let before = own_mode(path);
        allow(path, mode);
        refused(&serve_within_permissions(&data).output().unwrap(), 1, &["data", "ermission denied"]);
        allow(path, before);
        assert_eq!(fs::read(&file).unwrap(), held, "{}", path.display());
    }
    let again = Appliance::start(&dir);
    assert_eq!(again.api("GET", "status", None).await.0, 200);
    again.stop().await;
}

#[test]
fn a_wrong_address_and_a_file_in_the_place_of_the_folder_are_named() {
    let (_kept, dir) = folder();
    refused(&eider(&dir, &["serve", "--listen", "256.0.0.1:0"]), 2, &["256.0.0.1"]);
    let data = dir.join("data");
    fs::write(&data, "a file").unwrap();
    refused(&eider(&dir, &["serve", "--listen", "127.0.0.1:0"]), 1, &["data"]);
    assert_eq!(fs::read(&data).unwrap(), b"a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_and_a_newer_file_are_refused_and_change_nothing() {
    let (_kept, dir) = folder();
    let first = Appliance::start(&dir);
    refused(&eider(&dir, &["serve", "--listen", "127.0.0.1:0"]), 1, &["data", "process"]);
    let (status, _) = first.api("GET", "status", None).await;
    assert_eq!(status, 200, "the first one works on");
    first.stop().await;

    let file = dir.join("data/eider.duckdb");
    write_as_a_newer_program(&file);
    let before = fs::read(&file).unwrap();
    refused(&eider(&dir, &["serve", "--listen", "127.0.0.1:0"]), 1, &["newer", "99"]);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[expect(clippy::disallowed_methods, reason = "it is another program that writes here")]
fn write_as_a_newer_program(file: &Path) {
    let file = duckdb::Connection::open(file).unwrap();
    file.execute_batch(
        "INSERT INTO main.schema_version VALUES (99, 'later', TIMESTAMP '2030-01-01'); CHECKPOINT",
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_wrong_addresses_are_told_where_they_are_entered() {
    let (_kept, dir) = folder();
    let platforms = Platforms::start(&dir, "2").await;
    let appliance = Appliance::start(&dir);
    let test = async |id: i64| {
        let (_, report) = appliance.api("POST", &format!("connections/{id}/test"), None).await;
        report.to_string()
    };
    let mut wrong = platforms.offer("bigcommerce");
    wrong["credentials"]["access_token"] = json!("nobody");
    let shop = appliance.connects(wrong).await;
    appliance.waits_for_word(shop, "needs_reauthorisation").await;
    assert!(test(shop).await.contains("token"), "{}", test(shop).await);
    let right = json!({"credentials": platforms.offer("bigcommerce")["credentials"]});
    let (status, answer) = appliance.api("PATCH", &format!("connections/{shop}"), Some(right)).await;
    assert_eq!(status, 200, "{answer}");

    let mut wrong = platforms.offer("amazon");
    wrong["alias"] = json!("wrong token");
    wrong["credentials"]["refresh_token"] = json!("Atzr|nobody");
    let (status, answer) = appliance.api("POST", "connections", Some(wrong)).await;
    let wrong = answer["id"].as_i64().unwrap_or_else(|| panic!("{status} {answer}"));
    appliance.waits_for_word(wrong, "needs_reauthorisation").await;
    appliance.waits_for_word(wrong, "no longer accepts the refresh token").await;
    assert!(test(wrong).await.contains("refresh token"));

    // Nobody listens there; somebody else listens there; it is no address.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stranger =
        Between::stand(platforms.offer("bigcommerce")["base_url"].as_str().unwrap(), "/auth/o2/token").await;
    stranger.does(Mischief::Page);
    for (base_url, wanted) in [
        (format!("http://{closed}"), "could not connect"),
        (stranger.base_url.clone(), "Login with Amazon answered without an access token"),
    ] {
        let mut elsewhere = platforms.offer("amazon");
        elsewhere["alias"] = json!(base_url);
        elsewhere["base_url"] = json!(base_url);
        elsewhere["credentials"]["seller_id"] = json!(format!("A{}", base_url.len()));
        let id = appliance.connects(elsewhere).await;
        appliance.waits_for_word(id, wanted).await;
        assert!(test(id).await.contains(wanted), "{}", test(id).await);
    }
    for base_url in ["amazon", "ftp://127.0.0.1/", "http://"] {
        let mut nowhere = platforms.offer("amazon");
        nowhere["base_url"] = json!(base_url);
        let (status, answer) = appliance.api("POST", "connections", Some(nowhere)).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_base_url")), "{base_url}: {answer}");
    }

    // With the right ones everything that was sold meanwhile arrives.
    let sold = vec![platforms.sell().await];
    let mut right: Value = platforms.offer("amazon")["credentials"].clone();
    right["seller_id"] = json!("A3EIDERSIM0001");
    let change = json!({"credentials": right, "settings": {"shop": shop}});
    let (status, answer) = appliance.api("PATCH", &format!("connections/{wrong}"), Some(change)).await;
    assert_eq!(status, 200, "{answer}");
    appliance.waits_for_shop(&platforms, &sold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_answers_are_named_and_asked_for_again() {
    let (_kept, dir) = folder();
    let platforms = Platforms::start(&dir, "2").await;
    let appliance = Appliance::start(&dir);
    let shop = appliance.connects(platforms.offer("bigcommerce")).await;
    let mut offer = platforms.offer("amazon");
    let between = Between::stand(offer["base_url"].as_str().unwrap(), "/orders/2026-01-01/orders").await;
    offer["base_url"] = json!(between.base_url);
    offer["settings"] = json!({"shop": shop});
    let amazon = appliance.connects(offer).await;
    let mut sold = vec![platforms.sell().await];
    appliance.waits_for_shop(&platforms, &sold).await;
    for (mischief, wanted) in [
        (Mischief::Page, "is no JSON"),
        (Mischief::Huge, "longer than the limit of"),
        (Mischief::Drip, "no whole answer in time"),
    ] {
        between.does(mischief);
        sold.push(platforms.sell().await);
        appliance.waits_for_word(amazon, wanted).await;
        between.does(Mischief::None);
        // Somebody who sees that it works again does not wait.
        let (status, _) = appliance.api("POST", &format!("connections/{amazon}/sync"), None).await;
        assert_eq!(status, 200);
        appliance.waits_for_shop(&platforms, &sold).await;
    }
}

/// Runs the rest of the command line where no file may grow beyond so many bytes. The signal that says so is ignored,
/// so that a write fails as on a full disk.
fn limited(bytes: u64) -> [String; 4] {
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", bytes.div_ceil(1024));
    ["bash".to_owned(), "-c".to_owned(), script, String::new()]
}

fn start_limited(dir: &Path, bytes: u64) -> Appliance {
    let wrapper = limited(bytes);
    let words: Vec<&str> = wrapper.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    Appliance::start_by(dir, &words)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_during_a_commit_loses_nothing_that_was_acknowledged() {
    let (_kept, dir) = folder();
    let platforms = Platforms::start(&dir, "3000").await;
    let first = Appliance::start(&dir);
    let shop = first.connects(platforms.offer("bigcommerce")).await;
    first.stop().await;

    let size = fs::metadata(dir.join("data/eider.duckdb")).unwrap().len();
    let mut cramped = start_limited(&dir, size + 1_000_000);
    let mut amazon = platforms.offer("amazon");
    amazon["settings"] = json!({"shop": shop, "history": "everything"});
    let amazon = cramped.connects(amazon).await;
    let mut sold = vec![platforms.sell().await];
    cramped.waits_for_word(amazon, "There is no room left on the disk").await;
    assert_eq!(platforms.copies(&sold).await, [0]);

    // With room again it goes on by itself, and so does the next one on what this one left behind.
    cramped.running.gets_room();
    let (status, _) = cramped.api("POST", &format!("connections/{amazon}/sync"), None).await;
    assert_eq!(status, 200);
    cramped.waits_for_shop(&platforms, &sold).await;
    cramped.running.kill();
    let again = Appliance::start(&dir);
    sold.push(platforms.sell().await);
    again.waits_for_shop(&platforms, &sold).await;
    let sold_there = platforms.sim("amazon", "orders", None).await.as_array().unwrap().len();
    let question = json!({"sql": "SELECT count(*) FROM report.orders WHERE channel = 'amazon'"});
    let mut held = Value::Null;
    let is_whole = until(async || {
        held = again.api("POST", "sql", Some(question.clone())).await.1;
        held["rows"][0][0].as_u64() == u64::try_from(sold_there).ok()
    });
    assert!(is_whole.await, "{sold_there} orders there, {held} here");
    again.stop().await;
    assert!(said_well(&eider(&dir, &["verify"])).contains("agrees with itself"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_during_a_checkpoint_loses_nothing_that_was_acknowledged() {
    let (_kept, dir) = folder();
    let platforms = Platforms::start(&dir, "2").await;
    let first = Appliance::start(&dir);
    first.connects_all(&platforms).await;
    let mut sold = vec![platforms.sell().await];
    first.waits_for_shop(&platforms, &sold).await;
    first.stop().await;

    // The log of commits has room; the file itself has none to grow.
    let size = fs::metadata(dir.join("data/eider.duckdb")).unwrap().len();
    let mut cramped = start_limited(&dir, size);
    for _ in 0..40 {
        sold.push(platforms.sell().await);
    }
    cramped.waits_for_shop(&platforms, &sold).await;
    let backup = eider(&dir, &["backup", "--to", "backups"]);
    refused(&backup, 1, &["There is no room left on the disk"]);
    assert_eq!(cramped.running.ends().await, Some(1));
    let said = cramped.running.said();
    assert!(said.contains("There is no room left on the disk"), "{said}");

    let again = Appliance::start(&dir);
    again.holds_each_once(&sold).await;
    sold.push(platforms.sell().await);
    again.waits_for_shop(&platforms, &sold).await;
    again.stop().await;
    assert!(said_well(&eider(&dir, &["verify"])).contains("agrees with itself"));
}

/// A disk in memory, of so many megabytes, until it is dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None where the tester may not make one.
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "eider-test"]).arg(at);
        let is_made = mount.output().is_ok_and(|made| made.status.success());
        is_made.then(|| Self(at.to_owned()))
    }

    /// Somebody else takes all the room that is left: the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        let block = vec![0; 4096];
        let full = loop {
            if let Err(error) = std::io::Write::write_all(&mut file, &block) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_have_filled_loses_nothing_and_goes_on_with_room() {
    let (_kept, dir) = folder();
    let data = dir.join("data");
    let Some(disk) = SmallDisk::mount(&data, 96) else {
        println!("SKIPPED: a small disk cannot be made here; it needs root");
        return;
    };
    let platforms = Platforms::start(&dir, "2").await;
    let without_floor = [("EIDER__STORE__FREE_SPACE_FLOOR_MB", "0")];
    let mut appliance = Appliance::start_with(&dir, &without_floor);
    appliance.connects_all(&platforms).await;
    let mut sold = vec![platforms.sell().await];
    appliance.waits_for_shop(&platforms, &sold).await;

    let ballast = disk.fill();
    for _ in 0..40 {
        sold.push(platforms.sell().await);
    }
    let noticed = until(async || appliance.running.said().contains("There is no room left on the disk"));
    assert!(noticed.await, "{}", appliance.running.said());
    assert!(platforms.copies(&sold).await.iter().all(|count| *count < 2));

    fs::remove_file(ballast).unwrap();
    // The database may have had to stop the program; in any case it is started again.
    if !appliance.running.has_ended() {
        appliance.running.kill();
    }
    let again = Appliance::start_with(&dir, &without_floor);
    sold.push(platforms.sell().await);
    again.waits_for_shop(&platforms, &sold).await;
    again.holds_each_once(&sold).await;
    again.stop().await;
    assert!(said_well(&eider(&dir, &["verify"])).contains("agrees with itself"));
}

fn said_well(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_doubles_none_of_what_came_after_it() {
    let (_kept, dir) = folder();
    let platforms = Platforms::start(&dir, "5").await;
    let appliance = Appliance::start(&dir);
    appliance.connects_all(&platforms).await;
    let mut sold = vec![platforms.sell().await];
    appliance.waits_for_shop(&platforms, &sold).await;
    let backup = said_well(&eider(&dir, &["backup", "--to", "backups"]));
    for _ in 0..200 {
        sold.push(platforms.sell().await);
    }
    appliance.waits_for_shop(&platforms, &sold).await;
    appliance.stop().await;

    assert!(said_well(&eider(&dir, &["restore", backup.trim()])).contains("Epoch 2 begins"));
    let restored = Appliance::start(&dir);
    sold.push(platforms.sell().await);
    restored.waits_for_shop(&platforms, &sold).await;
    let all_known = until(async || {
        let (_, status) = restored.api("GET", "effects", None).await;
        status["data"].as_array().is_some_and(Vec::is_empty)
    });
    assert!(all_known.await, "{}", restored.api("GET", "effects", None).await.1);
    assert!(platforms.copies(&sold).await.iter().all(|count| *count == 1));
    for id in &sold {
        let (_, found) = restored.api("GET", &format!("orders?q={id}"), None).await;
        assert_eq!(found["data"][0]["export_state"], "created", "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_appliance_on_the_same_shop_is_noticed_and_stops_with_an_incident() {
    let ((_one, first_dir), (_two, second_dir)) = (folder(), folder());
    let platforms = Platforms::start(&first_dir, "2").await;
    let first = Appliance::start(&first_dir);
    let (shop, _) = first.connects_all(&platforms).await;
    let sold = vec![platforms.sell().await];
    first.waits_for_shop(&platforms, &sold).await;

    let second = Appliance::start(&second_dir);
    let (twin_shop, _) = second.connects_all(&platforms).await;
    one_of_two_stops(&platforms, (first, shop), (second, twin_shop)).await;
}

/// Whichever of two appliances creates an order first is seen by the other, which stops. Either goes on once it is alone.
async fn one_of_two_stops(
    platforms: &Platforms,
    (stays, shop): (Appliance, i64),
    (goes, twin_shop): (Appliance, i64),
) {
    let noticed = until(async || {
        platforms.sell().await;
        has_noticed_a_twin(&stays, shop).await || has_noticed_a_twin(&goes, twin_shop).await
    });
    assert!(noticed.await, "{}\n{}", stays.running.said(), goes.running.said());
    goes.stop().await;
    stays.goes_on_alone(platforms, shop).await;
}

impl Appliance {
    /// Each of these orders is held, and once.
    async fn holds_each_once(&self, ids: &[String]) {
        for id in ids {
            let (status, found) = self.api("GET", &format!("orders?q={id}"), None).await;
            assert_eq!(status, 200, "{found}");
            assert_eq!(found["data"].as_array().map(Vec::len), Some(1), "{id}: {found}");
        }
    }

    /// Somebody has stopped the other appliance, and resumes this one where it has stopped by itself, too: what is sold
    /// then is created once.
    async fn goes_on_alone(&self, platforms: &Platforms, shop: i64) {
        let sold = vec![platforms.sell().await, platforms.sell().await];
        let is_there = until(async || {
            let (_, found) = self.api("GET", &format!("connections/{shop}"), None).await;
            if found["state"] == "paused" {
                let (status, answer) = self.api("POST", &format!("connections/{shop}/resume"), None).await;
                assert_eq!(status, 200, "{answer}");
            }
            platforms.copies(&sold).await.iter().all(|count| *count > 0)
        });
        assert!(is_there.await, "{}", self.running.said());
        assert_eq!(platforms.copies(&sold).await, [1, 1]);
    }
}

/// Whether the appliance has stopped because another one works on its shop, and says so.
async fn has_noticed_a_twin(appliance: &Appliance, shop: i64) -> bool {
    let (_, found) = appliance.api("GET", &format!("connections/{shop}"), None).await;
    let (_, incidents) = appliance.api("GET", "incidents", None).await;
    let is_told = incidents.to_string().contains("Two appliances on one shop create orders twice");
    found["state"] == "paused" && is_told
}

/// A copy of a data folder has its name, its orders and its credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_appliance_on_a_copy_of_the_data_folder_is_noticed_as_well() {
    let ((_one, first_dir), (_two, second_dir)) = (folder(), folder());
    let platforms = Platforms::start(&first_dir, "2").await;
    let first = Appliance::start(&first_dir);
    let (shop, _) = first.connects_all(&platforms).await;
    let sold = vec![platforms.sell().await];
    first.waits_for_shop(&platforms, &sold).await;
    first.stop().await;
    let copied =
        Command::new("cp").arg("-a").arg(first_dir.join("data")).arg(second_dir.join("data")).status();
    assert!(copied.unwrap().success());

    let (first, second) = (Appliance::start(&first_dir), Appliance::start(&second_dir));
    one_of_two_stops(&platforms, (second, shop), (first, shop)).await;
}
