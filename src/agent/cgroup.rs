//! A cgroup for each command: a set of processes that none leaves by itself, and that the kernel
//! ends whole.
//!
//! Where a cgroup2 mount is writable, a server makes a group below the one it is in, and in that
//! another for each command. Plain files do it all: a process enters by writing to `cgroup.procs`,
//! and whatever it starts is in the group with it; `cgroup.kill` (Linux 5.14) ends them together,
//! also those that are being born; a folder can be removed exactly when nobody is left in it.
//!
//! A server holds its folder locked. One whose lock is free has no server any more, and the next
//! server in the same place removes it with all that is in it. Rejected: the server's number in the
//! folder's name, which means another process in another PID namespace.
//!
//! What may write to cgroup files can move itself out: a command that is not confined, as root. Such
//! a one has a supervisor above it still, and must get rid of both.
use crate::limits::COMMAND_DEATH_MS;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the folders of servers are called, before 16 digits of chance.
const PREFIX: &str = "runwire-";
/// Between two looks at a group that is about to be empty.
const LOOK: Duration = Duration::from_micros(500);
/// Only a server that starts in the same moment makes one try fail.
const TRIES: usize = 3;

/// The folder in which a server has the groups of its commands; goes with this value.
pub(crate) struct Cgroups {
    path: PathBuf,
    /// Shared: says to other servers that this one lives.
    _lock: File,
    made: AtomicU64,
}

impl Cgroups {
    /// Removes what servers have left that ended too suddenly, and makes a folder. `None` where
    /// there is no cgroup2 mount that this process may write to.
    pub fn new() -> Option<Cgroups> {
        let mountinfo = fs::read("/proc/self/mountinfo").ok()?;
        let own = fs::read("/proc/self/cgroup").ok()?;
        places(&mountinfo, &own).iter().find_map(|place| Cgroups::in_place(place))
    }

    fn in_place(place: &Path) -> Option<Cgroups> {
        remove_left(place);
        (0..TRIES).find_map(|_| {
            let path = place.join(format!("{PREFIX}{:016x}", getrandom::u64().ok()?));
            fs::create_dir(&path).ok()?;
            let lock = File::open(&path).ok()?;
            lock.lock_shared().ok()?;
            // Until it was locked it could be taken for one that was left behind.
            let groups = Cgroups { path, _lock: lock, made: AtomicU64::new(0) };
            groups.path.exists().then_some(groups)
        })
    }

    /// A new group, with nobody in it.
    pub fn group(&self) -> io::Result<Cgroup> {
        let path = self.path.join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path)?;
        Ok(Cgroup { path })
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // Where it is not empty, the next server's start removes it.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The group of one command; whoever is left in it ends with this value.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends whoever is left. True if nobody is.
    pub fn end(&self) -> bool {
        end(&self.path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.end();
    }
}

/// Moves this process into the group whose folder is `group`.
pub fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Kills all processes in the group whose folder is `group`, and in the groups below it.
pub fn kill(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.kill"), "1")
}

/// Kills whoever is in the group whose folder is `group` and removes it. Waits for the kernel, at
/// most `COMMAND_DEATH_MS`; true if the group is gone.
pub fn end(group: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_millis(COMMAND_DEATH_MS);
    while !remove(group) {
        if Instant::now() >= deadline {
            return false;
        }
        // One that has gone meanwhile cannot be killed, and need not be.
        let _ = kill(group);
        sleep(LOOK);
    }
    true
}

/// Removes a group if nobody is in it. A command that is not confined may have made others below.
fn remove(group: &Path) -> bool {
    let is_gone = || match fs::remove_dir(group) {
        Ok(()) => true,
        Err(why) => why.kind() == ErrorKind::NotFound,
    };
    if is_gone() {
        return true;
    }
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for below in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&below.path());
    }
    is_gone()
}

/// Ends and removes the folders of servers that are no more.
fn remove_left(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes());
        if !is_ours {
            continue;
        }
        // Locked for oneself only when no server holds it.
        if let Ok(folder) = File::open(entry.path())
            && folder.try_lock().is_ok()
        {
            end(&entry.path());
        }
    }
}

/// The cgroup2 mounts there are: whoever may write below one can leave its group.
pub fn mounts() -> Vec<PathBuf> {
    let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
    mounts_in(&mountinfo).into_iter().map(|(_, at)| at).collect()
}

/// Where the group this process is in can be seen.
fn places(mountinfo: &[u8], own: &[u8]) -> Vec<PathBuf> {
    let mut lines = own.split(|byte| *byte == b'\n');
    let Some(own) = lines.find_map(|line| line.strip_prefix(b"0::")) else { return Vec::new() };
    let own = Path::new(OsStr::from_bytes(own));
    // A group outside of the namespace is seen from within as `/../other`.
    if own.components().any(|part| part == Component::ParentDir) {
        return Vec::new();
    }
    let seen = mounts_in(mountinfo).into_iter();
    seen.filter_map(|(root, at)| Some(at.join(own.strip_prefix(root).ok()?))).collect()
}

/// Of every cgroup2 mount: which group is its root, and where it is (proc(5), mountinfo).
fn mounts_in(mountinfo: &[u8]) -> Vec<(PathBuf, PathBuf)> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let mount = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let kind = fields.iter().position(|field| *field == b"-")? + 1;
        let is_cgroup2 = *fields.get(kind)? == b"cgroup2";
        let (root, at) = (fields.get(3)?, fields.get(4)?);
        is_cgroup2.then(|| (unescaped(root), unescaped(at)))
    };
    lines.filter_map(mount).collect()
}

/// A path in which blanks and backslashes stand as `\040` and the like.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_where_the_mount_shows_it() {
        let unified = PathBuf::from("/sys/fs/cgroup/unified");
        assert_eq!(places(HYBRID, b"4:memory:/x\n0::/\n"), [unified.join("")]);
        assert_eq!(places(HYBRID, b"0::/a/b.service\n"), [unified.join("a/b.service")]);
        let part = b"9 1 0:3 /a /mnt/with\\040blank\\134 rw - cgroup2 none rw\n";
        assert_eq!(places(part, b"0::/a/b"), [PathBuf::from("/mnt/with blank\\/b")]);
    }

    #[test]
    fn what_cannot_be_seen_is_not_found() {
        let none: [PathBuf; 0] = [];
        assert_eq!(places(HYBRID, b"4:memory:/x\n"), none);
        assert_eq!(places(HYBRID, b"0::/../outside\n"), none);
        assert_eq!(places(b"", b"0::/\n"), none);
        // A group beside the one that is mounted, whose name begins alike.
        assert_eq!(places(b"9 1 0:3 /a /mnt rw - cgroup2 none rw\n", b"0::/ab"), none);
        assert_eq!(places(b"1 2 3 - cgroup2\n- cgroup2\n\n", b"0::/\n"), none);
    }
}
