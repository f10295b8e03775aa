//! Between the log and stderr: a thread that alone waits for whoever reads there.
//!
//! A pipe that nobody reads is full by and by, and whoever writes to it then waits. So lines are
//! put into a bounded queue; one that has no place is dropped and counted.
use runwire::net::LOG_LINES_DROPPED;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written, beside as many that are being written: a burst of a few runs for
/// each place to work. A line has a few hundred bytes.
const LINES_MAX: usize = 1024;

#[derive(Clone, Default)]
pub struct Queue(Arc<Desk>);

#[derive(Default)]
struct Desk {
    tray: Mutex<Tray>,
    /// There is a line, and the thread slept.
    has_line: Condvar,
    /// All is written.
    is_done: Condvar,
}

#[derive(Default)]
struct Tray {
    lines: VecDeque<String>,
    /// The thread sleeps. Then there is no line, and what it took before is written.
    sleeps: bool,
}

/// Starts the thread. `dropped` makes the line that says how many were.
///
/// Fails if the system has no thread to give.
pub fn start(dropped: fn(u64) -> String) -> io::Result<Queue> {
    let queue = Queue::default();
    let at_work = queue.clone();
    let thread = thread::Builder::new().name("runwire-log".to_owned());
    thread.spawn(move || at_work.write(dropped))?;
    Ok(queue)
}

impl Queue {
    pub fn put(&self, line: String) {
        let mut tray = self.tray();
        if tray.lines.len() >= LINES_MAX {
            LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        tray.lines.push_back(line);
        let slept = std::mem::take(&mut tray.sleeps);
        drop(tray);
        if slept {
            self.0.has_line.notify_one();
        }
    }

    /// Waits until all that was put before is written, for so long at most.
    pub fn flush(&self, wait: Duration) {
        // Whether it was in time makes no difference to whoever ends now.
        drop(self.0.is_done.wait_timeout_while(self.tray(), wait, |tray| !tray.sleeps));
    }

    fn write(&self, dropped: fn(u64) -> String) {
        let mut told = 0;
        loop {
            let mut text: String = self.take().into_iter().collect();
            let count = LOG_LINES_DROPPED.load(Ordering::Relaxed);
            if count > told {
                text += &dropped(count - told);
                told = count;
            }
            // Where nobody listens there is nobody to tell.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    /// All lines that wait, once there are any.
    fn take(&self) -> VecDeque<String> {
        let mut tray = self.tray();
        while tray.lines.is_empty() {
            tray.sleeps = true;
            self.0.is_done.notify_all();
            tray = self.0.has_line.wait(tray).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut tray.lines)
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.0.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
