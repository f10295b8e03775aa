//! The server as a value. No sockets, no threads, no clock, no chance: all of it is handed in.
//!
//! Tell it what happened with `handle`, close each turn with `end_turn`, then do what `poll_output`
//! says and write what `poll_writable` names, until both have nothing more. Sleep until `next_due`
//! or until something happens. The same inputs give the same outputs.
mod access;
mod admit;
mod approvals;
mod conn;
mod expiry;
mod feed;
mod fuzz;
mod grants;
mod hooks;
mod http;
mod keep;
mod keyring;
mod keys;
mod ledger;
mod lists;
mod log;
mod metrics;
mod note;
mod owners;
mod pack;
#[cfg(feature = "page")]
mod page;
mod pages;
mod route;
mod run;
mod runs;
mod skip;
mod steer;
mod stream;
mod submit;
#[cfg(feature = "tokens")]
mod tokens;
mod waiting;
pub mod wheel;

pub use fuzz::fuzz;
pub use metrics::Measures;
pub use note::{Answered, HookFailed, Note, RunBegun, RunEnded};

use crate::approval::Choice;
use crate::budget::Budget;
use crate::config::{About, Config, Key, Retain};
use crate::event::{Cause, Event};
use crate::id::{ConnId, HookId, RunKey};
use crate::limits::{INBOX_BYTES_MAX, LINGER_MS, STORE_EXIT_MS};
use crate::record::{Answer, Batch, Delivered, Delivery, Fault, Pruned, Query, Recovered, Status};
use crate::request::{Request, Steer};
use crate::secrets::Secrets;
use crate::shares::Shares;
use crate::time::{Now, Tick, Wall};
use crate::wire::reply;
use access::Access;
use conn::{Conn, Phase};
use grants::Grants;
use hooks::Hooks;
use keep::Keep;
use ledger::{Ledger, Scale};
use metrics::Metrics;
use pages::Pages;
use runs::Runs;
use std::collections::VecDeque;
use std::sync::Arc;
use waiting::Left;
use wheel::Wheel;

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    Received(ConnId, &'a [u8]),
    /// The socket took this many of the bytes `unsent` lent.
    Sent(ConnId, usize),
    /// The socket takes no more for now.
    Blocked(ConnId),
    /// It takes some again.
    Writable(ConnId),
    /// The peer will send no more; it may still read.
    Ended(ConnId),
    /// The connection is gone.
    HungUp(ConnId),
    Event(Event),
    /// From now on these keys open the server, one or more that `config::check_keys` finds well.
    Keys(Vec<Key>),
    /// The server is asked to end: no new runs, a grace for those that work. Asked again, it ends
    /// that grace.
    Drain,
    /// The store has every batch up to `committed`; those up to `synced` would outlive a loss of
    /// power. Told in order.
    Stored {
        committed: u64,
        synced: u64,
    },
    /// The store could not take this batch, and will take none after it until one `is_retry`.
    Unstored {
        number: u64,
        fault: Fault,
    },
    /// The store has taken what it was given, but has begun to live off its reserve; or, told
    /// with `false`, has that back.
    Short(bool),
    Answered {
        asker: Asker,
        answer: Result<Answer, Fault>,
    },
    Pruned(Result<Pruned, Fault>),
    /// What has come of `Output::Deliver`.
    Delivered {
        id: HookId,
        delivered: Delivered,
    },
    /// What `Output::Measure` has asked for.
    Measured(ConnId, Box<Measures>),
}

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// There is room to read again, after `appetite` said there was none.
    Resume(ConnId),
    /// Send the end of the stream and go on reading.
    HalfClose(ConnId),
    Close(ConnId),
    /// Have an agent thread work on this run.
    Start {
        run: RunKey,
        request: Arc<Request>,
        /// What it may use up.
        budget: Budget,
    },
    /// Tell that thread that the run is over. Its terminal event must still come.
    Cancel {
        run: RunKey,
        cause: Cause,
    },
    /// Hand this to that thread's agent, which takes it in when it next looks.
    Steer {
        run: RunKey,
        steer: Arc<Steer>,
    },
    /// Tell that thread's agent, which waits for it, what was decided.
    Decide {
        run: RunKey,
        choice: Choice,
    },
    /// Have the store take this; it is told by `Input::Stored` or `Input::Unstored`.
    Commit(Arc<Batch>),
    /// Have the store asked; it is told by `Input::Answered`.
    Ask {
        asker: Asker,
        query: Query,
    },
    /// Have the store cleaned up by a step; it is told by `Input::Pruned`.
    Prune {
        retain: Retain,
        now: Wall,
    },
    /// Post this to its webhook; it is told by `Input::Delivered`. There are at most
    /// `HOOKS_FLYING_MAX` at once, and one for each origin.
    Deliver(Arc<Delivery>),
    /// Gather what only the outside knows; it is told by `Input::Measured`.
    Measure(ConnId),
    /// For the log.
    Note(Box<Note>),
    /// The drain is complete: every reader has been told.
    Exit,
}

/// Who waits for an answer of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Conn(ConnId),
    Run(RunKey),
    /// The machine itself, for deliveries that wait.
    Hooks,
}

/// The store as the machine begins with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelf {
    /// What operators call it.
    pub name: &'static str,
    /// True if it is given all events, which are shown only once it has them.
    pub is_durable: bool,
    pub recovered: Recovered,
}

impl Default for Shelf {
    /// A store in memory, with nothing in it.
    fn default() -> Shelf {
        Shelf { name: "memory", is_durable: false, recovered: Recovered::default() }
    }
}

/// Where ids come from: 128 bits nobody can guess, each time others.
pub type Ids = Box<dyn FnMut() -> u128 + Send>;

pub struct Machine {
    config: Config,
    access: Access,
    secrets: Secrets,
    pages: Pages,
    ids: Ids,
    now: Now,
    started: Tick,
    /// `now` as an HTTP date, and the second it was made in.
    date: String,
    date_second: u64,
    conns: Scale<ConnId, Conn>,
    shares: Shares,
    ledger: Ledger,
    runs: Runs,
    keep: Keep,
    /// Leave that is remembered.
    grants: Grants,
    hooks: Hooks,
    left: Left,
    metrics: Metrics,
    wheel: Wheel<Timer>,
    /// When the wheel will next remind us of each connection's place. A newcomer is reminded by what
    /// was set for the one before it, or else each would leave an entry behind that nobody needs.
    reminders: Vec<Tick>,
    outputs: VecDeque<Output>,
    /// Connections that have something unsent and are not blocked, each listed once.
    writable: VecDeque<ConnId>,
    /// Runs whose subscribers have not been looked at since the last event, each listed once.
    news: VecDeque<RunKey>,
    /// Feeds that watch all runs of their key.
    watchers: Vec<ConnId>,
    /// Feeds that are to be told what runs have become.
    told: Vec<ConnId>,
    /// Readers that have more to look through than a turn has time for, each listed once.
    skipping: Vec<ConnId>,
    /// Where frames are made.
    scratch: Vec<u8>,
    drain: Drain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Whichever connection is in this place.
    Conn(u32),
    Run(RunKey),
    /// The store is to be tried again.
    Retry,
    /// It is to be cleaned up.
    Prune,
    /// A delivery is due.
    Hooks,
    Drain,
}

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// Working runs may end by themselves.
    Grace {
        until: Tick,
    },
    /// They have been cancelled and may say a last word.
    LastWords {
        until: Tick,
    },
    /// They have said it; the store must still take it in.
    Storing {
        until: Tick,
    },
    /// All runs have ended; readers are being told. `until` moves on with each byte they take.
    Flush {
        until: Tick,
        until_max: Tick,
    },
    Done,
}

impl Machine {
    /// `shelf` is the store: what it is, and what it has from before.
    pub fn new(mut config: Config, about: About, shelf: Shelf, ids: Ids, now: Now) -> Machine {
        let shares = Shares::of(config.memory, config.max_runs, config.max_body);
        (config.max_runs, config.max_body) = (shares.runs_max, shares.body_max);
        let access = Access::new(&config, now.tick);
        let metrics = Metrics::new(&about, now.wall);
        let mut machine = Machine {
            pages: Pages::new(&config, about, &access, &shelf),
            access,
            secrets: config.known_secrets(),
            ids,
            now,
            started: now.tick,
            date: String::new(),
            date_second: u64::MAX,
            conns: Scale::new(shares.conns_max),
            shares,
            ledger: Ledger::default(),
            runs: Runs::new(),
            keep: Keep::new(&shelf),
            hooks: Hooks::new(&config, shelf.is_durable),
            grants: Grants::new(shelf.recovered.grants),
            left: Left::default(),
            metrics,
            wheel: Wheel::new(now.tick),
            reminders: Vec::new(),
            outputs: VecDeque::new(),
            writable: VecDeque::new(),
            news: VecDeque::new(),
            watchers: Vec::new(),
            told: Vec::new(),
            skipping: Vec::new(),
            scratch: Vec::new(),
            drain: Drain::No,
            config,
        };
        machine.set_now(now);
        shelf.recovered.unfinished.into_iter().for_each(|run| machine.take_over(run));
        machine.start_next();
        machine.prune();
        machine.deliver();
        machine
    }

    /// Admits a connection, or returns `None` when there is no room for one.
    pub fn open(&mut self, now: Now) -> Option<ConnId> {
        self.set_now(now);
        self.make_place();
        let idle = now.tick.after_duration(self.config.idle_timeout);
        let due = if self.is_draining() { now.tick.after(LINGER_MS) } else { idle };
        let id = self.conns.insert(Conn::new(due))?;
        self.metrics.conns_opened += 1;
        self.arm_conn(id);
        Some(id)
    }

    /// True when `open` would say no for want of places. Within a budget for memory it makes one.
    pub fn is_full(&self) -> bool {
        self.conns.is_full() && self.shares.memory.is_none()
    }

    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        self.set_now(now);
        match input {
            Input::Received(id, bytes) => self.received(id, bytes),
            Input::Sent(id, count) => self.sent(id, count),
            Input::Blocked(id) => self.blocked(id),
            Input::Writable(id) => self.unblocked(id),
            Input::Ended(id) => self.ended(id),
            Input::HungUp(id) => self.close(id),
            Input::Event(event) => self.hear(event),
            Input::Keys(keys) => self.change_keys(keys),
            Input::Drain => self.begin_drain(),
            Input::Stored { committed, synced } => self.stored(committed, synced),
            Input::Unstored { number, fault } => self.unstored(number, fault),
            Input::Short(is_short) => self.store_is_short(is_short),
            Input::Answered { asker, answer } => self.store_answered(asker, answer),
            Input::Pruned(pruned) => self.pruned(pruned),
            Input::Delivered { id, delivered } => self.delivered(id, delivered),
            Input::Measured(id, measures) => self.measured(id, &measures),
        }
    }

    /// Lets the time that has passed have its effect, and lists whoever has something due.
    pub fn end_turn(&mut self, now: Now) {
        self.set_now(now);
        let mut fired = Vec::new();
        self.wheel.advance(now.tick, &mut fired);
        for timer in fired {
            match timer {
                Timer::Conn(slot) => self.conn_due(slot),
                Timer::Run(run) => self.run_due(run),
                Timer::Retry => self.retry_store(),
                Timer::Prune => self.prune(),
                Timer::Hooks => self.hooks_due(),
                Timer::Drain => self.drain_due(),
            }
        }
        self.skip_all();
        self.relieve();
        self.spread_news();
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.keep.flush())
    }

    /// The next connection to be written to.
    pub fn poll_writable(&mut self) -> Option<ConnId> {
        // What was sent may have let a request through that made news; nobody will wake us for it.
        self.spread_news();
        while let Some(id) = self.writable.pop_front() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            conn.listed = false;
            if !conn.blocked {
                return Some(id);
            }
        }
        None
    }

    /// True while `poll_writable` has something to say, now or after another turn.
    pub fn has_writable(&self) -> bool {
        !self.writable.is_empty()
            || !self.news.is_empty()
            || !self.skipping.is_empty()
            || !self.told.is_empty()
    }

    /// What is due to this connection: what must go first, and what follows it.
    pub fn unsent(&self, id: ConnId) -> [&[u8]; 2] {
        let Some(conn) = self.conns.get(id) else { return [&[], &[]] };
        [conn.unsent(), self.lent(conn)]
    }

    /// Puts a connection that has used up its turn at the end of the list.
    pub fn yield_turn(&mut self, id: ConnId) {
        self.list(id);
    }

    /// How many bytes to read for this connection now. After a zero, wait for `Resume`: an
    /// edge-triggered poll will not mention those bytes a second time.
    pub fn appetite(&mut self, id: ConnId) -> usize {
        let Some(conn) = self.conns.get_mut(id) else { return 0 };
        let room = match conn.phase {
            // A body goes to its own buffer, under its own limit.
            Phase::Body(_) | Phase::Linger { .. } => INBOX_BYTES_MAX,
            _ => INBOX_BYTES_MAX.saturating_sub(conn.inbox.len()),
        };
        conn.full = room == 0;
        room
    }

    /// When to call `end_turn` next, if nothing happens before.
    pub fn next_due(&self) -> Option<Tick> {
        self.wheel.next()
    }

    pub fn counts(&self) -> Counts {
        self.runs.counts(self.conns.len())
    }

    /// What must be true between any two turns; the simulation asks after every one.
    pub fn check(&self) {
        for (id, conn) in self.conns.iter() {
            conn.check();
            let reminder = self.reminders[id.0.slot as usize];
            assert!(reminder <= conn.deadline(), "nothing will remind us of this deadline");
            for cursor in conn.cursors() {
                let run = self.runs.get(cursor.run).expect("a subscriber of a forgotten run");
                assert_eq!(run.subscribers.get(cursor.index as usize), Some(&id));
                let is_there = (run.log.start()..=run.log.end()).contains(&cursor.at);
                assert!(is_there || cursor.behind.is_some(), "its next bytes are gone");
            }
            match &conn.phase {
                Phase::Stream(stream) => assert!(stream.cursor.at <= stream.clear_to),
                Phase::Feed(feed) => feed.check(),
                _ => {}
            }
            let idle = self.unsent(id).iter().all(|bytes| bytes.is_empty()) && !self.lags(conn);
            let awaited = conn.blocked || conn.listed || self.has_news(conn);
            assert!(idle || awaited, "{id:?} has bytes that nobody will send");
        }
        self.runs.check();
        for (key, run) in self.runs.table.iter().filter(|(key, _)| !self.keep.is_creating(*key)) {
            assert_eq!(run.announced, Some(run.status), "{key:?}: nobody was told");
        }
        self.grants.check();
        self.check_ledger();
    }

    /// True if a reader has not looked at all that its run has said.
    fn lags(&self, conn: &Conn) -> bool {
        let Phase::Stream(stream) = &conn.phase else { return self.feed_lags(conn) };
        let run = self.runs.get(stream.cursor.run).expect("a subscriber of a forgotten run");
        match stream.cursor.behind {
            Some(_) => !stream.is_asking,
            None => stream.cursor.at < run.log.end() && !stream.is_skipping,
        }
    }

    fn has_news(&self, conn: &Conn) -> bool {
        let is_new = conn.cursors().iter().any(|cursor| self.news.contains(&cursor.run));
        is_new || self.has_changes(conn)
    }

    fn set_now(&mut self, now: Now) {
        self.now = now;
        if now.wall.seconds() != self.date_second {
            self.date_second = now.wall.seconds();
            self.date.clear();
            reply::http_date(now.wall, &mut self.date);
        }
    }

    /// Makes sure that the wheel reminds us of this connection by its deadline.
    fn arm_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let deadline = conn.deadline();
        let slot = id.0.slot;
        if self.reminders.len() <= slot as usize {
            self.reminders.resize(slot as usize + 1, Tick(u64::MAX));
        }
        let reminder = &mut self.reminders[slot as usize];
        if deadline < *reminder {
            *reminder = deadline;
            self.wheel.insert(deadline, Timer::Conn(slot));
        }
    }

    fn begin_drain(&mut self) {
        match self.drain {
            Drain::No => {}
            Drain::Grace { .. } => return self.end_grace(),
            _ => return,
        }
        let until = self.now.tick.after_duration(self.config.drain);
        self.set_drain(Drain::Grace { until }, until);
        // Those that have not begun stay in a durable store and begin with the next server.
        if !self.keep.is_durable {
            self.interrupt_queued();
        }
        self.close_idle();
        self.drain_on();
    }

    fn set_drain(&mut self, drain: Drain, until: Tick) {
        self.drain = drain;
        self.wheel.insert(until, Timer::Drain);
    }

    /// Goes on with the drain if nothing holds it up any more.
    fn drain_on(&mut self) {
        let waiting = if self.keep.is_durable { 0 } else { self.runs.waiting };
        let runs_ended = self.runs.working + waiting == 0;
        let grace = match self.drain {
            Drain::Grace { until } | Drain::LastWords { until } => Some(until),
            Drain::Storing { .. } => Some(self.now.tick),
            Drain::No | Drain::Flush { .. } | Drain::Done => None,
        };
        if let Some(grace) = grace
            && runs_ended
        {
            let until = self.now.tick.after(LINGER_MS);
            self.set_drain(Drain::Flush { until, until_max: grace.max(until) }, until);
            self.close_idle();
            self.close_unbegun();
            self.wake_feeds();
        }
        let is_over = self.conns.is_empty() && !self.keep.is_busy();
        if matches!(self.drain, Drain::Flush { .. }) && is_over {
            self.drain = Drain::Done;
            self.outputs.push_back(Output::Exit);
        }
    }

    fn drain_due(&mut self) {
        match self.drain {
            Drain::Grace { until } if until <= self.now.tick => self.end_grace(),
            Drain::LastWords { until } if until <= self.now.tick => {
                self.interrupt_all();
                let until = self.now.tick.after(STORE_EXIT_MS);
                self.set_drain(Drain::Storing { until }, until);
                self.drain_on();
            }
            // What the store has not taken in by now its readers will not be told here.
            Drain::Storing { until } if until <= self.now.tick => {
                self.drain = Drain::Done;
                self.outputs.push_back(Output::Exit);
            }
            Drain::Flush { until, .. } if until <= self.now.tick => {
                self.drain = Drain::Done;
                self.outputs.push_back(Output::Exit);
            }
            Drain::Flush { until, .. } => self.wheel.insert(until, Timer::Drain),
            _ => {}
        }
    }

    /// Readers of runs that will not begin any more have nothing to wait for here.
    fn close_unbegun(&mut self) {
        let unbegun = self.runs.table.iter().filter(|(_, run)| run.status == Status::Queued);
        let is_stream = |id: &ConnId| {
            self.conns.get(*id).is_some_and(|conn| matches!(conn.phase, Phase::Stream(_)))
        };
        let readers = unbegun.flat_map(|(_, run)| run.subscribers.iter().copied());
        let readers: Vec<ConnId> = readers.filter(is_stream).collect();
        readers.into_iter().for_each(|id| self.close(id));
    }

    /// A reader goes on reading, so the rest of what is due to it is waited for.
    fn prolong_flush(&mut self) {
        if let Drain::Flush { until, until_max } = &mut self.drain {
            *until = self.now.tick.after(LINGER_MS).min(*until_max);
        }
    }

    fn is_draining(&self) -> bool {
        self.drain != Drain::No
    }
}

/// How much of everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub conns: usize,
    pub subscribers: usize,
    pub queued: usize,
    pub working: usize,
    pub finished: usize,
    pub history_bytes: usize,
    pub idempotency_keys: usize,
}
