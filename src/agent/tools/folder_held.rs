//! Folders by descriptor: no step follows a link, and nothing can be swapped under a step.
use super::{Entry, EntryKind, not_regular, passing_name, read_only};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::fs::{fchmod, fchown, mkdirat, openat, renameat, statat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

/// True if no other process can lead a walk astray.
pub(in super::super) const RACELESS: bool = true;

/// Where it can be had, a descriptor that needs no right to read the folder.
#[cfg(target_os = "linux")]
const STEP: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const STEP: OFlags = OFlags::RDONLY;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(in super::super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder at `path`, which must be absolute and free of links, `.` and `..`.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let root = rustix::fs::open("/", STEP | FOLDER, Mode::empty())?;
        let mut names = path.components().filter(|part| *part != Component::RootDir);
        names.try_fold(Folder(root), |folder, name| folder.child(name.as_os_str()))
    }

    pub fn child(&self, name: &OsStr) -> io::Result<Folder> {
        Ok(Folder(openat(&self.0, name, STEP | FOLDER, Mode::empty())?))
    }

    /// Makes a folder, unless something of that name is there.
    pub fn make_child(&self, name: &OsStr) -> io::Result<()> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            made => Ok(made?),
        }
    }

    /// Opens a regular file for reading. Refuses all else, without waiting for a pipe's other end
    /// and without touching a device.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        match kind(&self.stat(name)?) {
            EntryKind::File => {}
            EntryKind::Link => return Err(rustix::io::Errno::LOOP.into()),
            _ => return Err(not_regular()),
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(openat(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
    }

    /// At most `max` entries, and whether there are more.
    pub fn entries(&self, max: usize) -> io::Result<(Vec<Entry>, bool)> {
        let readable = openat(&self.0, ".", OFlags::RDONLY | FOLDER, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in Dir::new(readable)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == max {
                return Ok((entries, true));
            }
            // What has gone since it was listed is no longer there to be told of.
            if let Ok(stat) = self.stat(&name) {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                entries.push(Entry { name, kind: kind(&stat), bytes });
            }
        }
        Ok((entries, false))
    }

    /// Puts a file with this content where `name` is: at once, never through a link, never into
    /// a file that has other names. Mode and owner stay those of a file that was there.
    pub fn replace(&self, name: &OsStr, content: &[u8]) -> io::Result<()> {
        let before = match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if kind(&stat) != EntryKind::File => return Err(not_regular()),
            Ok(stat) if stat.st_mode & 0o222 == 0 => return Err(read_only()),
            Ok(stat) => Some(stat),
            Err(rustix::io::Errno::NOENT) => None,
            Err(why) => return Err(why.into()),
        };
        let passing = passing_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.0, &passing, flags, Mode::from_raw_mode(0o666))?;
        let done = fill(File::from(file), content, before.as_ref())
            .and_then(|()| Ok(renameat(&self.0, &passing, &self.0, name)?));
        if done.is_err() {
            // The error that made the file useless is the one to tell, not that it stays.
            let _ = unlinkat(&self.0, &passing, AtFlags::empty());
        }
        done
    }

    fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

fn fill(mut file: File, content: &[u8], before: Option<&Stat>) -> io::Result<()> {
    file.write_all(content)?;
    if let Some(stat) = before {
        // Only root may give a file away; for anyone else it becomes the writer's, as a copy is.
        let _ = fchown(&file, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
        fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o777))?;
    }
    Ok(())
}

fn kind(stat: &Stat) -> EntryKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => EntryKind::Folder,
        FileType::RegularFile => EntryKind::File,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}
