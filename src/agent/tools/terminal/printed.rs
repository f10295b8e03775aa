//! The pipe into which all of a command's processes print, and the wait for it and its like.
use super::output::Output;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Each command that runs has a buffer of this.
const READ_BYTES: usize = 8 * 1024;
/// What is still read after the end: more than a pipe can hold (1 MiB), so that only a process which
/// has got away and goes on printing is cut short.
const LAST_READS: usize = 256;

pub(super) struct Printed {
    pipe: PipeReader,
    /// False once nobody can print any more.
    open: bool,
    buffer: Vec<u8>,
}

impl Printed {
    /// An empty pipe, and the end to print into.
    pub fn new() -> io::Result<(Printed, PipeWriter)> {
        let (pipe, out) = io::pipe()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok((Printed { pipe, open: true, buffer: vec![0; READ_BYTES] }, out))
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What to wait on for more, as long as there may be more.
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pipe.as_fd()).filter(|_| self.open)
    }

    /// Reads once; false if there was nothing to read.
    pub fn read(&mut self, output: &mut Output) -> io::Result<bool> {
        match self.pipe.read(&mut self.buffer) {
            Ok(0) => self.open = false,
            Ok(count) => output.push(&self.buffer[..count]),
            Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
        Ok(true)
    }

    /// Reads what is there when all has ended.
    pub fn read_rest(&mut self, output: &mut Output) -> io::Result<()> {
        for _ in 0..LAST_READS {
            if !self.open || !self.read(output)? {
                break;
            }
        }
        Ok(())
    }
}

/// Waits for one of `awaited` to have something to read or to hang up, for at most `limit`.
pub(super) fn wait<const N: usize>(
    awaited: [Option<BorrowedFd<'_>>; N],
    limit: Duration,
) -> io::Result<[bool; N]> {
    let mut polled: Vec<PollFd<'_>> =
        awaited.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&limit)) {
        Err(rustix::io::Errno::INTR) => return Ok([false; N]),
        polled => polled?,
    };
    let mut happened = polled.iter().map(|fd| !fd.revents().is_empty());
    Ok(awaited.map(|fd| fd.is_some() && happened.next().unwrap_or(false)))
}
