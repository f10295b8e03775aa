//! Files that hold something else than was written.
use crate::kit::*;
use runwire::record::{Fault, FaultKind};
use runwire::store::Sqlite;
use runwire::store::sqlite::{check, export};
use std::fs;

#[test]
fn a_damaged_file_is_refused_by_name_with_what_to_do() {
    let sound = file_of(60);
    let bytes = fs::read(sound.file()).unwrap();
    let middle = bytes.len() / 2;
    let mut garbled = bytes.clone();
    // A few pages in the middle.
    garbled[middle..middle + 16_384].fill(0xa5);
    let cut = &bytes[..middle];
    let mut headless = bytes.clone();
    headless[..100].fill(0);
    for damaged in [&garbled[..], cut, &headless[..], b"hello"] {
        let folder = Folder::new();
        fs::write(folder.file(), damaged).unwrap();
        assert_refused(&Sqlite::open(&folder.file()).err().expect("it is damaged"));
        assert!(fs::read(folder.file()).unwrap() == damaged, "it was left as it was");
    }
}

#[test]
fn a_log_without_its_file_is_refused_and_kept() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 3));
    let other = Folder::new();
    let log = beside(&other.file(), "-wal");
    fs::copy(beside(&folder.file(), "-wal"), &log).unwrap();
    assert_refused(&Sqlite::open(&other.file()).err().expect("half of it is missing"));
    fs::write(other.file(), "").unwrap();
    assert_refused(&Sqlite::open(&other.file()).err().expect("half of it is missing"));
    assert!(fs::metadata(log).unwrap().len() > 0);
}

#[test]
fn a_check_finds_what_the_pages_do_not_show() {
    let folder = file_of(5);
    for (sql, finding) in [
        ("DELETE FROM events WHERE run = 2 AND first_seq = 0", "run 2: "),
        ("UPDATE events SET lines = lines || '{}' || char(10) WHERE run = 3", "run 3: "),
        ("UPDATE runs SET status = 'failed' WHERE no = 4", "run 4: its last event"),
        ("UPDATE runs SET parent = 77 WHERE no = 5", "run 5: it goes on from run 77"),
        ("DELETE FROM requests WHERE run = 1", "run 1: what it was asked"),
        ("INSERT INTO sessions VALUES ('x', 'lost', 0, 0, 99)", "session lost: "),
        ("INSERT INTO events VALUES (50, 0, 0, 0, 'x', char(10))", "run 50: it has events"),
        ("UPDATE runs SET finished_at = NULL WHERE no = 4", "run 4: its status is"),
    ] {
        let other = Folder::new();
        fs::copy(folder.file(), other.file()).unwrap();
        assert_eq!(check(&other.file()).unwrap().problems, [""; 0]);
        ask(&other.file(), sql);
        let report = check(&other.file()).unwrap();
        assert!(report.problems.iter().any(|it| it.contains(finding)), "{sql}: {report:?}");
        assert_eq!(report.runs, 5);
    }
}

#[test]
fn a_check_tells_of_damaged_pages() {
    let folder = file_of(60);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
    let mut bytes = fs::read(folder.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(folder.file(), bytes).unwrap();
    assert_ne!(check(&folder.file()).unwrap().problems, [""; 0]);
}

#[test]
fn an_export_of_a_sound_file_has_everything() {
    let folder = file_of(20);
    let mut out = Vec::new();
    let exported = export(&folder.file(), &mut out).unwrap();
    assert_eq!((exported.runs, exported.events), (20, 20 * 301));
    assert_eq!((exported.unread_runs, exported.unread_events), (0, 0));
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 20);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["run_id"], id(1).to_string());
    assert_eq!(first["input"], "question 1");
    assert_eq!(first["output"], "answer 1");
    assert_eq!(first["usage"]["input_tokens"], 3);
    assert_eq!(first["events"][300]["event"], "run.completed");
    let sent: serde_json::Value = serde_json::from_str(deltas(1, 0, 1).lines.trim_end()).unwrap();
    assert_eq!(first["events"][0], sent);
}

#[test]
fn an_export_goes_on_past_damaged_pages_and_counts_what_it_lost() {
    let folder = file_of(20);
    let bytes = fs::read(folder.file()).unwrap();
    // Without its schema a file has no tables.
    let has_schema = |page: &[u8]| page.windows(7).any(|text| text == b"CREATE ");
    let pages = (1..bytes.len() / 4096).filter(|page| !has_schema(&bytes[page * 4096..][..4096]));
    let mut most = 0;
    for page in pages.step_by(7) {
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        let other = Folder::new();
        fs::write(other.file(), damaged).unwrap();
        let mut out = Vec::new();
        let exported = export(&other.file(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let events: usize = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|run| run["events"].as_array().unwrap().len())
            .sum();
        assert_eq!(events as u64, exported.events);
        assert_eq!(exported.runs + exported.unread_runs, 20, "page {page}: {exported:?}");
        assert_eq!(exported.events + exported.unread_events, 20 * 301, "page {page}: {exported:?}");
        most = most.max(exported.unread_events);
    }
    // A page of events holds some thirty of them; a page above such pages, and it is many.
    assert!(most > 0, "nothing was ever lost");
}

#[test]
fn an_export_needs_no_index() {
    let folder = file_of(20);
    let bytes = fs::read(folder.file()).unwrap();
    let is_index = |page: &usize| matches!(bytes[page * 4096], 0x02 | 0x0a);
    let pages: Vec<_> = (1..bytes.len() / 4096).filter(is_index).collect();
    assert!(pages.len() > 10);
    for page in pages.into_iter().step_by(3) {
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        let other = Folder::new();
        fs::write(other.file(), damaged).unwrap();
        let exported = export(&other.file(), &mut std::io::sink()).unwrap();
        assert_eq!((exported.runs, exported.events), (20, 20 * 301), "page {page}");
        assert_eq!((exported.unread_runs, exported.unread_events), (0, 0), "page {page}");
    }
}

#[test]
fn a_big_file_that_was_cut_is_refused_without_reading_all_of_it() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1))]);
    (0..18).for_each(|i| commit(&mut store, [said(1, deltas(1, i * 10_000, i * 10_000 + 10_000))]));
    drop(store);
    let bytes = fs::metadata(folder.file()).unwrap().len();
    assert!(bytes > 18_000_000);
    drop(folder.open());
    let file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.set_len(bytes - 40_960).unwrap();
    let fault = Sqlite::open(&folder.file()).err().expect("it is cut");
    assert_refused(&fault);
    assert!(fault.message.contains("10 pages"), "{fault}");
}

fn file_of(runs: u64) -> Folder {
    let folder = Folder::new();
    let mut store = folder.open();
    for no in 1..=runs {
        commit(&mut store, [create(record(no))]);
        (0..10).for_each(|i| commit(&mut store, [said(no, deltas(no, i * 30, i * 30 + 30))]));
        let ended = runwire::time::Wall(record(no).created.0 + 500_000);
        commit(&mut store, complete(no, 300, ended));
    }
    folder
}

fn assert_refused(fault: &Fault) {
    assert_eq!(fault.kind, FaultKind::Damaged, "{fault}");
    for words in ["runs.db", "runwire db check", "runwire db export"] {
        assert!(fault.message.contains(words), "{fault}");
    }
}
