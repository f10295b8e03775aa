//! The supervisor of one command: outlives every process of it, and says when none is left.
//!
//! Its standard input is a socket to the server. End of input, because the server wants the end or
//! because it has died, ends the command. Its one line of output there is how the command ended:
//! `exited CODE`, `signal NUMBER`, `failed WHY`, with `left ` before it if a process is there still.
//!
//! A confined command cannot signal it (Landlock 6). An unconfined one can kill it, as it can the
//! server itself; its shell then dies with it, what has left that shell does not.
use super::{Plan, descendants};
use runwire::agent::cgroup;
use runwire::limits::{COMMAND_DEATH_MS, COMMAND_GRACE_MS};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitStatus, getpid, pidfd_open, set_child_subreaper, setsid,
};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often orphans that have ended meanwhile are taken note of.
const REAP: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// Between two looks at processes that are about to end.
const LOOK: Duration = Duration::from_micros(500);

/// Runs the plan's command to the end of all its processes. `words` are the plan as it was told.
pub fn supervise(plan: &Plan, words: &[OsString]) -> ExitCode {
    let Ok(control) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let control = UnixStream::from(control);
    let temporary = plan.workspace.as_ref().map(|_| private_folder()).transpose();
    let told =
        match temporary.as_ref().map(|folder| watch(plan, words, folder.as_deref(), &control)) {
            Ok(Ok(told)) => told,
            Ok(Err(why)) => format!("failed {why}"),
            Err(why) => format!("failed it has no temporary folder: {why}"),
        };
    if let Ok(Some(folder)) = temporary {
        // What the command has made unremovable stays, for its owner to see.
        let _ = std::fs::remove_dir_all(folder);
    }
    if (&control).write_all(told.as_bytes()).is_err()
        && let Some(servers) = plan.cgroup.as_deref().and_then(Path::parent)
    {
        // A server that is gone needs no word; the last of its supervisors takes its folder away.
        let _ = std::fs::remove_dir(servers);
    }
    ExitCode::SUCCESS
}

/// A folder for nobody else, beside all others of its kind.
fn private_folder() -> io::Result<PathBuf> {
    let name = format!("runwire-{:016x}", getrandom::u64().map_err(io::Error::other)?);
    let folder = std::fs::canonicalize(std::env::temp_dir())?.join(name);
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn watch(
    plan: &Plan,
    words: &[OsString],
    temporary: Option<&Path>,
    control: &UnixStream,
) -> io::Result<String> {
    // No terminal and no signal meant for the server reaches the command or this process.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let shell = start(words, temporary)?;
    let ending = pidfd_open(shell, PidfdFlags::empty())?;
    let mut status = None;
    let mut note = |pid: Pid, ended: WaitStatus| {
        if pid == shell {
            status = Some(ended);
        }
    };
    // A poll that fails leaves one thing to do: to end what was started.
    while !is_over(control, &ending).unwrap_or(true) {
        descendants::reap(&mut note);
    }
    let cgroup = plan.cgroup.as_deref();
    let is_left = end_all(cgroup, &mut note) | cgroup.is_some_and(|group| !cgroup::end(group));
    let left = if is_left { "left " } else { "" };
    let told = status.map_or("signal 9".to_owned(), |status| match status.terminating_signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("exited {}", status.exit_status().unwrap_or_default()),
    });
    Ok(format!("{left}{told}"))
}

/// Starts this program once more, to become the shell in a group of its own.
fn start(words: &[OsString], temporary: Option<&Path>) -> io::Result<Pid> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["__sandbox", "enter"]);
    if let Some(folder) = temporary {
        command.arg("--temporary").arg(folder);
        command.envs(["TMPDIR", "TMP", "TEMP"].map(|name| (name, folder)));
    }
    let shell = command.args(words).process_group(0).stdin(Stdio::null()).spawn()?;
    // It is reaped with the others, not by way of `Child`.
    Ok(Pid::from_child(&shell))
}

/// Waits for the shell's end, the server's word, or a while. True for one of the first two.
fn is_over(control: &UnixStream, ending: &OwnedFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(control, PollFlags::IN), PollFd::new(ending, PollFlags::IN)];
    match poll(&mut polled, Some(&REAP)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(why) => Err(why.into()),
        Ok(_) => Ok(polled.iter().any(|polled| !polled.revents().is_empty())),
    }
}

/// Asks every descendant to end, gives them a while, then kills until none is left. True if some
/// are left all the same.
fn end_all(cgroup: Option<&Path>, note: &mut impl FnMut(Pid, WaitStatus)) -> bool {
    if !descendants::reap(&mut *note) {
        return false;
    }
    descendants::signal(Signal::TERM);
    let grace = Instant::now() + Duration::from_millis(COMMAND_GRACE_MS);
    while Instant::now() < grace {
        if !descendants::reap(&mut *note) {
            return false;
        }
        sleep(LOOK);
    }
    if let Some(group) = cgroup {
        // All at once, where the rounds below run after those who fork. They are for who has left
        // the group.
        let _ = cgroup::kill(group);
        sleep(LOOK);
        if !descendants::reap(&mut *note) {
            return false;
        }
    }
    let death = Instant::now() + Duration::from_millis(COMMAND_DEATH_MS);
    while Instant::now() < death {
        descendants::signal(Signal::KILL);
        if !descendants::reap(&mut *note) {
            return false;
        }
        sleep(LOOK);
    }
    true
}
