//! A command and all it starts, as one process group: watched, and ended without fail.
//!
//! The group is signalled while its leader, the shell, is not yet reaped: until then no other
//! process can get the leader's number, so a signal never hits a stranger. A process that has left
//! the group (`setsid`) is out of reach; it cannot hold the tool up either.
use super::output::Output;
use super::printed::{Printed, wait};
use crate::agent::Cancel;
use crate::limits::COMMAND_GRACE_MS;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_millis(COMMAND_GRACE_MS);
/// How long a killed shell is waited for; only the kernel can hold it up.
const DEATH: Duration = Duration::from_millis(100);

/// How a command ended.
pub(super) enum End {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

pub(super) struct Group {
    /// The leader; `None` once it is reaped.
    shell: Option<Child>,
    printed: Printed,
    /// Hangs up when the shell has ended.
    ended: PipeReader,
    has_ended: bool,
}

impl Group {
    /// Starts `/bin/sh` with `command` as the leader of a group of its own.
    pub fn start(
        command: &str,
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> io::Result<Group> {
        let (printed, out) = Printed::new()?;
        let (ended, ending) = io::pipe()?;
        let shell = Command::new("/bin/sh")
            .args(["-c", "--", command])
            .current_dir(folder)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&shell);
        let shell = Some(shell);
        let group = Group { shell, printed, ended, has_ended: false };
        let waiter = thread::Builder::new().name("command".to_owned()).stack_size(64 * 1024);
        waiter.spawn(move || tell_the_end(pid, ending))?;
        Ok(group)
    }

    /// Waits for the command to end, or ends it when `limit` is over or `cancel` says so. Then
    /// ends all that it has left running.
    pub fn watch(
        mut self,
        limit: Duration,
        cancel: &Cancel,
        output: &mut Output,
    ) -> io::Result<End> {
        let deadline = Instant::now() + limit;
        let (stop, bell) = io::pipe()?;
        // One byte in an empty pipe: this neither blocks nor fails while `stop` is there.
        let _hook = cancel.on_cancel(move || drop((&bell).write(&[1])));
        let forced = loop {
            if self.has_ended {
                break None;
            }
            match self.step(deadline, Some(&stop), output)? {
                Step::Went => {}
                Step::TimeOver => break Some(End::TimedOut),
                Step::Stopped => break Some(End::Stopped),
            }
        };
        let status = self.end(output)?.map(End::Exited);
        Ok(forced.or(status).expect("a shell is left alone only when it has ended"))
    }

    /// Waits until something happens or `until` has come, and takes in what is printed.
    fn step(
        &mut self,
        until: Instant,
        stop: Option<&PipeReader>,
        output: &mut Output,
    ) -> io::Result<Step> {
        let left = until.saturating_duration_since(Instant::now());
        let ended = Some(self.ended.as_fd()).filter(|_| !self.has_ended);
        let stop = stop.map(AsFd::as_fd);
        let [stopped, ended, printed] = wait([stop, ended, self.printed.awaited()], left)?;
        self.has_ended |= ended;
        if printed {
            self.printed.read(output)?;
        }
        Ok(match stopped {
            true => Step::Stopped,
            false if left.is_zero() => Step::TimeOver,
            false => Step::Went,
        })
    }

    /// Ends every process of the group, takes in what they still print, and reaps the shell.
    ///
    /// A process that has closed the output has no grace if the shell has already ended: nothing
    /// tells whether it is there.
    fn end(&mut self, output: &mut Output) -> io::Result<Option<ExitStatus>> {
        self.signal(Signal::TERM);
        let until = Instant::now() + GRACE;
        while !self.has_ended || self.printed.is_open() {
            if let Step::TimeOver = self.step(until, None, output)? {
                break;
            }
        }
        self.signal(Signal::KILL);
        self.printed.read_rest(output)?;
        self.has_ended = self.has_ended || wait([Some(self.ended.as_fd())], DEATH)?[0];
        match self.shell.take_if(|_| self.has_ended) {
            Some(mut shell) => Ok(Some(shell.wait()?)),
            None => Ok(None),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(shell) = &self.shell {
            // It fails only for members that may not be signalled (another user's): none of ours.
            let _ = kill_process_group(Pid::from_child(shell), signal);
        }
    }
}

impl Drop for Group {
    /// Cleans up after an error, or a shell that the kernel did not let go of in time.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut shell) = self.shell.take() {
            // Without a thread the shell stays a zombie until the server ends: harmless.
            let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || shell.wait());
        }
    }
}

enum Step {
    /// Something may have happened; there is time left.
    Went,
    TimeOver,
    Stopped,
}

/// Waits for the end of the shell without reaping it, then hangs up.
fn tell_the_end(shell: Pid, _ending: PipeWriter) {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(shell), ended) {}
}
