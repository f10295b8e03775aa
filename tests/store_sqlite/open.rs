//! Opening: privacy, the lock, versions.
use crate::kit::*;
use runwire::budget::Budget;
use runwire::id::RunNo;
use runwire::record::FaultKind;
use runwire::store::sqlite::check;
use runwire::store::{Sqlite, Store};
use std::fs;

#[cfg(unix)]
#[test]
fn all_its_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    fs::write(folder.file(), "").unwrap();
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 3));
    let mut seen = Vec::new();
    for entry in fs::read_dir(&folder.0).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    let expected = ["", "-shm", "-wal", ".lock", ".reserve"].map(|end| format!("runs.db{end}"));
    assert_eq!(seen, expected);
}

#[test]
fn a_second_server_is_refused_and_told_who_has_the_file() {
    let folder = Folder::new();
    let first = folder.open();
    let fault = Sqlite::open(&folder.file()).err().expect("the file is taken");
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(fault.message.contains(&format!("process {}", std::process::id())), "{fault}");
    assert!(fault.message.contains("runs.db"), "{fault}");
    drop(first);
    folder.open();
}

#[test]
fn a_file_from_a_later_version_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    drop(folder.open());
    ask(&folder.file(), "PRAGMA user_version = 99");
    let before = fs::read(folder.file()).unwrap();
    let fault = Sqlite::open(&folder.file()).err().expect("the file is newer");
    assert_eq!(fault.kind, FaultKind::Newer);
    assert!(fault.message.contains("99") && fault.message.contains("later version"), "{fault}");
    assert!(before == fs::read(folder.file()).unwrap());
    let fault = runwire::store::sqlite::check(&folder.file()).expect_err("the file is newer");
    assert_eq!(fault.kind, FaultKind::Newer);
}

#[test]
fn a_big_file_of_version_1_opens() {
    let folder = Folder::new();
    load(&folder.file(), include_str!("../data/store/version_1.sql"));
    let grown = "UPDATE runs SET output = hex(zeroblob(9000000)) WHERE no = 1 RETURNING no";
    assert_eq!(ask(&folder.file(), grown), "1");
    assert!(fs::metadata(folder.file()).unwrap().len() > 17_000_000);
    assert_eq!(folder.open().recover().unwrap().unfinished.len(), 2);
}

/// A file of the schema's first version, as its server left it when it was killed: a run that had
/// ended, one at work, one that waited.
#[test]
fn a_file_of_version_1_opens_with_all_that_is_in_it() {
    let folder = Folder::new();
    load(&folder.file(), include_str!("../data/store/version_1.sql"));
    assert_eq!(ask(&folder.file(), "PRAGMA user_version"), "1");
    let mut store = folder.open();
    let recovered = store.recover().unwrap();
    let [working, waiting] = &recovered.unfinished[..] else { panic!("{recovered:?}") };
    assert_eq!((working.record.no, working.next_seq), (RunNo(2), 15));
    let request = waiting.request.as_ref().expect("it had not begun");
    assert_eq!(request.input.to_text(), "what did I say before?");
    assert_eq!(request.history[0].content.to_text(), "The sky is blue.");
    assert_eq!(request.budget, Budget::default());
    commit(&mut store, [create(record(4))]);
    drop(store);
    assert_eq!(ask(&folder.file(), "PRAGMA user_version"), "5");
    assert_eq!(
        ask(&folder.file(), "SELECT status, output LIKE 'I could%' FROM runs WHERE no = 1"),
        "completed|1"
    );
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
    assert_eq!(folder.open().recover().unwrap().unfinished.len(), 3);
}

#[test]
fn an_empty_file_becomes_a_store_and_a_store_stays_what_it_is() {
    let folder = Folder::new();
    fs::write(folder.file(), "").unwrap();
    commit(&mut folder.open(), whole(record(1), 3));
    assert_eq!(run(&mut folder.open(), 1).unwrap().next_seq, 4);
    assert!(folder.open().notes().is_empty());
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    ask(&folder.file(), "CREATE TABLE things (name)");
    let before = fs::read(folder.file()).unwrap();
    let fault = Sqlite::open(&folder.file()).err().expect("the file is not ours");
    assert_eq!(fault.kind, FaultKind::Other);
    assert!(fault.message.contains("another program"), "{fault}");
    assert!(before == fs::read(folder.file()).unwrap());
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    // No one can make files here, root included.
    let place = std::path::Path::new("/sys/runs.db");
    if !place.parent().unwrap().is_dir() {
        return;
    }
    let fault = Sqlite::open(place).err().expect("nothing can be written there");
    assert_eq!(fault.kind, FaultKind::ReadOnly);
    assert!(fault.message.contains("/sys/runs.db") && fault.message.contains("write"), "{fault}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let folder = Folder::new();
    let fault = Sqlite::open(&folder.0.join("nowhere/runs.db")).err().expect("it is not there");
    assert_eq!(fault.kind, FaultKind::ReadOnly);
    assert!(fault.message.contains("nowhere/runs.db"), "{fault}");
}

#[test]
fn the_highest_number_outlives_its_run() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 2));
    commit(&mut store, whole(record(9), 2));
    commit(&mut store, [runwire::record::Write::Delete { no: runwire::id::RunNo(9) }]);
    drop(store);
    assert_eq!(folder.open().recover().unwrap().last_no, 9);
}
