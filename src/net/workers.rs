//! Agent threads: one for each working run, kept for a while for the next.
//!
//! Of many jobs that come at once only the first calls a thread, which calls the next one as soon
//! as its own job says something that is not its last word. Agents that end at once share a thread
//! that way, where a call for each job would cost more than the jobs. Should the first say nothing
//! for a while, and no job be taken meanwhile, then all get threads at once: whoever takes a job
//! calls the next thread before it begins. (A channel did that always, and spun before each nap;
//! without it a thread that is called takes the core from its caller, so that all take turns.)
use super::doorbell::Doorbell;
use crate::agent::{Agent, Job, Secrets, live_within};
use crate::event::Event;
use crate::limits::WORKER_IDLE_MS;
use crate::time::Tick;
use crossbeam_channel::Sender;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A run's thread gets by with this in a release build; debug builds need more of everything.
pub const STACK_BYTES: usize = if cfg!(debug_assertions) { 2 * 1024 * 1024 } else { 512 * 1024 };

/// How long jobs wait for a thread that is at work, before each gets one of its own. One tick may
/// begin right after the next.
const PATIENCE_MS: u64 = 2;

pub struct Workers(Arc<Crew>);

struct Crew {
    agent: Arc<dyn Agent>,
    /// What the next runs must mask; each keeps to what was known at its beginning.
    secrets: Mutex<Secrets>,
    /// Bytes of output that are kept for a run's last event.
    output_max: usize,
    events: Sender<Event>,
    doorbell: Arc<Doorbell>,
    board: Mutex<Board>,
    called: Condvar,
}

/// Where jobs and threads wait for each other.
#[derive(Default)]
struct Board {
    /// Never more than `idle` threads.
    jobs: VecDeque<Job>,
    /// Threads without a job, or past the last word of one, those included that have been called
    /// and have not come yet.
    idle: usize,
    /// A thread has been called and has not come yet.
    is_calling: bool,
    /// Jobs have waited too long: until none waits, whoever takes one calls the next thread.
    is_rush: bool,
    /// Jobs taken so far, and how many that were when the loop looked last.
    taken: u64,
    seen: u64,
    /// When jobs have waited too long, unless one is taken before. Set while some wait.
    late_at: Option<Tick>,
}

impl Board {
    /// Takes note of the time. Returns when the loop must look again if nothing else happens.
    fn look(&mut self, now: Tick) -> Option<Tick> {
        let is_moving = std::mem::replace(&mut self.seen, self.taken) != self.taken;
        match self.late_at {
            _ if self.jobs.is_empty() => (self.late_at, self.is_rush) = (None, false),
            Some(due) if !is_moving => self.is_rush |= due <= now,
            _ => self.late_at = Some(now.after(PATIENCE_MS)),
        }
        self.late_at.filter(|_| !self.is_rush)
    }

    fn take(&mut self) -> Option<Job> {
        // A call reaches nobody while all idle threads are still on their way here, so it is
        // whoever comes that has been called.
        self.is_calling = false;
        let job = self.jobs.pop_front()?;
        self.taken += 1;
        self.is_rush &= !self.jobs.is_empty();
        Some(job)
    }

    /// True if a thread must be called now: while jobs wait and nobody who has taken one may yet
    /// come back for the next, one is on its way from the end of their turn on.
    fn must_call(&mut self) -> bool {
        let must = !self.jobs.is_empty() && !self.is_calling;
        self.is_calling |= must;
        must
    }
}

impl Workers {
    pub fn new(
        agent: Arc<dyn Agent>,
        secrets: Secrets,
        output_max: usize,
        events: Sender<Event>,
        doorbell: Arc<Doorbell>,
    ) -> Workers {
        let (board, called) = (Mutex::default(), Condvar::new());
        let secrets = Mutex::new(secrets);
        Workers(Arc::new(Crew { agent, secrets, output_max, events, doorbell, board, called }))
    }

    /// Has runs that begin from now on mask these.
    pub fn mask(&self, secrets: Secrets) {
        *self.0.secrets() = secrets;
    }

    /// Has a thread work on `job`: a waiting one once `call` is called, else a new one.
    ///
    /// Fails if the system has no thread to give.
    pub fn start(&self, job: Job) -> io::Result<()> {
        let mut board = self.0.board();
        if board.jobs.len() < board.idle {
            board.jobs.push_back(job);
            return Ok(());
        }
        drop(board);
        let crew = self.0.clone();
        let name = "runwire-agent".to_owned();
        thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || crew.work(job))?;
        Ok(())
    }

    /// Lets the jobs begin that have been started since the last call. Once a turn, after its
    /// replies are out: a thread called earlier would take the core from under them.
    ///
    /// Returns when to call again if nothing else happens: jobs may wait behind one that blocks.
    pub fn call(&self, now: Tick) -> Option<Tick> {
        let mut board = self.0.board();
        let due = board.look(now);
        self.0.call(board);
        due
    }
}

impl Crew {
    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            let secrets = self.secrets().clone();
            let mut is_first = true;
            live_within(self.output_max, &*self.agent, &job, &secrets, &mut |event| {
                // Before the loop can hear of it: it may start the next run at once, and would
                // make a thread for it although this one is as good as free.
                if event.kind.is_terminal() {
                    self.board().idle += 1;
                } else if std::mem::take(&mut is_first) {
                    // It goes on for a while: the next job needs another thread.
                    self.call(self.board());
                }
                // A full channel holds the agent back; it never holds the loop back. A loop that
                // is gone has told every reader that the run was interrupted.
                if self.events.send(event).is_ok() {
                    self.doorbell.ring();
                }
            });
            drop(job);
            next = self.await_job();
        }
    }

    /// Returns `None` after a long time without a job: the thread may end.
    fn await_job(&self) -> Option<Job> {
        let idle = Duration::from_millis(WORKER_IDLE_MS);
        let mut board = self.board();
        let mut is_late = false;
        loop {
            let job = board.take();
            if job.is_some() || is_late {
                board.idle -= 1;
                if board.is_rush {
                    self.call(board);
                }
                return job;
            }
            let waited = self.called.wait_timeout(board, idle);
            let (back, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            board = back;
            is_late = waited.timed_out();
        }
    }

    /// Calls a thread if one is needed, and not before it can have the board.
    fn call(&self, mut board: MutexGuard<'_, Board>) {
        let must_call = board.must_call();
        drop(board);
        if must_call {
            self.called.notify_one();
        }
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Cancel, Context, Ending, Inbox};
    use crate::budget::Budget;
    use crate::id::{Key, RunId, RunKey};
    use crate::request::Request;
    use std::sync::Barrier;
    use std::time::Instant;

    fn job() -> Job {
        Job {
            key: RunKey(Key { slot: 0, generation: 0 }),
            request: Arc::new(Request::text(RunId(1), "anything")),
            budget: Budget::default(),
            cancel: Cancel::new(),
            inbox: Inbox::new(),
        }
    }

    /// Says nothing, and ends once four are at work.
    struct Meeting(Barrier);

    impl Agent for Meeting {
        fn run(&self, _: &mut Context<'_>) -> Result<(), Ending> {
            self.0.wait();
            Ok(())
        }
    }

    #[test]
    fn jobs_behind_one_that_blocks_without_a_word_get_threads_too() {
        let poll = mio::Poll::new().expect("the system polls");
        let doorbell = Doorbell::new(poll.registry(), mio::Token(0)).expect("and wakes");
        let (events_out, events) = crossbeam_channel::bounded(4);
        let (agent, secrets) = (Arc::new(Meeting(Barrier::new(4))), Secrets::default());
        let workers = Workers::new(agent, secrets, 1024, events_out, Arc::new(doorbell));
        let begun = Instant::now();
        // The first four make threads, the others wait for these.
        for _ in 0..2 {
            (0..4).for_each(|_| workers.start(job()).expect("the system has threads"));
            let mut ended = 0;
            while ended < 4 {
                workers.call(Tick(begun.elapsed().as_millis() as u64));
                ended += usize::from(events.recv_timeout(Duration::from_millis(1)).is_ok());
                assert!(begun.elapsed() < Duration::from_secs(30), "some were never begun");
            }
        }
    }

    #[test]
    fn jobs_get_threads_at_once_when_none_has_been_taken_for_a_while() {
        let mut board = Board { jobs: [job(), job(), job()].into(), ..Board::default() };
        assert_eq!(board.look(Tick(10)), Some(Tick(12)));
        assert!(board.take().is_some());
        assert_eq!(board.look(Tick(12)), Some(Tick(14)), "one was taken meanwhile");
        assert_eq!(board.look(Tick(13)), Some(Tick(14)));
        assert!(!board.is_rush);
        assert_eq!(board.look(Tick(14)), None);
        assert!(board.is_rush && board.take().is_some());
        assert!(board.is_rush, "one still waits");
        assert!(board.take().is_some() && !board.is_rush);
        assert_eq!(board.look(Tick(15)), None);
    }
}
