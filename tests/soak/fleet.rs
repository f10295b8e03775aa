//! The servers that follow each other in one place, and what clients know of them.
use crate::served::model::Model;
use crate::served::wire::{Reply, ask};
use crate::served::{Place, Server};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What takes longer than this, on however slow a machine, does not come any more.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Has glibc give back what is freed, so that what is left is what the server holds: by itself it
/// keeps up to 16 arenas, each with as much as twice the largest piece there ever was.
const ALLOCATOR: &str = "export MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 \
                         MALLOC_MMAP_THRESHOLD_=131072;";
/// How long the model is silent where it is to be.
const PAUSE: Duration = Duration::from_millis(300);
/// Finished runs that a server keeps.
pub const RETAINED: u64 = 1_000;
/// Runs that may have been posted before one and end after it: more than all clients have at once.
const OVERLAP: u64 = 200;
/// Runs that are remembered to be compared at the end.
const REMEMBERED: usize = 400;

/// One server from its start to its end.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub number: u64,
    pub addr: SocketAddr,
}

/// A run that was read: how much it said, and a digest of all its bytes.
pub struct Entry {
    pub run: String,
    pub posted: u64,
    pub events: usize,
    pub digest: u64,
    pub session: Option<String>,
}

pub struct Fleet {
    pub place: Place,
    pub model: Arc<Model>,
    life: Mutex<Option<Life>>,
    begun: Condvar,
    /// Lives that have ended, or are about to: set before anything is done to the server.
    over: AtomicU64,
    /// Runs posted so far, by all.
    posted: AtomicU64,
    is_closing: AtomicBool,
    entries: Mutex<VecDeque<Entry>>,
}

impl Fleet {
    pub fn new() -> Fleet {
        let model = Arc::new(Model::start());
        let silent = Arc::downgrade(&model);
        std::thread::spawn(move || {
            while let Some(model) = silent.upgrade() {
                model.go_on();
                std::thread::sleep(PAUSE);
            }
        });
        Fleet {
            place: Place::new(),
            model,
            life: Mutex::default(),
            begun: Condvar::new(),
            over: AtomicU64::new(0),
            posted: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            entries: Mutex::default(),
        }
    }

    pub fn start(&self) -> Server {
        let retained = RETAINED.to_string();
        let own = ["--max-runs", "24", "--retain-runs", &retained, "--drain", "2s"];
        let flags = [&self.model.flags()[..], &own, &["--log-level", "warn"]].concat();
        let server = self.place.start_under(ALLOCATOR, &flags);
        let number = self.over.load(Ordering::SeqCst) + 1;
        *self.life() = Some(Life { number, addr: server.addr });
        self.begun.notify_all();
        server
    }

    /// Tells clients that what they see from now on may be the server's end.
    fn announce_end(&self) {
        self.over.fetch_add(1, Ordering::SeqCst);
        *self.life() = None;
    }

    /// SIGKILL.
    pub fn kill(&self, mut server: Server) {
        self.announce_end();
        server.kill();
        let said = server.starting.said();
        assert!(!said.contains("panic"), "{said}");
    }

    /// SIGTERM, which a server must obey, and end well.
    pub fn stop(&self, server: Server) {
        self.announce_end();
        let pid = Pid::from_raw(server.pid().cast_signed()).expect("a process has a number");
        kill_process(pid, Signal::TERM).unwrap();
        let (code, said) = server.starting.fail();
        assert_eq!(code, Some(0), "it was told to stop: {said}");
        assert!(!said.contains("panic"), "{said}");
    }

    /// The server there is, waited for if there is none.
    pub fn await_life(&self) -> Life {
        let life = self.begun.wait_timeout_while(self.life(), PATIENCE, |life| life.is_none());
        let (life, _) = life.expect("nobody panics with it");
        life.unwrap_or_else(|| panic!("no server for {} s", PATIENCE.as_secs()))
    }

    /// Whether this server has been told to end, or was killed.
    pub fn is_over(&self, life: Life) -> bool {
        self.over.load(Ordering::SeqCst) >= life.number
    }

    /// Clients go on while this is false.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    pub fn set_closing(&self, is_closing: bool) {
        self.is_closing.store(is_closing, Ordering::SeqCst);
    }

    /// The number of a run that is posted now.
    pub fn count_post(&self) -> u64 {
        self.posted.fetch_add(1, Ordering::SeqCst)
    }

    pub fn posts(&self) -> u64 {
        self.posted.load(Ordering::SeqCst)
    }

    /// Whether so many runs came after this one that it need not be kept.
    pub fn is_outdated(&self, posted: u64) -> bool {
        self.posts() - posted + OVERLAP >= RETAINED
    }

    pub fn remember(&self, entry: Entry) {
        let mut entries = self.entries.lock().expect("nobody panics with it");
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    pub fn forget(&self, is_one: impl Fn(&Entry) -> bool) {
        self.entries.lock().expect("nobody panics with it").retain(|entry| !is_one(entry));
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("nobody panics with it").drain(..).collect()
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().expect("nobody panics with it")
    }
}

/// A good client's request.
pub fn get(life: Life, path: &str) -> io::Result<Reply> {
    ask(life.addr, "GET", path, "", "")
}

/// Looks again and again until nothing is amiss any more; what was last amiss is said if that
/// does not come to pass.
pub fn await_well<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(amiss) => assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}: {amiss}"),
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
