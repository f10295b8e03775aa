//! Has the system bring to the disk what was committed, so that no writer has to wait for it.
use super::files::{beside, folder};
use super::{fault, open};
use crate::record::{Fault, FaultKind};
use crate::store::Syncer;
use rusqlite::Row;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Syncs the WAL. What is no longer in it has been brought to the disk by SQLite: a checkpoint
/// syncs both files before the WAL begins anew, and it stays the same file for as long as a
/// connection is open.
pub struct SqliteSyncer {
    path: PathBuf,
    wal: File,
    /// A sync has failed. The system then may forget what it could not write and call the next
    /// sync a success; only writing all of it anew is one.
    is_doubtful: bool,
}

impl SqliteSyncer {
    /// Also syncs what is there: what a server before had no time to sync is shown from now on. And
    /// the directory, so that the files are found after a loss of power.
    pub fn open(path: &Path) -> Result<SqliteSyncer, Fault> {
        let failed = |error: &std::io::Error| fault::of_io(path, error);
        let wal = File::options().read(true).write(true).open(beside(path, "-wal"));
        let wal = wal.map_err(|error| failed(&error))?;
        wal.sync_data().map_err(|error| failed(&error))?;
        #[cfg(unix)]
        File::open(folder(path)).and_then(|it| it.sync_all()).map_err(|error| failed(&error))?;
        Ok(SqliteSyncer { path: path.to_owned(), wal, is_doubtful: false })
    }

    /// Writes all that is in the WAL to the database, and syncs that.
    fn write_anew(&mut self) -> Result<(), Fault> {
        let checkpoint = |row: &Row<'_>| {
            let (is_blocked, frames, done): (i64, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(is_blocked + frames - done)
        };
        let left = open::checkpointer(&self.path)
            .and_then(|db| db.query_row("PRAGMA wal_checkpoint(FULL)", [], checkpoint));
        match left.map_err(|error| fault::of(&self.path, &error))? {
            0 => Ok(()),
            _ => Err(fault::explain(&self.path, FaultKind::Busy, "it is being read")),
        }
    }
}

impl Syncer for SqliteSyncer {
    fn sync(&mut self) -> Result<(), Fault> {
        if self.is_doubtful {
            self.write_anew()?;
            self.is_doubtful = false;
            return Ok(());
        }
        self.wal.sync_data().map_err(|error| {
            self.is_doubtful = true;
            fault::of_io(&self.path, &error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Sqlite, Store};

    #[test]
    fn a_sync_that_failed_is_made_good_by_writing_anew() {
        let name = format!("runwire-syncer-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a directory for the test");
        let path = folder.join("runs.db");
        let store = Sqlite::open(&path).expect("a new store");
        let mut syncer = SqliteSyncer::open(&path).expect("a syncer");
        // Nothing can be synced there.
        let wal = std::mem::replace(&mut syncer.wal, File::open("/dev/null").expect("a device"));
        assert!(syncer.sync().is_err());
        syncer.wal = wal;
        let before = std::fs::metadata(&path).expect("its length").len();
        assert_eq!(syncer.sync(), Ok(()));
        assert!(std::fs::metadata(&path).expect("its length").len() > before);
        assert_eq!((syncer.sync(), store.is_durable()), (Ok(()), true));
        std::fs::remove_dir_all(folder).expect("the test's directory goes");
    }
}
