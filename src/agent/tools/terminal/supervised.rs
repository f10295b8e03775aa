//! A command under a supervisor, a process of its own that confines it and ends all it starts.
//!
//! The two talk through a socket: closing our side of it asks for the end, and its one line says
//! how the command ended, when no process of it is left. Should this process die, the socket
//! closes just the same.
//!
//! A command that is not confined can kill or stop its supervisor. Where it has a cgroup, this
//! process then ends that itself.
use super::Launcher;
use super::group::End;
use super::output::Output;
use super::printed::{Printed, wait};
use crate::agent::Cancel;
use crate::agent::cgroup::Cgroup;
use crate::limits::{COMMAND_DEATH_MS, COMMAND_GRACE_MS};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The supervisor gives up a little before this.
const END: Duration = Duration::from_millis(COMMAND_GRACE_MS + COMMAND_DEATH_MS + 1_000);
/// Within this a supervisor answers when nothing of its command is left.
const ANSWER: Duration = Duration::from_millis(1_000);
/// More than the longest line a supervisor says.
const LINE_BYTES_MAX: u64 = 4096;

pub(super) struct Supervised {
    control: UnixStream,
    /// The supervisor, under a number that never becomes another's.
    #[cfg(target_os = "linux")]
    supervisor: OwnedFd,
    cgroup: Option<Cgroup>,
    printed: Printed,
}

impl Supervised {
    pub fn start(
        launcher: &Launcher,
        command: &str,
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> io::Result<Supervised> {
        let (printed, out) = Printed::new()?;
        let (control, theirs) = UnixStream::pair()?;
        let cgroup = launcher.cgroup()?;
        let mut supervisor = launcher
            .supervise(command, cgroup.as_ref())
            .current_dir(folder)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let supervised = Supervised {
            control,
            #[cfg(target_os = "linux")]
            supervisor: pidfd_open(Pid::from_child(&supervisor), PidfdFlags::empty())?,
            cgroup,
            printed,
        };
        // The socket tells its end; this only keeps it from staying a zombie.
        let reaper = thread::Builder::new().name("command".to_owned()).stack_size(64 * 1024);
        reaper.spawn(move || supervisor.wait())?;
        Ok(supervised)
    }

    /// Waits for the command to end, or ends it when `limit` is over or `cancel` says so. Returns
    /// when none of its processes is left.
    pub fn watch(
        mut self,
        limit: Duration,
        cancel: &Cancel,
        output: &mut Output,
    ) -> io::Result<End> {
        let (stop, bell) = io::pipe()?;
        // One byte in an empty pipe: this neither blocks nor fails while `stop` is there.
        let _hook = cancel.on_cancel(move || drop((&bell).write(&[1])));
        let mut forced = None;
        let mut deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let stop = Some(stop.as_fd()).filter(|_| forced.is_none());
            let control = Some(self.control.as_fd());
            let [told, printed, stopped] = wait([control, self.printed.awaited(), stop], left)?;
            if printed {
                self.printed.read(output)?;
            }
            match forced {
                _ if told => break,
                None if stopped => forced = Some(End::Stopped),
                None if left.is_zero() => forced = Some(End::TimedOut),
                Some(_) if left.is_zero() => break,
                _ => continue,
            }
            self.control.shutdown(Shutdown::Write)?;
            deadline = Instant::now() + END;
        }
        let status = self.end()?;
        self.printed.read_rest(output)?;
        Ok(forced.unwrap_or(End::Exited(status)))
    }

    /// What the supervisor says of the end; makes sure of it where there is a cgroup.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let is_empty = self.cgroup.as_ref().map(Cgroup::end);
        let answer = if is_empty.is_some() { ANSWER } else { Duration::ZERO };
        let [has_told] = wait([Some(self.control.as_fd())], answer)?;
        if !has_told && is_empty == Some(true) {
            // One that does not answer now has been stopped, and has nothing left to do.
            #[cfg(target_os = "linux")]
            let _ = pidfd_send_signal(&self.supervisor, Signal::KILL);
        }
        match (has_told, is_empty) {
            (_, Some(false)) | (false, None) => Err(io::Error::other(LEFT)),
            _ => self.status(),
        }
    }

    fn status(&mut self) -> io::Result<ExitStatus> {
        let mut line = String::new();
        (&self.control).take(LINE_BYTES_MAX).read_to_string(&mut line)?;
        if line.starts_with("left ") {
            return Err(io::Error::other(LEFT));
        }
        let (how, number) = line.split_once(' ').unwrap_or((&line, ""));
        match (how, number.parse::<i32>()) {
            ("exited", Ok(code)) => Ok(ExitStatus::from_raw(code << 8)),
            ("signal", Ok(signal)) => Ok(ExitStatus::from_raw(signal)),
            ("failed", _) => Err(io::Error::other(number.to_owned())),
            _ => Err(io::Error::other("its supervisor was killed")),
        }
    }
}

const LEFT: &str = "some of its processes could not be ended";
