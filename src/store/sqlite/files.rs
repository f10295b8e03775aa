//! The files of a store: the database, SQLite's own two beside it, a lock, and a reserve.
use super::fault;
use crate::record::{Fault, FaultKind};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a file that another process holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The file that is called as `path` with `ending` behind it.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// The directory `path` lies in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Opens a file only its owner may read or write, whatever the umask, and makes it if need be.
pub fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    make_private(&file)?;
    Ok(file)
}

#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

/// Sees to it that the database is there and that it and SQLite's files beside it are private.
/// SQLite makes those like the database.
pub fn prepare(path: &Path) -> Result<(), Fault> {
    open_private(path).map_err(|error| fault::of_io(path, &error))?;
    for ending in ["-wal", "-shm"] {
        let path = beside(path, ending);
        if path.exists() {
            open_private(&path).map_err(|error| fault::of_io(&path, &error))?;
        }
    }
    Ok(())
}

/// Holds the file against other servers for as long as the answer lives; also one that died in
/// the worst way lets go of it.
///
/// # Errors
/// `Busy` if another process holds it.
pub fn lock(path: &Path) -> Result<File, Fault> {
    let lock = beside(path, ".lock");
    let mut file = open_private(&lock).map_err(|error| fault::of_io(path, &error))?;
    match lock_soon(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(fault::explain(path, FaultKind::Busy, &holder(&mut file)));
        }
        Err(TryLockError::Error(error)) => return Err(fault::of_io(&lock, &error)),
    }
    let pid = format!("{}\n", std::process::id());
    // The number is only for people: a full disk must not keep a server from starting.
    let _ = file.set_len(0).and_then(|()| file.write_all(pid.as_bytes()));
    Ok(file)
}

/// Tries again for a moment: a server that was killed while it started a command lives on in that
/// child, lock and all, until it becomes the command.
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(LOCK_PAUSE);
            }
            locked => return locked,
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    match text.trim().parse::<u32>() {
        Ok(pid) if read.is_ok() => format!("process {pid}"),
        _ => "which has not left its number".to_owned(),
    }
}
