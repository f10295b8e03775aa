//! Where runs rest.
mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod transcript;

pub use memory::Memory;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use crate::config::Retain;
use crate::record::{Answer, Batch, Fault, Pruned, Query, Recovered};
use crate::time::Wall;

/// Keeps runs. One thread writes to it; another may read.
pub trait Store: Send + 'static {
    /// What operators call it, such as `sqlite`.
    fn name(&self) -> &'static str;

    /// True if it outlives the process. The server then shows no event before it is stored, and
    /// takes finished runs' events from here. Other stores are given no deltas and
    /// no last events, of which `Write::Finish` tells.
    fn is_durable(&self) -> bool;

    /// What it holds from before. Asked once, before anything is written.
    fn recover(&mut self) -> Result<Recovered, Fault>;

    /// Stores all of `batch` or, on a fault, nothing of it. It then survives the process, but a
    /// loss of power only after `Syncer::sync`.
    fn commit(&mut self, batch: &Batch) -> Result<(), Fault>;

    /// True while the disk is so nearly full that new runs should be refused: what was kept free
    /// for the last words of those at work is being used. A commit that succeeds may end it.
    fn is_short(&self) -> bool {
        false
    }

    /// Answers from all that was committed before.
    fn answer(&mut self, query: &Query) -> Result<Answer, Fault>;

    /// Takes one small step towards `retain`: a few milliseconds at most. Unfinished runs stay, and
    /// so do those whose Idempotency-Key is still good.
    fn prune(&mut self, retain: &Retain, now: Wall) -> Result<Pruned, Fault>;

    /// Hands for other threads; `None` if nothing it does can take long, so that the event loop
    /// itself may use it. Asked once, after `recover`: by then all that was recovered outlives a
    /// loss of power, since clients are shown it.
    fn hands(&self) -> Result<Option<Hands>, Fault>;
}

/// A store's hands for other threads.
pub struct Hands {
    pub reader: Box<dyn Reader>,
    pub syncer: Box<dyn Syncer>,
}

/// Reads while another thread writes.
pub trait Reader: Send {
    /// Answers from all that was committed before.
    fn answer(&mut self, query: &Query) -> Result<Answer, Fault>;
}

/// Waits for the disk while another thread writes.
pub trait Syncer: Send {
    /// Returns once all that was committed before would outlive a loss of power.
    fn sync(&mut self) -> Result<(), Fault>;
}
