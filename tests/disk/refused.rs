//! Places a server cannot work in: it says which and why, and what to do, and ends.
use crate::served::{Place, Starting};
use crate::{empty_log, place_of};
use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The end of a server that could not begin: no crash, and words for a person.
fn refusal(starting: Starting, words: &[&str]) -> String {
    let (code, said) = starting.fail();
    assert!(code == Some(1) || code == Some(2), "{code:?}: {said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    assert!(!said.contains("panicked") && !said.contains("listens on"), "{said}");
    said
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim() == "0"
}

/// Shell commands that have the server run as a user who owns `place` and is not root; `None` where
/// there is no such user to be.
fn as_other(place: &Place) -> Option<String> {
    if !is_root() {
        return Some(String::new());
    }
    let other = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let tried = format!("chown -R 65534:65534 '{}' && ", place.0.display());
    let tried = format!("{tried}{other} test -x '{}'", env!("CARGO_BIN_EXE_runwire"));
    let may = Command::new("sh").args(["-c", &tried]).status().is_ok_and(|it| it.success());
    if !may {
        println!("not run: there is nobody here who is not root");
    }
    may.then(|| format!("exec {other} \"$0\" \"$@\";"))
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let (place, _) = place_of(1);
    // The log is to be made anew.
    empty_log(&place);
    let Some(other) = as_other(&place) else { return };
    let before = fs::read(place.file()).unwrap();
    fs::set_permissions(place.state(), Permissions::from_mode(0o500)).unwrap();
    refusal(place.spawn_under(&other, &[]), &["runs.db", "cannot be written"]);
    assert_eq!(fs::read(place.file()).unwrap(), before);
    fs::set_permissions(place.state(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(place.start_under(&other, &[]).get("/health").status, 200);
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    if !is_root() {
        println!("not run: nobody can give a file to somebody else here");
        return;
    }
    let (place, _) = place_of(1);
    let Some(other) = as_other(&place) else { return };
    let given = Command::new("chown").arg("0:0").arg(place.file()).status();
    assert!(given.unwrap().success());
    refusal(place.spawn_under(&other, &[]), &["runs.db", "cannot be written"]);
}

/// A file system that is mounted to be read keeps even root out.
#[test]
fn a_disk_that_cannot_be_written_is_refused() {
    let (place, _) = place_of(1);
    let state = place.state();
    let own = "unshare --user --map-root-user --mount";
    let bind = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let tried = format!("{own} sh -c '{bind}' '{}'", state.display());
    if !Command::new("sh").args(["-c", &tried]).status().is_ok_and(|it| it.success()) {
        println!("not run: no file system can be mounted here");
        return;
    }
    let bound = format!(
        "set -- '{}' \"$0\" \"$@\"; exec {own} sh -c '{bind} && exec \"$@\"' \"$@\";",
        state.display()
    );
    refusal(place.spawn_under(&bound, &[]), &["runs.db", "cannot be written"]);
}

#[test]
fn a_directory_in_place_of_the_file_is_refused() {
    for ending in ["", ".lock"] {
        let place = Place::new();
        fs::create_dir(place.beside(ending)).unwrap();
        refusal(place.spawn(&[]), &["runs.db"]);
        assert!(fs::metadata(place.beside(ending)).unwrap().is_dir());
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let place = Place::new();
    fs::remove_dir(place.state()).unwrap();
    fs::write(place.state(), "a file").unwrap();
    refusal(place.spawn(&[]), &["state"]);
    assert_eq!(fs::read_to_string(place.state()).unwrap(), "a file");
}

#[test]
fn a_file_of_a_later_version_is_refused_and_left_alone() {
    let (place, _) = place_of(2);
    alter(&place.file(), "PRAGMA user_version = 99");
    let before = fs::read(place.file()).unwrap();
    refusal(place.spawn(&[]), &["runs.db", "later version", "99"]);
    assert_eq!(fs::read(place.file()).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let place = Place::new();
    alter(&place.file(), "CREATE TABLE recipes (name TEXT)");
    let before = fs::read(place.file()).unwrap();
    refusal(place.spawn(&[]), &["runs.db", "another program"]);
    assert_eq!(fs::read(place.file()).unwrap(), before);
}

fn alter(file: &Path, sql: &str) {
    let db = Connection::open(file).unwrap();
    db.execute_batch(sql).unwrap();
    // With nothing left in the log the file itself can be compared.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}
