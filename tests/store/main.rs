//! What every store must do, and what each of them is asked here: whoever keeps runs somewhere
//! else adds it to `kinds`.
#[path = "../sim/random.rs"]
mod chance;
mod conversations;
mod desk;
mod durable;
mod lists;
mod memory;
mod model;
mod runs;
mod script;
mod sessions;
mod transcript;

use desk::Desk;
use runwire::store::{Memory, Store};
use std::path::Path;

/// Opens the store whose file, if it has any, is in `folder`.
type Open = fn(folder: &Path) -> Box<dyn Store>;

const KINDS: &[Open] = &[
    |_| Box::new(Memory::default()),
    #[cfg(feature = "sqlite")]
    |folder| Box::new(runwire::store::Sqlite::open(&folder.join("runs.db")).expect("it opens")),
];

/// Runs `test` on a new store of each kind.
fn on_each(test: impl Fn(&mut Desk)) {
    for open in KINDS {
        let mut desk = Desk::new(*open);
        println!("store: {}", desk.name());
        test(&mut desk);
    }
}

/// Runs `test` on a new store of each kind that outlives its process.
fn on_each_durable(test: impl Fn(&mut Desk)) {
    on_each(|desk| {
        if desk.is_durable() {
            test(desk);
        }
    });
}
