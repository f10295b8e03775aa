//! Agent threads: one for each working run, kept for a while for the next.
use super::doorbell::Doorbell;
use super::event_loop::News;
use crate::agent::{Agent, Job, Secrets, live};
use crate::limits::WORKER_IDLE_MS;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::Duration;

/// A run's thread gets by with this in a release build; debug builds need more of everything.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 2 * 1024 * 1024 } else { 512 * 1024 };

pub struct Workers {
    crew: Arc<Crew>,
    jobs: Sender<Job>,
}

struct Crew {
    agent: Arc<dyn Agent>,
    secrets: Secrets,
    jobs: Receiver<Job>,
    news: Sender<News>,
    doorbell: Arc<Doorbell>,
    /// Threads that wait for a job, or are about to, less the jobs that wait for one of them.
    spare: AtomicIsize,
}

impl Workers {
    pub fn new(
        agent: Arc<dyn Agent>,
        secrets: Secrets,
        news: Sender<News>,
        doorbell: Arc<Doorbell>,
    ) -> Workers {
        // Never holds more than there are spare threads.
        let (jobs_out, jobs) = unbounded();
        let spare = AtomicIsize::new(0);
        let crew = Arc::new(Crew { agent, secrets, jobs, news, doorbell, spare });
        Workers { crew, jobs: jobs_out }
    }

    /// Has a thread work on `job`: a waiting one, else a new one.
    ///
    /// Fails if the system has no thread to give.
    pub fn start(&self, job: Job) -> io::Result<()> {
        let spare = &self.crew.spare;
        let take = |spare: isize| (spare > 0).then(|| spare - 1);
        if spare.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok() {
            self.jobs.send(job).expect("the crew holds the other end");
            return Ok(());
        }
        let crew = self.crew.clone();
        let name = "runwire-agent".to_owned();
        thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || crew.work(job))?;
        Ok(())
    }
}

impl Crew {
    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            live(&*self.agent, &job, &self.secrets, &mut |event| {
                // Before the loop can hear of it: it may start the next run at once, and would
                // make a thread for it although this one is as good as free.
                if event.kind.is_terminal() {
                    self.spare.fetch_add(1, Ordering::AcqRel);
                }
                // A full channel holds the agent back; it never holds the loop back. A loop that
                // is gone has told every reader that the run was interrupted.
                if self.news.send(News::Event(event)).is_ok() {
                    self.doorbell.ring();
                }
            });
            drop(job);
            next = self.await_job();
        }
    }

    fn await_job(&self) -> Option<Job> {
        loop {
            if let Ok(job) = self.jobs.recv_timeout(Duration::from_millis(WORKER_IDLE_MS)) {
                return Some(job);
            }
            let retire = |spare: isize| (spare > 0).then(|| spare - 1);
            // No spare thread: a job is on its way to this one.
            if self.spare.fetch_update(Ordering::AcqRel, Ordering::Acquire, retire).is_ok() {
                return None;
            }
        }
    }
}
