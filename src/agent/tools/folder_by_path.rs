//! Folders by path, for builds without the feature `sys`: each step checks for links, then acts.
use super::{Entry, EntryKind, not_regular, passing_name, read_only};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// False: a process that swaps a folder for a link between check and use wins.
pub(in super::super) const RACELESS: bool = false;

pub(in super::super) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder at `path`, which must be absolute and free of links, `.` and `..`.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            check_folder(&so_far)?;
        }
        Ok(Folder(so_far))
    }

    pub fn child(&self, name: &OsStr) -> io::Result<Folder> {
        let path = self.0.join(name);
        check_folder(&path)?;
        Ok(Folder(path))
    }

    /// Makes a folder, unless something of that name is there.
    pub fn make_child(&self, name: &OsStr) -> io::Result<()> {
        match fs::create_dir(self.0.join(name)) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Opens a regular file for reading, and refuses all else.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        let path = self.0.join(name);
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(not_regular());
        }
        File::open(path)
    }

    /// At most `max` entries, and whether there are more.
    pub fn entries(&self, max: usize) -> io::Result<(Vec<Entry>, bool)> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entries.len() == max {
                return Ok((entries, true));
            }
            // What has gone since it was listed is no longer there to be told of.
            if let Ok(metadata) = fs::symlink_metadata(entry.path()) {
                let (name, kind) = (entry.file_name(), kind(&metadata));
                entries.push(Entry { name, kind, bytes: metadata.len() });
            }
        }
        Ok((entries, false))
    }

    /// Puts a file with this content where `name` is: at once, never through a link, never into
    /// a file that has other names. The mode stays that of a file that was there.
    pub fn replace(&self, name: &OsStr, content: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        let before = match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_file() => return Err(not_regular()),
            Ok(metadata) if metadata.permissions().readonly() => return Err(read_only()),
            Ok(metadata) => Some(metadata),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(why),
        };
        let passing = self.0.join(passing_name()?);
        let file = OpenOptions::new().write(true).create_new(true).open(&passing)?;
        let done = fill(file, content, before.as_ref()).and_then(|()| fs::rename(&passing, &path));
        if done.is_err() {
            // The error that made the file useless is the one to tell, not that it stays.
            let _ = fs::remove_file(&passing);
        }
        done
    }
}

fn check_folder(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn fill(mut file: File, content: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    file.write_all(content)?;
    match before {
        Some(metadata) => file.set_permissions(metadata.permissions()),
        None => Ok(()),
    }
}

fn kind(metadata: &Metadata) -> EntryKind {
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        EntryKind::Folder
    } else if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_symlink() {
        EntryKind::Link
    } else {
        EntryKind::Other
    }
}
