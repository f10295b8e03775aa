//! SQLite's errors in this program's words: what is wrong with which file, and what to do next.
use super::files::beside;
use crate::record::{Fault, FaultKind};
use rusqlite::ErrorCode;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// What `error` means for the store at `path`.
///
/// SQLite keeps the system's reason to itself, so that a full quota looks like a broken disk: where
/// it matters, the disk is asked.
pub fn of(path: &Path, error: &rusqlite::Error) -> Fault {
    let kind = match code(error) {
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        Some(ErrorCode::SystemIoFailure) => ask_disk(path).unwrap_or(FaultKind::Other),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            ask_disk(path).unwrap_or(FaultKind::ReadOnly)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Damaged,
        Some(ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed) => FaultKind::Busy,
        Some(ErrorCode::DatabaseLocked) => FaultKind::Busy,
        Some(_) => FaultKind::Other,
        None => of_content(error),
    };
    explain(path, kind, &error.to_string())
}

/// What the system's `error` at `path` means.
pub fn of_io(path: &Path, error: &io::Error) -> Fault {
    explain(path, kind_of(error.kind()).unwrap_or(FaultKind::Other), &error.to_string())
}

/// A fault with `detail`, in the words that belong to its kind.
pub fn explain(path: &Path, kind: FaultKind, detail: &str) -> Fault {
    let file = path.display();
    let message = match kind {
        FaultKind::Full => format!("no room for {file} ({detail}): free some space on its disk"),
        FaultKind::ReadOnly => format!(
            "{file} cannot be written ({detail}): let this user write to the file and its \
             directory, or choose another place"
        ),
        FaultKind::Damaged => format!(
            "{file} is damaged ({detail}): `runwire db check {file}` tells how far, `runwire db \
             export {file}` saves what can be read; to go on, put a copy in its place or move it away"
        ),
        FaultKind::Busy => format!("{file} is in use by another process ({detail}): end that one"),
        FaultKind::Newer | FaultKind::Other => format!("{file}: {detail}"),
    };
    Fault { kind, message }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        other => other.sqlite_error_code(),
    }
}

/// Errors that are not SQLite's: a value that this program would not have written.
fn of_content(error: &rusqlite::Error) -> FaultKind {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..) => FaultKind::Damaged,
        _ => FaultKind::Other,
    }
}

/// Whether a file as long as the WAL may grow to can be written beside `path`; `None` if it can.
fn ask_disk(path: &Path) -> Option<FaultKind> {
    let probe = beside(path, ".probe");
    let len = fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len());
    let asked = write_at(&probe, len);
    // What is left of a probe is empty or small, and the next one takes its place.
    let _ = fs::remove_file(&probe);
    asked.err().and_then(|error| kind_of(error.kind()))
}

fn write_at(probe: &Path, len: u64) -> io::Result<()> {
    let mut file = File::create(probe)?;
    file.set_len(len)?;
    let mut rest = &mut file;
    io::Seek::seek(&mut rest, io::SeekFrom::End(0))?;
    rest.write_all(&[1; 64 * 1024])?;
    file.sync_all()
}

fn kind_of(kind: ErrorKind) -> Option<FaultKind> {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some(FaultKind::Full)
        }
        ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied
        | ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => Some(FaultKind::ReadOnly),
        _ => None,
    }
}
