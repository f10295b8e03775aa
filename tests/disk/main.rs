//! Disks that are full, files that are damaged or somebody else's, clocks that jump: what the real
//! server says to each, and what it goes on with.
#![cfg(all(feature = "cli", feature = "llm", feature = "sqlite", target_os = "linux"))]
mod clock;
mod damage;
mod full;
mod lock;
mod refused;
#[path = "../served/mod.rs"]
mod served;
mod torn;

use runwire::store::sqlite::check;
use rusqlite::Connection;
use served::wire::Frame;
use served::{Place, Server};
use std::fs;

/// A place with `count` finished runs, whose server was killed; the runs, oldest first.
fn place_of(count: usize) -> (Place, Vec<String>) {
    let place = Place::new();
    let mut server = place.start(&[]);
    let runs = (0..count).map(|index| finished_run(&server, &format!("seq {index}"))).collect();
    server.kill();
    (place, runs)
}

/// A run of the model that needs no network, at its end.
fn finished_run(server: &Server, input: &str) -> String {
    let run = server.run(input);
    assert!(server.frames(&run).last().unwrap().is_terminal());
    run
}

/// Brings all that is in the log into the file, as SQLite would by and by.
fn empty_log(place: &Place) {
    let db = Connection::open(place.file()).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    assert!(fs::metadata(place.beside("-wal")).map_or(0, |it| it.len()) == 0);
}

fn assert_sound(place: &Place) {
    assert_eq!(check(&place.file()).unwrap().problems, [""; 0]);
}

fn assert_gapless(frames: &[Frame]) {
    for (seq, frame) in frames.iter().enumerate() {
        assert_eq!(frame.seq, seq as u64);
    }
    assert_eq!(frames.iter().filter(|frame| frame.is_terminal()).count(), 1);
    assert!(frames.last().unwrap().is_terminal());
}
