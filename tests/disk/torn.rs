//! A log whose end is torn or damaged, as a loss of power leaves it.
use crate::served::wire::Stream;
use crate::served::{Place, Server};
use crate::{assert_sound, finished_run};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

/// Frames of the log are a page and a header of 24 bytes; the log has one of 32.
const FRAME: u64 = 4096 + 24;

/// A server that was killed with a few transactions in its log; its runs, oldest first.
fn killed() -> (Place, Vec<String>, u64) {
    let place = Place::new();
    drop(place.start(&[]));
    let mut server = place.start(&[]);
    let mut runs: Vec<String> =
        (0..6).map(|it| finished_run(&server, &format!("seq {it}"))).collect();
    let before = fs::metadata(place.beside("-wal")).unwrap().len();
    runs.push(finished_run(&server, "seq 9"));
    server.kill();
    (place, runs, before)
}

/// Starts on what is left, and gives the runs that are there.
fn survivors(place: &Place, runs: &[String]) -> (Server, usize) {
    let mut server = place.start(&["--log-level", "warn"]);
    let said = server.starting.said();
    assert!(said.contains("-wal") && said.contains("dropped"), "{said}");
    let is_there = |run: &&String| server.get(&format!("/v1/runs/{run}")).status == 200;
    let there = runs.iter().take_while(is_there).count();
    for run in &runs[there..] {
        assert_eq!(server.get(&format!("/v1/runs/{run}")).status, 404);
    }
    for run in &runs[..there] {
        let frames = Stream::open(server.addr, run, None).unwrap().unwrap().rest().unwrap();
        assert!(frames.last().unwrap().is_terminal());
    }
    (server, there)
}

#[test]
fn a_log_cut_within_a_frame_is_taken_up_to_there_and_told_of() {
    let (place, runs, before) = killed();
    let log = OpenOptions::new().write(true).open(place.beside("-wal")).unwrap();
    // Behind what was there when the last run began.
    log.set_len((before - 32) / FRAME * FRAME + 32 + FRAME / 2).unwrap();
    let (server, there) = survivors(&place, &runs);
    assert!(there >= 6, "only {there} are left");
    finished_run(&server, "seq 1");
    drop(server);
    assert_sound(&place);
    // It is told of once.
    let mut server = place.start(&[]);
    assert!(!server.starting.said().contains("dropped"));
}

#[test]
fn a_log_with_a_flipped_byte_in_its_last_transaction_is_taken_up_to_that() {
    let (place, runs, _) = killed();
    let log = OpenOptions::new().read(true).write(true).open(place.beside("-wal")).unwrap();
    let last = log.metadata().unwrap().len() - FRAME / 2;
    let mut byte = [0];
    log.read_exact_at(&mut byte, last).unwrap();
    log.write_all_at(&[byte[0] ^ 0x40], last).unwrap();
    let (server, there) = survivors(&place, &runs);
    assert!(there >= 6, "only {there} are left");
    drop(server);
    assert_sound(&place);
}

#[test]
fn a_log_that_is_all_nonsense_costs_only_what_was_in_it() {
    let (place, runs, before) = killed();
    fs::write(place.beside("-wal"), vec![0x5a; before as usize]).unwrap();
    let (server, there) = survivors(&place, &runs);
    assert_eq!(there, 0, "all of them were in the log");
    finished_run(&server, "seq 1");
    drop(server);
    assert_sound(&place);
}
