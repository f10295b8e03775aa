//! The durable store: one file that SQLite keeps, in WAL mode.
//!
//! One connection writes, each reader has its own. A commit is handed to the system and so outlives
//! the process; `Syncer` has the system hand it to the disk. Consecutive deltas of a run share a
//! row, which grows until it fills a page: that is what makes a hundred thousand of them a second
//! cheap. Rejected: a row for each delta (three times the time), a table ordered by run and number
//! (every commit then touches as many pages as there are runs).
mod check;
mod delete;
mod events;
mod export;
mod fault;
mod files;
mod grants;
mod hooks;
mod json;
mod open;
mod prune;
mod reader;
mod reserve;
mod runs;
mod said;
mod schema;
mod sessions;
mod syncer;
mod tails;
mod wal;
mod write;

pub use check::{Report, check};
pub use export::{Exported, export};

use super::{Hands, Store};
use crate::config::Retain;
use crate::record::{Answer, Batch, Fault, FaultKind, Pruned, Query, Recovered, Write};
use crate::time::Wall;
use reader::SqliteReader;
use reserve::Reserve;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use syncer::SqliteSyncer;
use tails::Tails;

/// How long a closing store waits for readers to finish.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A file that holds runs. Only one server can have it open at a time.
pub struct Sqlite {
    path: PathBuf,
    db: Connection,
    tails: Tails,
    reserve: Reserve,
    /// How many finished runs there are; `None` if that must be counted again.
    finished: Option<u64>,
    notes: Vec<String>,
    /// The last to go: once it is closed another server may open the file.
    _lock: File,
}

impl Sqlite {
    /// Opens the file at `path` and makes it if there is none, in a directory that is there.
    ///
    /// # Errors
    /// `Busy` if another server has it, `ReadOnly` or `Full` if it cannot be written, `Damaged` if
    /// it is, `Newer` if a later version of this program made it, `Other` if it is no store.
    pub fn open(path: &Path) -> Result<Sqlite, Fault> {
        let path = std::path::absolute(path).map_err(|error| fault::of_io(path, &error))?;
        let lock = files::lock(&path)?;
        let (db, notes) = open::writer(&path)?;
        let reserve = Reserve::beside(&path);
        let tails = Tails::default();
        let store = Sqlite { path, db, tails, reserve, finished: None, notes, _lock: lock };
        if store.reserve.is_given_up() {
            store.set_checkpoints(0);
        }
        Ok(store)
    }

    /// What an operator should know about the file as it was found, such as an unfinished
    /// transaction that was dropped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Does `work` in one transaction. Where there is no room for it, room is made, and it is tried
    /// once more.
    fn write<T>(
        &mut self,
        mut work: impl FnMut(&Connection, &mut Tails) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        let mut done = self.try_write(&mut work);
        if matches!(&done, Err(fault) if fault.kind == FaultKind::Full) && self.make_room() {
            done = self.try_write(&mut work);
        }
        match &done {
            Ok(_) if self.reserve.is_due() => self.have_reserve_back(),
            Ok(_) => {}
            Err(_) => self.finished = None,
        }
        done
    }

    /// Gives up the reserve; where that is gone, what the log takes beyond what it holds.
    fn make_room(&mut self) -> bool {
        let is_given_up = self.reserve.give_up();
        if is_given_up {
            self.set_checkpoints(0);
        }
        is_given_up || self.shorten_log()
    }

    fn have_reserve_back(&mut self) {
        self.shorten_log();
        self.reserve.make();
        if !self.reserve.is_given_up() {
            self.set_checkpoints(open::CHECKPOINT_PAGES);
        }
    }

    /// How many pages in the log have it brought into the database; 0 for never: the database would
    /// grow into the room that last words need.
    fn set_checkpoints(&self, pages: u32) {
        let set = format!("PRAGMA wal_autocheckpoint = {pages}");
        self.db.query_row(&set, [], |_| Ok(())).expect("a setting of this connection alone");
    }

    /// Brings the log into the database and gives its room back, if the database need not grow for
    /// that. False if it must, or somebody reads.
    fn shorten_log(&self) -> bool {
        let checkpoint = || {
            let number = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
            let needed = number("page_count")? * number("page_size")?;
            if fs::metadata(&self.path).is_ok_and(|it| it.len() < needed) {
                return Ok(false);
            }
            self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                Ok(row.get::<_, i64>(0)? == 0)
            })
        };
        checkpoint() == Ok(true)
    }

    fn try_write<T>(
        &mut self,
        work: &mut impl FnMut(&Connection, &mut Tails) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        let done = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate).and_then(
            |change| {
                let value = work(&change, &mut self.tails)?;
                change.commit()?;
                Ok(value)
            },
        );
        done.map_err(|error| {
            self.tails.forget_all();
            fault::of(&self.path, &error)
        })
    }
}

impl Drop for Sqlite {
    /// Brings the log into the database, so that after a proper end one file holds all there is.
    /// SQLite does so when the last connection closes, but that may be one that only reads.
    fn drop(&mut self) {
        if self.reserve.is_given_up() {
            // The database would take the room that last words are left.
            return;
        }
        // Where it fails the log stays, and is read by whoever opens the file next.
        let _ = self.db.busy_timeout(CLOSE_TIMEOUT);
        let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_short(&self) -> bool {
        self.reserve.is_given_up()
    }

    fn recover(&mut self) -> Result<Recovered, Fault> {
        runs::recover(&self.db).map_err(|error| fault::of(&self.path, &error))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.write(|db, tails| {
            batch.writes.iter().try_for_each(|write| write::apply(db, tails, write))
        })?;
        let finishes = |write: &&Write| matches!(write, Write::Finish { .. });
        let deletes =
            |write: &Write| matches!(write, Write::Delete { .. } | Write::DeleteSession { .. });
        if batch.writes.iter().any(deletes) {
            self.finished = None;
        }
        let more = batch.writes.iter().filter(finishes).count() as u64;
        self.finished = self.finished.map(|finished| finished + more);
        Ok(())
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        reader::answer(&self.db, query).map_err(|error| fault::of(&self.path, &error))
    }

    fn prune(&mut self, retain: &Retain, now: Wall) -> Result<Pruned, Fault> {
        let finished = match self.finished {
            Some(finished) => finished,
            None => prune::finished(&self.db).map_err(|error| fault::of(&self.path, &error))?,
        };
        let is_short = self.is_short();
        let pruned = self.write(|db, _| prune::step(db, retain, now, finished, is_short))?;
        self.finished = Some(finished.saturating_sub(pruned.gone.len() as u64));
        Ok(pruned)
    }

    fn hands(&self) -> Result<Option<Hands>, Fault> {
        let reader = Box::new(SqliteReader::open(&self.path)?);
        let syncer = Box::new(SqliteSyncer::open(&self.path)?);
        Ok(Some(Hands { reader, syncer }))
    }
}

/// A number as SQLite has it. None of ours comes near 2^63.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn wall(row: &Row<'_>, column: usize) -> rusqlite::Result<Wall> {
    row.get(column).map(Wall)
}
