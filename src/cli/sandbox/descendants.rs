//! Every process that descends from this one, whatever session, group or environment it has.
//!
//! This process is the child-subreaper: a process whose parent ends becomes its child instead of
//! init's, so none can leave the tree.
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, pidfd_open, pidfd_send_signal, wait,
};
use std::collections::HashSet;
use std::fs;

/// True if the kernel tells a process's children (CONFIG_PROC_CHILDREN) and has a safe way to
/// signal them (Linux 5.3).
pub fn can_be_found() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
        && pidfd_open(getpid(), PidfdFlags::empty()).is_ok()
}

/// Takes note of every child that has ended, with `ended`. False if there is no child any more.
pub fn reap(mut ended: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(pid, status),
            Ok(None) | Err(rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        }
    }
}

/// Signals all descendants there are now. One that is born meanwhile may be missed: call again.
pub fn signal(signal: Signal) {
    let own = getpid();
    let mut family = vec![own];
    let mut known = HashSet::from([own]);
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        let born = children(*parent).into_iter().filter(|child| known.insert(*child));
        family.extend(born.collect::<Vec<_>>());
        next += 1;
    }
    for pid in &family[1..] {
        // Looked up, then seen to be of the family: a number that has passed to a stranger since
        // it was read does not get him killed.
        let Ok(held) = pidfd_open(*pid, PidfdFlags::empty()) else { continue };
        if parent(*pid).is_some_and(|parent| known.contains(&parent)) {
            // It fails for those that have ended, and for other users' (a set-uid program).
            let _ = pidfd_send_signal(&held, signal);
        }
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero())) else {
        return Vec::new();
    };
    let lists = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let numbers = lists.iter().flat_map(|list| list.split_whitespace());
    numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in brackets may contain anything, brackets too.
    let (_, after_name) = stat.rsplit_once(") ")?;
    Pid::from_raw(after_name.split(' ').nth(1)?.parse().ok()?)
}
