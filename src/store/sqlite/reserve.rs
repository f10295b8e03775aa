//! Room on the disk that is kept for when there is no other: a file beside the database.
//!
//! When the disk is full, the last words of working runs can still be stored in its place.
use super::files::{beside, open_private};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RESERVE_BYTES: usize = 1024 * 1024;
/// Between two tries to have it back.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    /// When it was last tried in vain to have it; `None` exactly while it is there.
    missing: Option<Instant>,
}

impl Reserve {
    /// The reserve of the database at `path`, made if there is room for it.
    pub fn beside(path: &Path) -> Reserve {
        let mut reserve = Reserve { path: beside(path, ".reserve"), missing: None };
        reserve.make();
        reserve
    }

    /// True while there is none: the disk is full, or nearly.
    pub fn is_given_up(&self) -> bool {
        self.missing.is_some()
    }

    /// Lets go of the room. False if there was none to let go of.
    pub fn give_up(&mut self) -> bool {
        if self.missing.is_some() || fs::remove_file(&self.path).is_err() {
            return false;
        }
        self.missing = Some(Instant::now());
        true
    }

    /// True if there is none, and it is time to try whether there is room for it.
    pub fn is_due(&self) -> bool {
        self.missing.is_some_and(|tried| tried.elapsed() >= RETRY)
    }

    pub fn make(&mut self) {
        self.missing = None;
        if self.is_there() || self.fill().is_ok() {
            return;
        }
        self.missing = Some(Instant::now());
        // Half a reserve helps no one, and its room may help others.
        let _ = fs::remove_file(&self.path);
    }

    fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|it| it.len() == RESERVE_BYTES as u64)
    }

    /// Writes what no file system can store in less room than it takes.
    fn fill(&self) -> io::Result<()> {
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(RESERVE_BYTES);
        while bytes.len() < RESERVE_BYTES {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            bytes.extend_from_slice(&noise.to_le_bytes());
        }
        let mut file = open_private(&self.path)?;
        file.set_len(0)?;
        file.write_all(&bytes)?;
        file.sync_all()
    }
}
