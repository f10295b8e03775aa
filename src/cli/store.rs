//! The server's store, as its settings name it.
use super::settings::StoreKind;
use super::state::State;
use runwire::record::Fault;
use runwire::store::{Memory, Store};

/// A store that is ready, and what to say of it.
pub struct Opened {
    pub store: Box<dyn Store>,
    /// Where the runs are, for the greeting.
    pub place: String,
    /// What an operator should know about the file as it was found.
    pub notes: Vec<String>,
}

/// Opens the store; only one that is a file needs a state directory. One in memory keeps `said_max`
/// bytes of what was said in a run.
pub fn open(
    kind: StoreKind,
    said_max: usize,
    state: Result<&State, String>,
) -> Result<Opened, String> {
    match kind {
        StoreKind::Sqlite => sqlite(state?),
        StoreKind::Memory => Ok(Opened {
            store: Box::new(Memory::within(said_max)),
            place: "memory (the end of this server forgets all runs)".to_owned(),
            notes: Vec::new(),
        }),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(state: &State) -> Result<Opened, String> {
    state.make()?;
    let path = state.runs_file();
    let store = runwire::store::Sqlite::open(&path).map_err(|fault| not_opened(&fault))?;
    let notes = store.notes().to_vec();
    Ok(Opened { store: Box::new(store), place: path.display().to_string(), notes })
}

#[cfg(feature = "sqlite")]
fn not_opened(fault: &Fault) -> String {
    match fault.kind {
        runwire::record::FaultKind::Busy => {
            format!("{} Or name another state directory with --state.", told(fault))
        }
        _ => told(fault),
    }
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &State) -> Result<Opened, String> {
    Err("This runwire is built without SQLite: build it with the feature `sqlite`, or leave \
         --store out to keep runs in memory."
        .to_owned())
}

/// A fault as a sentence of its own.
pub fn told(fault: &Fault) -> String {
    format!("{}.", fault.message.trim_end_matches('.'))
}
