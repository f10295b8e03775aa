//! How fast the durable store is. Run it alone, in release:
//! `cargo test --release --test store_speed -- --ignored --nocapture`.
#![cfg(feature = "sqlite")]
#[path = "store_sqlite/kit.rs"]
#[allow(dead_code)]
mod kit;

use kit::*;
use runwire::config::Retain;
use runwire::record::{Query, Write};
use runwire::store::{Sqlite, Store};
use runwire::time::Wall;
use std::time::{Duration, Instant};

#[test]
#[ignore = "a measurement"]
fn a_store_takes_300_000_deltas_a_second_from_8_runs() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, (1..=8).map(|no| create(record(no))));
    let batches: Vec<_> = (0..300)
        .map(|i| batch((1..=8).map(|no| said(no, deltas(no, i * 125, (i + 1) * 125)))))
        .collect();
    let start = Instant::now();
    for batch in &batches {
        store.commit(batch).unwrap();
    }
    let a_second = 300_000.0 / start.elapsed().as_secs_f64();
    println!("{a_second:.0} deltas a second, 1,000 in a commit");
    assert!(a_second > 300_000.0);
}

#[test]
#[ignore = "a measurement"]
fn a_commit_of_one_delta_takes_60_microseconds_at_the_median() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, (1..=50).map(|no| create(record(no))));
    let one = |i: u64| batch([said(i % 50 + 1, deltas(i % 50 + 1, i / 50, i / 50 + 1))]);
    let took = (0..50_000).map(|i| {
        let batch = one(i);
        timed(|| store.commit(&batch).unwrap())
    });
    let p50 = percentiles("a commit of one delta", took.collect());
    assert!(p50 < Duration::from_micros(60));
}

#[test]
#[ignore = "a measurement"]
fn a_hundred_thousand_finished_runs_are_no_burden() {
    let folder = Folder::new();
    let mut store = folder.open();
    let numbers: Vec<u64> = (1..=100_000).collect();
    let start = Instant::now();
    for chunk in numbers.chunks(100) {
        commit(&mut store, chunk.iter().flat_map(|no| whole(record(*no), 5)));
    }
    let bytes = std::fs::metadata(folder.file()).unwrap().len();
    println!("{bytes} bytes, written in {:?}", start.elapsed());
    drop(store);

    let mut store = None;
    let took = timed(|| {
        let mut opened = Sqlite::open(&folder.file()).unwrap();
        opened.recover().unwrap();
        store = Some(opened);
    });
    println!("open and recover: {took:?}");
    assert!(took < Duration::from_millis(150));
    let mut reader = store.as_ref().unwrap().hands().unwrap().unwrap().reader;
    let mut ask = |what: &str, query: &dyn Fn(u64) -> Query| {
        let took = (0..200).map(|i| timed(|| drop(reader.answer(&query(i * 499 + 1)).unwrap())));
        percentiles(what, took.collect())
    };
    let list = ask("a page of 50 runs", &|no| Query::Runs {
        owner: OWNER.into(),
        status: None,
        session_id: None,
        after: Some(id(no + 1)),
        limit: 50,
    });
    let first = ask("a first page of events", &|no| events_query(no, 0, 65_536));
    let store = store.as_mut().unwrap();
    let retain = Retain { runs: Some(98_000), ..Retain::default() };
    let mut more = true;
    let steps = std::iter::from_fn(|| {
        more.then(|| timed(|| more = store.prune(&retain, Wall(u64::MAX)).unwrap().more))
    });
    percentiles("a step of a clean-up", steps.collect());
    assert!(list < Duration::from_millis(3) && first < Duration::from_millis(2));
}

#[test]
#[ignore = "a measurement"]
fn creations_keep_up_with_5_000_a_second() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut syncer = store.hands().unwrap().unwrap().syncer;
    let start = Instant::now();
    for first in (1..=20_000).step_by(64) {
        commit(
            &mut store,
            (first..first + 64).map(|no| create(record(no))).collect::<Vec<Write>>(),
        );
        syncer.sync().unwrap();
    }
    println!(
        "{:.0} creations a second, 64 in a synced commit",
        20_000.0 / start.elapsed().as_secs_f64()
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn percentiles(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 1000];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?}", at(500), at(990), at(1000));
    at(500)
}
