//! Two servers and one file.
use crate::served::Place;
use crate::{finished_run, served};
use std::time::Instant;

#[test]
fn a_second_server_on_the_same_file_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.start(&[]);
    let run = finished_run(&server, "seq 1");
    let (code, said) = place.spawn(&[]).fail();
    assert_eq!(code, Some(1), "{said}");
    let pid = format!("process {}", server.pid());
    assert!(said.contains("runs.db") && said.contains("in use") && said.contains(&pid), "{said}");
    assert!(server.frames(&run).last().unwrap().is_terminal());
    finished_run(&server, "seq 2");
}

#[test]
fn a_server_starts_at_once_where_another_was_just_killed() {
    let place = Place::new();
    let mut server = place.start(&[]);
    for _ in 0..10 {
        let run = finished_run(&server, "seq 1");
        // A working run, whose tool outlives its server for a moment.
        server.run("run sleep 30");
        server.kill();
        let begun = Instant::now();
        server = place.start(&[]);
        assert!(begun.elapsed() < served::DEADLINE / 10, "{:?}", begun.elapsed());
        assert!(server.frames(&run).last().unwrap().is_terminal());
    }
}
