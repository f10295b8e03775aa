//! A folder held open, reached without following a single link.
//!
//! Whoever may write into the workspace can swap a folder for a link between a check and a use.
//! So a path is first resolved (`files.rs`), checked, and then walked again name by name, each
//! step refusing links: what is opened lies exactly where the checked path says. This is what
//! openat2 with RESOLVE_NO_SYMLINKS does in one call, but it works on every Unix, on old kernels
//! and where a sandbox hides that call.
//!
//! Without the feature `sys` there is no way to hold a folder open: the same steps go by path,
//! each checked just before it is used, which a process that swaps at the right moment can outrun.
#[cfg(all(feature = "sys", unix))]
#[path = "folder_held.rs"]
mod imp;
#[cfg(not(all(feature = "sys", unix)))]
#[path = "folder_by_path.rs"]
mod imp;

pub(super) use imp::{Folder, RACELESS};

use std::ffi::OsString;
use std::io;

/// What a folder contains.
pub(super) struct Entry {
    pub name: OsString,
    pub kind: EntryKind,
    pub bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File,
    Link,
    /// A device, pipe or socket.
    Other,
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "it is marked read-only; change its mode first")
}

/// A name for a file that is about to replace another one, which nobody can guess.
fn passing_name() -> io::Result<OsString> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(".runwire-{:016x}.tmp", u64::from_ne_bytes(random)).into())
}
