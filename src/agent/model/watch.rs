//! Waiting for the network with an ear for the word to stop.
//!
//! A turn has one `Watch`. Whatever the turn waits for (a name server's answer, a connection, a
//! byte, room to write, the pause before another try), it waits in one poll(2) for that thing and
//! for the watch's bell, which the run's `Cancel` rings. So a stop is heard everywhere and at
//! once, and nobody has to shut down a socket that may by then serve another run.
//!
//! ureq's transports have no room for such a value, but they work on the thread that made the
//! request: the watch on duty is a thread-local.
use crate::agent::cancel::{Cancel, Hook};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a turn waits by.
pub(super) struct Watch {
    cancel: Cancel,
    /// Readable exactly when the run was told to end.
    bell: UnixStream,
    _hook: Hook,
    due: Cell<Instant>,
    stage: Cell<Stage>,
}

/// How far a request has come, to say afterwards where it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Looking up where the server is.
    Naming,
    Connecting,
    /// The server has taken the connection.
    Talking,
}

thread_local! {
    static ON_DUTY: RefCell<Option<Rc<Watch>>> = const { RefCell::new(None) };
}

impl Watch {
    /// A watch that ends by itself at `due`.
    pub fn new(cancel: &Cancel, due: Instant) -> io::Result<Rc<Watch>> {
        let (bell, rope) = UnixStream::pair()?;
        let hook = cancel.on_cancel(move || {
            // Fails only where it has been done before.
            let _ = rope.shutdown(Shutdown::Both);
        });
        let (due, stage) = (Cell::new(due), Cell::new(Stage::Naming));
        Ok(Rc::new(Watch { cancel: cancel.clone(), bell, _hook: hook, due, stage }))
    }

    /// Does `work`, whose network calls on this thread wait by this watch.
    pub fn during<T>(self: &Rc<Watch>, work: impl FnOnce() -> T) -> T {
        struct OffDuty;
        impl Drop for OffDuty {
            fn drop(&mut self) {
                ON_DUTY.with(|on_duty| on_duty.borrow_mut().take());
            }
        }
        let before = ON_DUTY.with(|on_duty| on_duty.borrow_mut().replace(self.clone()));
        assert!(before.is_none(), "a turn within a turn");
        let _off_duty = OffDuty;
        work()
    }

    /// The watch of the turn this thread works on.
    pub fn on_duty() -> Rc<Watch> {
        let watch = ON_DUTY.with(|on_duty| on_duty.borrow().clone());
        watch.expect("the transport is called within a turn only")
    }

    pub fn due(&self) -> Instant {
        self.due.get()
    }

    pub fn set_due(&self, due: Instant) {
        self.due.set(due);
    }

    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// Fails if the run was told to end, or the watch is over.
    pub fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(stopped());
        }
        if Instant::now() >= self.due() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Waits until `fd` can be read, or has failed.
    pub fn readable(&self, fd: impl AsFd, until: Instant) -> io::Result<()> {
        self.wait(Some((fd.as_fd(), PollFlags::IN)), until)
    }

    /// Waits until `fd` can be written, or has failed.
    pub fn writable(&self, fd: impl AsFd, until: Instant) -> io::Result<()> {
        self.wait(Some((fd.as_fd(), PollFlags::OUT)), until)
    }

    /// Waits until `until` has come. Fails as `check` does.
    pub fn pause(&self, until: Instant) -> io::Result<()> {
        match self.wait(None, until) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.check(),
            other => other,
        }
    }

    /// `TimedOut` at `until` or when the watch is over, and another error at the bell.
    fn wait(
        &self,
        thing: Option<(std::os::fd::BorrowedFd<'_>, PollFlags)>,
        until: Instant,
    ) -> io::Result<()> {
        let until = until.min(self.due());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let bell = PollFd::new(&self.bell, PollFlags::IN);
            let mut both = match thing {
                Some((fd, flags)) => [bell, PollFd::from_borrowed_fd(fd, flags)],
                None => [bell.clone(), bell],
            };
            match poll(&mut both, Some(&timespec(left))) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) if both[0].revents().is_empty() => return Ok(()),
                Ok(_) => return Err(stopped()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The kind is one that nobody takes for the end of a body, or tries again on.
fn stopped() -> io::Error {
    io::Error::other("the run was told to end")
}

fn timespec(duration: Duration) -> Timespec {
    let tv_sec = duration.as_secs().min(i32::MAX as u64) as i64;
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}
