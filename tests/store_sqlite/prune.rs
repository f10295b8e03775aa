//! What goes, what stays, and in which steps.
use crate::kit::*;
use runwire::config::Retain;
use runwire::id::RunNo;
use runwire::record::Write;
use runwire::store::sqlite::check;
use runwire::store::{Sqlite, Store};
use runwire::time::Wall;
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

#[test]
fn the_oldest_go_until_as_many_are_left_as_may_be() {
    let folder = Folder::new();
    let mut store = folder.open();
    (1..=50).for_each(|no| commit(&mut store, whole(record(no), 3)));
    commit(&mut store, [create(record(51))]);
    let retain = Retain { runs: Some(7), ..Retain::default() };
    let gone = prune_all(&mut store, &retain, Wall(DAY));
    assert_eq!(gone, (1..=43).map(RunNo).collect::<Vec<_>>());
    assert!(run(&mut store, 43).is_none() && run(&mut store, 44).is_some());
    assert!(run(&mut store, 51).is_some());
    commit(&mut store, whole(record(52), 3));
    assert_eq!(prune_all(&mut store, &retain, Wall(DAY)), [RunNo(44)]);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
}

#[test]
fn runs_go_when_they_ended_too_long_ago() {
    let folder = Folder::new();
    let mut store = folder.open();
    (1..=9).for_each(|no| commit(&mut store, whole(record(no), 3)));
    let retain = Retain { age: Some(Duration::from_secs(100)), ..Retain::default() };
    // Run 4 ended at 5 s.
    let gone = prune_all(&mut store, &retain, Wall(105_000_000));
    assert_eq!(gone, [RunNo(1), RunNo(2), RunNo(3), RunNo(4)]);
    // A clock that goes back keeps them all.
    assert_eq!(prune_all(&mut store, &retain, Wall(50_000_000)), []);
}

#[test]
fn bytes_in_use_come_down_and_the_file_with_them() {
    let folder = Folder::new();
    let mut store = folder.open();
    (1..=40).for_each(|no| commit(&mut store, whole(record(no), 2000)));
    let used = || {
        let [pages, free] = ["PRAGMA page_count", "PRAGMA freelist_count"]
            .map(|sql| ask(&folder.file(), sql).parse::<u64>().unwrap());
        ((pages - free) * 4096, pages * 4096)
    };
    let (before, _) = used();
    assert!(before > 8_000_000, "{before}");
    let retain = Retain { bytes: Some(3_000_000), ..Retain::default() };
    let gone = prune_all(&mut store, &retain, Wall(DAY));
    let (after, file) = used();
    assert!((2_000_000..=3_000_000).contains(&after), "{after}");
    assert!(file <= after + 2_000_000, "{file}");
    assert_eq!(gone, (1..=gone.len() as u64).map(RunNo).collect::<Vec<_>>());
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
}

#[test]
fn a_run_with_a_key_stays_a_day_and_one_at_work_for_ever() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1))]);
    commit(&mut store, whole(keyed(2, "again"), 3));
    commit(&mut store, whole(record(3), 3));
    let retain = Retain { age: Some(Duration::ZERO), runs: Some(0), bytes: Some(0) };
    let created = record(2).created.0;
    assert_eq!(prune_all(&mut store, &retain, Wall(created + DAY - 1)), [RunNo(3)]);
    assert_eq!(prune_all(&mut store, &retain, Wall(created + DAY)), [RunNo(2)]);
    assert_eq!(prune_all(&mut store, &retain, Wall(created + 99 * DAY)), []);
    assert!(run(&mut store, 1).is_some());
}

#[test]
fn a_long_run_is_out_of_sight_at_once_and_goes_in_small_steps() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1))]);
    (0..3000).for_each(|i| commit(&mut store, [said(1, deltas(1, i * 40, i * 40 + 40))]));
    commit(&mut store, complete(1, 120_000, Wall(9_000_000)));
    commit(&mut store, [Write::Delete { no: RunNo(1) }]);
    assert!(run(&mut store, 1).is_none());
    assert_eq!(events(&mut store, 1, 100_000, 1000).lines, "");
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
    // Nothing is to be retained for less, and yet what was deleted goes on going, also later.
    drop(store);
    let mut store = folder.open();
    let rows = || check(&folder.file()).unwrap().rows;
    let before = rows();
    store.prune(&Retain::default(), Wall(DAY)).unwrap();
    assert!((1..=500).contains(&(before - rows())), "{before} rows, then {}", rows());
    let mut steps = 0;
    while store.prune(&Retain::default(), Wall(DAY)).unwrap().more {
        steps += 1;
    }
    assert!((15..1000).contains(&steps), "{steps} steps");
    assert_eq!(check(&folder.file()).unwrap().rows, 0);
    drop(store);
    let bytes = std::fs::metadata(folder.file()).unwrap().len();
    assert!(bytes < 2_000_000, "{bytes}");
}

fn prune_all(store: &mut Sqlite, retain: &Retain, now: Wall) -> Vec<RunNo> {
    let mut gone = Vec::new();
    loop {
        let pruned = store.prune(retain, now).unwrap();
        gone.extend(pruned.gone);
        if !pruned.more {
            return gone;
        }
    }
}
