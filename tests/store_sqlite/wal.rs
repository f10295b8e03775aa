//! What is left in the log of a server that died while it wrote.
use crate::kit::*;
use runwire::store::{Sqlite, Store};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

const FRAME: u64 = 24 + 4096;

#[test]
fn a_torn_transaction_is_dropped_and_told_of_once() {
    let whole_log = log_of(3);
    // Cut within a header, within a page, between two frames of one transaction.
    for cut in [1, 10, 100, 4000, FRAME] {
        let folder = Folder::new();
        let died = copy(&folder, &whole_log);
        let log = beside(&died, "-wal");
        let bytes = fs::metadata(&log).unwrap().len();
        OpenOptions::new().write(true).open(&log).unwrap().set_len(bytes - cut).unwrap();
        let mut store = Sqlite::open(&died).unwrap();
        let [note] = store.notes() else { panic!("{:?}", store.notes()) };
        assert!(note.contains("runs.db-wal") && note.contains("were dropped"), "{note}");
        let dropped: u64 = note.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        assert!(dropped > 0 && (dropped + cut).is_multiple_of(FRAME), "{note}");
        // The last run was the last transaction.
        assert!(run(&mut store, 2).is_some() && run(&mut store, 3).is_none());
        // The next one dies at once, and leaves nothing of what it dropped.
        let next = Folder::new();
        let died = copy(&next, &folder);
        assert_eq!(Sqlite::open(&died).unwrap().notes(), [""; 0]);
    }
}

#[test]
fn a_page_that_holds_something_else_is_torn_from_there_on() {
    let folder = Folder::new();
    let died = copy(&folder, &log_of(3));
    let log = beside(&died, "-wal");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() - 2000;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let mut store = Sqlite::open(&died).unwrap();
    assert_eq!(store.notes().len(), 1);
    assert!(run(&mut store, 2).is_some() && run(&mut store, 3).is_none());
}

#[test]
fn a_log_that_loses_power_before_its_pages_are_written_is_torn() {
    let folder = Folder::new();
    let died = copy(&folder, &log_of(3));
    let mut log = OpenOptions::new().append(true).open(beside(&died, "-wal")).unwrap();
    log.write_all(&[0; FRAME as usize]).unwrap();
    let mut store = Sqlite::open(&died).unwrap();
    let [note] = store.notes() else { panic!("{:?}", store.notes()) };
    assert!(note.contains(&format!(" {FRAME} bytes")), "{note}");
    assert!(run(&mut store, 3).is_some());
}

#[test]
fn what_is_left_of_an_older_log_is_not_torn() {
    let folder = Folder::new();
    let mut store = folder.open();
    let log = beside(&folder.file(), "-wal");
    // A checkpoint comes after a thousand pages; then the log begins anew over the old one.
    let mut no = 0;
    let mut begins_anew = 0;
    let mut salt = Vec::new();
    while begins_anew < 2 {
        no += 1;
        commit(&mut store, whole(record(no), 300));
        let now = fs::read(&log).unwrap()[16..24].to_vec();
        begins_anew += u32::from(now != salt);
        salt = now;
    }
    assert!(fs::metadata(&log).unwrap().len() > 100 * FRAME, "nothing was left of the older log");
    let other = Folder::new();
    let died = copy(&other, &folder);
    let mut store = Sqlite::open(&died).unwrap();
    assert_eq!(store.notes(), [""; 0]);
    assert!(run(&mut store, no).is_some());
}

#[test]
fn a_log_of_any_length_opens_and_holds_all_of_a_prefix() {
    let whole_log = log_of(4);
    let bytes = fs::read(beside(&whole_log.file(), "-wal")).unwrap();
    let mut known = 0;
    for len in (0..bytes.len()).step_by(1999).chain([bytes.len()]) {
        let folder = Folder::new();
        let died = copy(&folder, &whole_log);
        fs::write(beside(&died, "-wal"), &bytes[..len]).unwrap();
        let mut store = Sqlite::open(&died).unwrap();
        let runs = (1..=4).take_while(|no| run(&mut store, *no).is_some()).count();
        assert!(runs >= known, "a longer log holds fewer runs");
        known = runs;
        assert_eq!(store.recover().unwrap().last_no, runs as u64);
    }
    assert_eq!(known, 4);
}

/// The files of a server that died with `count` runs in its log, one transaction each.
fn log_of(count: u64) -> Folder {
    let folder = Folder::new();
    drop(folder.open());
    let mut store = folder.open();
    (1..=count).for_each(|no| commit(&mut store, whole(record(no), 40)));
    let died = Folder::new();
    copy(&died, &folder);
    died
}

/// The files as a server leaves them that is killed now.
fn copy(to: &Folder, from: &Folder) -> PathBuf {
    for ending in ["", "-wal"] {
        fs::copy(beside(&from.file(), ending), beside(&to.file(), ending)).unwrap();
    }
    to.file()
}
