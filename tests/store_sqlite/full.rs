//! A disk without room, for real: a small file system of one's own, or a limit on a file's size.
#![cfg(target_os = "linux")]
use crate::kit::*;
use runwire::id::RunNo;
use runwire::record::{FaultKind, Write};
use runwire::store::sqlite::check;
use runwire::store::{Sqlite, Store};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Where the tests below are told to keep their store.
const PLACE: &str = "RUNWIRE_STORE_PLACE";

#[test]
fn a_full_disk_takes_the_last_words_and_recovers() {
    on_small_disk("full::on_a_small_disk");
}

#[test]
#[ignore = "run by the test above, where the disk is small"]
fn on_a_small_disk() {
    let file = place().join("runs.db");
    let mut store = Sqlite::open(&file).unwrap();
    commit(&mut store, [create(record(1))]);
    fill(&place());
    // The log still has room within its file; then the reserve has to go.
    let mut seq = 0;
    while !store.is_short() {
        commit(&mut store, [said(1, deltas(1, seq, seq + 40))]);
        seq += 40;
        assert!(seq < 1_000_000, "the disk never was full");
    }
    assert!(!beside(&file, ".reserve").exists());
    let fault = loop {
        match store.commit(&batch([said(1, deltas(1, seq, seq + 40))])) {
            Ok(()) => seq += 40,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::Full);
    assert!(fault.message.contains("runs.db") && fault.message.contains("free"), "{fault}");
    // There was room for last words: a megabyte, log and all.
    assert!(
        all_events(&mut store, 1, 1 << 20).lines().count() as u64 == seq && seq > 1000,
        "{seq}"
    );
    // New files cannot be made here now either.
    let other = Sqlite::open(&place().join("other.db")).err().expect("there is no room");
    assert_eq!(other.kind, FaultKind::Full, "{other}");

    fs::remove_file(place().join("filler")).unwrap();
    until_roomy(&mut store);
    commit(&mut store, [said(1, deltas(1, seq, seq + 40))]);
    commit(&mut store, complete(1, seq + 40, record(1).created));
    assert_eq!(all_events(&mut store, 1, 1 << 20).lines().count() as u64, seq + 41);
    assert_eq!(check(&file).unwrap().problems, [""; 0]);
}

#[test]
fn what_was_deleted_makes_room_on_a_full_disk() {
    on_small_disk("full::deleting_on_a_small_disk");
}

#[test]
#[ignore = "run by the test above, where the disk is small"]
fn deleting_on_a_small_disk() {
    let mut store = Sqlite::open(&place().join("runs.db")).unwrap();
    let mut no = 0;
    while !store.is_short() {
        no += 1;
        commit(&mut store, whole(record(no), 500));
    }
    commit(&mut store, (2..=no).map(|no| Write::Delete { no: RunNo(no) }));
    while store.prune(&Default::default(), record(99).created).unwrap().more {}
    until_roomy(&mut store);
    commit(&mut store, whole(record(no + 1), 1000));
    assert!(run(&mut store, no + 1).is_some() && run(&mut store, 2).is_none());
}

/// A second passes between two tries to have the reserve back.
fn until_roomy(store: &mut Sqlite) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.is_short() {
        commit(store, [Write::Probe]);
        assert!(Instant::now() < deadline, "the reserve did not come back");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let folder = Folder::new();
    // 512-byte blocks. A signal that is ignored stays so across exec.
    run_test("full::within_a_limit", &folder.0, "trap '' XFSZ; ulimit -f 4096; exec \"$@\"");
}

#[test]
#[ignore = "run by the test above, under a limit"]
fn within_a_limit() {
    let mut store = Sqlite::open(&place().join("runs.db")).unwrap();
    commit(&mut store, [create(record(1))]);
    let mut seq = 0;
    let fault = loop {
        match store.commit(&batch([said(1, deltas(1, seq, seq + 1000))])) {
            Ok(()) => seq += 1000,
            Err(fault) => break fault,
        }
        assert!(seq < 1_000_000, "the limit was never reached");
    };
    assert_eq!(fault.kind, FaultKind::Full, "{fault}");
    assert_eq!(all_events(&mut store, 1, 1 << 20).lines().count() as u64, seq);
}

/// Runs an ignored test of this file on a file system of 6 MiB; not where nobody may mount one.
fn on_small_disk(test: &str) {
    let folder = Folder::new();
    let mounted = "mount -t tmpfs -o size=6m none \"$RUNWIRE_STORE_PLACE\"";
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let may_mount = Command::new(unshare[0])
        .args(&unshare[1..])
        .args(["sh", "-c", mounted])
        .env(PLACE, &folder.0)
        .output()
        .is_ok_and(|tried| tried.status.success());
    if !may_mount {
        println!("not run: no file system can be mounted here");
        return;
    }
    let script = format!("exec {} sh -c '{mounted} && exec \"$@\"' sh \"$@\"", unshare.join(" "));
    run_test(test, &folder.0, &script);
}

fn run_test(test: &str, folder: &Path, script: &str) {
    let ran = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(PLACE, folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let all = format!("{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{all}");
}

fn place() -> PathBuf {
    std::env::var_os(PLACE).expect("only another test runs this one").into()
}

/// Takes all the room there is.
fn fill(folder: &Path) {
    let mut filler = File::create(folder.join("filler")).unwrap();
    while filler.write_all(&[7; 4096]).is_ok() {}
}
