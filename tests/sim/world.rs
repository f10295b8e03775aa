//! One world: a machine, its clients, its agents, and time that passes when the world says so.
use crate::agent::Agent;
use crate::book::Book;
use crate::client::Client;
use crate::depot::Depot;
use crate::hooks::{Mail, webhooks};
use crate::lives::{Life, ids};
use crate::random::Random;
use crate::script::{Ask, Hand, OTHER_SECRET};
use runwire::approval::Choice;
use runwire::budget::Limit;
use runwire::config::{About, Config, Key, OnOrphan};
use runwire::event::{Cause, Event, Kind};
use runwire::id::{ConnId, RunKey};
use runwire::limits::{
    DRAIN_LAST_WORD_MS, IDEMPOTENCY_TTL_MS, LINGER_MS, OUTBOX_BYTES_MAX, SEGMENT_BYTES_MAX,
    STORE_EXIT_MS,
};
use runwire::machine::{Counts, Input, Machine, Output};
use runwire::request::Steer;
use runwire::store::Memory;
use runwire::time::{Now, Tick, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest reply of these worlds: the status of a run with the longest output.
const REPLY_BYTES_MAX: usize = 128 * 1024;
const STEPS: u64 = 120;
const CLIENTS_MAX: usize = 10;
const RUNS_MAX: usize = 12;
/// Processes of one world that end before its end.
const CRASHES_MAX: u64 = 3;

/// What a world came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Of all the machine said.
    pub digest: u64,
    pub frames_read: u64,
    /// Requests that were refused because memory was scarce.
    pub spared: u64,
    /// Steers that readers saw taken in, and those they saw come too late.
    pub steers_told: (u64, u64),
    /// Processes that ended, and events that had been shown before and were there afterwards.
    pub crashes: u64,
    pub frames_survived: u64,
    /// Runs that began with something said before, and times that a store failed.
    pub histories: u64,
    pub faults: u64,
    /// Readers that were told from the store while their run worked.
    pub fell_behind: u64,
    /// Events that were left out for readers with tokens.
    pub left_out: u64,
    /// Times that leave was asked for and decided on, and that it was known from before.
    pub decided: u64,
    pub granted: u64,
    /// Deliveries to webhooks that were made, and tries that were not the first.
    pub posted: u64,
    pub posted_again: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Outcome) {
        self.frames_read += other.frames_read;
        self.spared += other.spared;
        self.steers_told.0 += other.steers_told.0;
        self.steers_told.1 += other.steers_told.1;
        self.crashes += other.crashes;
        self.frames_survived += other.frames_survived;
        self.histories += other.histories;
        self.faults += other.faults;
        self.fell_behind += other.fell_behind;
        self.left_out += other.left_out;
        self.decided += other.decided;
        self.granted += other.granted;
        self.posted += other.posted;
        self.posted_again += other.posted_again;
    }
}

/// Where runs rest.
pub enum Stock {
    /// With the process they end.
    Memory(Memory),
    Durable(Box<Depot>),
}

pub struct World {
    pub random: Random,
    pub now: Now,
    pub config: Config,
    pub machine: Machine,
    pub stock: Stock,
    pub clients: BTreeMap<ConnId, Client>,
    pub agents: BTreeMap<RunKey, Agent>,
    /// Runs whose agents have ended in this turn.
    pub just_ended: Vec<RunKey>,
    /// The run that asks for leave at this moment.
    asking: Option<RunKey>,
    pub book: Book,
    pub drained_at: Option<Tick>,
    pub exited: bool,
    /// Since the drain began, whoever is not stuck has read all there was.
    pub reads_all: bool,
    /// A running digest of everything the machine said.
    pub digest: u64,
    pub durable: Life,
    pub mail: Mail,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let mut config = config(&mut random);
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let is_durable = random.once_in(2);
        let is_simple = random.once_in(4);
        let ttl_ms = config.orphan_ttl.as_millis() as u64;
        let is_scarce = config.memory.is_some();
        let stock = if is_durable {
            if random.once_in(4) {
                config.retain.runs = Some(random.below(6));
            }
            Stock::Durable(Box::new(Depot::new(&mut random)))
        } else {
            Stock::Memory(Memory::default())
        };
        let is_loud = is_durable && random.once_in(24);
        let shelf = stock.shelf();
        let ids = ids(seed, 0);
        World {
            machine: Machine::new(config.clone(), About::default(), shelf, ids, now),
            stock,
            random,
            now,
            config,
            clients: BTreeMap::new(),
            agents: BTreeMap::new(),
            just_ended: Vec::new(),
            asking: None,
            book: Book { ttl_ms, is_durable, is_scarce, is_simple, ..Book::default() },
            drained_at: None,
            exited: false,
            reads_all: false,
            digest: 0,
            durable: Life { seed, is_loud, ..Life::default() },
            mail: Mail::default(),
        }
    }

    pub fn live(mut self) -> Outcome {
        while self.dies_early() {
            self.live_on();
        }
        if self.exited {
            return self.outcome();
        }
        if self.drained_at.is_some() {
            self.turn();
            self.drain_to_the_end();
        } else {
            if self.random.once_in(2) {
                self.turn_kind();
            }
            self.abandon();
        }
        self.outcome()
    }

    /// Lives on until the world is to come to its end. Returns true if its process ended before
    /// and another one can take its place.
    fn dies_early(&mut self) -> bool {
        let drains_at = self.random.once_in(6).then(|| self.random.below(STEPS));
        let may_crash = self.book.is_durable && self.durable.crashes < CRASHES_MAX;
        let crashes_at = (may_crash && self.random.once_in(2)).then(|| self.random.below(STEPS));
        for step in 0..STEPS {
            for _ in 0..=self.random.below(3) {
                self.something_happens();
            }
            if drains_at == Some(step) {
                self.begin_drain();
                if self.random.once_in(2) {
                    self.reads_all = true;
                    break;
                }
            }
            self.turn();
            if self.exited || crashes_at == Some(step) {
                return may_crash;
            }
        }
        if may_crash && self.drained_at.is_some() && self.random.once_in(2) {
            self.turn();
            self.drain_to_the_end();
            return true;
        }
        false
    }

    fn outcome(&self) -> Outcome {
        let Book {
            frames_read,
            spared,
            steers_told,
            frames_survived,
            histories,
            left_out,
            decided,
            granted,
            ..
        } = self.book;
        let Life { crashes, faults, fell_behind, .. } = self.durable;
        let digest = self.digest;
        let (posted, posted_again) = (self.mail.posted.len() as u64, self.mail.again);
        Outcome {
            posted,
            posted_again,
            digest,
            frames_read,
            spared,
            steers_told,
            crashes,
            frames_survived,
            histories,
            faults,
            fell_behind,
            left_out,
            decided,
            granted,
        }
    }

    fn something_happens(&mut self) {
        match self.random.below(16) {
            0 | 1 => self.client_arrives(),
            2..6 => self.clients_send(),
            6..10 => {
                self.agents_speak();
            }
            10..14 => self.clients_read(),
            14 => self.somebody_leaves(),
            _ => {
                let ms = self.random.pick(&[1, 900, 2_000, 11_000]);
                self.pass(ms);
            }
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.now.wall = Wall(self.now.wall.0 + ms * 1_000);
        self.book.now = self.now.tick;
    }

    /// What one turn of the event loop does after it has told what happened.
    pub fn turn(&mut self) {
        self.book.turn += 1;
        self.store_works();
        self.mail_returns();
        self.machine.end_turn(self.now);
        self.look_if_full();
        let mut late = Vec::new();
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform(output);
            }
            let writable = self.machine.poll_writable();
            self.look_if_full();
            let Some(id) = writable else { break };
            if !self.write(id) {
                late.push(id);
            }
        }
        late.into_iter().for_each(|id| self.machine.yield_turn(id));
        self.just_ended.clear();
        self.check();
    }

    fn check(&mut self) {
        self.machine.check();
        let counts = self.machine.counts();
        assert!(counts.working <= self.config.max_runs && counts.queued <= self.config.max_queue);
        assert_eq!(counts.conns, self.clients.len());
        let may_differ = self.drained_at.is_some();
        assert!(may_differ || counts.working >= self.agents.len());
        assert!(may_differ || self.book.is_durable || counts.working == self.agents.len());
        let idle = counts.working < self.config.max_runs && counts.queued > 0;
        let may_idle = may_differ || self.book.is_durable || !self.book.is_simple;
        assert!(!idle || may_idle, "a run waits beside a free place");
        for id in self.clients.keys() {
            let [small, _] = self.machine.unsent(*id);
            let bound = OUTBOX_BYTES_MAX + SEGMENT_BYTES_MAX + REPLY_BYTES_MAX;
            assert!(small.len() <= bound, "{id:?} is owed {} bytes", small.len());
        }
    }

    pub fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
        self.look_if_full();
    }

    /// A request that waited behind a stream may be answered in any call of the machine.
    fn look_if_full(&mut self) {
        let counts = self.machine.counts();
        if counts.queued == self.config.max_queue {
            self.book.queue_full_at = self.book.turn;
            if counts.working == self.config.max_runs {
                self.book.full_at = self.book.turn;
            }
        }
    }

    fn mark(&mut self, text: &str) {
        for byte in text.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn perform(&mut self, output: Output) {
        match &output {
            Output::Commit(batch) => self.mark(&format!("{} {}", batch.number, batch.writes.len())),
            Output::Start { run, .. } => self.mark(&format!("start {run:?}")),
            output => self.mark(&format!("{output:?}")),
        }
        match output {
            Output::Resume(id) => {
                let client = self.clients.get_mut(&id).expect("a word for a closed connection");
                assert!(std::mem::take(&mut client.muted), "resumed without a pause");
            }
            Output::HalfClose(id) => {
                let client = self.clients.get_mut(&id).expect("a word for a closed connection");
                assert!(!std::mem::replace(&mut client.eof, true), "half-closed twice");
            }
            Output::Close(id) => {
                let mut client = self.clients.remove(&id).expect("a connection closed twice");
                let excused = client.is_stalled(self.now.tick) || self.drained_at.is_some();
                client.hear_close(&mut self.book, excused);
            }
            Output::Start { run, request, .. } => self.start(run, &request),
            Output::Cancel { run, cause } => self.cancel(run, cause),
            Output::Steer { run, steer } => self.steer(run, steer),
            Output::Decide { run, choice } => self.decide(run, choice),
            Output::Commit(batch) => self.commit(batch),
            Output::Ask { asker, query } => self.store_asked(asker, query),
            Output::Prune { retain, now } => match &mut self.stock {
                Stock::Memory(_) => unreachable!("a store in memory is not cleaned up"),
                Stock::Durable(depot) => depot.prune(retain, now),
            },
            Output::Measure(id) => self.tell(Input::Measured(id, Box::default())),
            Output::Deliver(delivery) => self.post(delivery),
            Output::Note(_) => {}
            Output::Exit => {
                assert!(self.drained_at.is_some() && !self.exited);
                self.exit();
            }
        }
    }

    fn decide(&mut self, run: RunKey, choice: Choice) {
        let agent = self.agents.get_mut(&run).expect("an agent that waits");
        assert!(std::mem::take(&mut agent.waits), "{run:?} was told twice");
        assert!(agent.told.is_none(), "{run:?} was given leave on its way out");
        if self.asking == Some(run) && choice != Choice::Deny {
            self.book.granted(agent.id, choice);
        } else {
            self.book.decided(agent.id, choice);
        }
    }

    fn steer(&mut self, run: RunKey, steer: Arc<Steer>) {
        self.book.steered(run, &steer.text);
        match self.agents.get_mut(&run) {
            Some(agent) => {
                assert!(agent.told.is_none(), "{run:?} was steered on its way out");
                agent.inbox.push_back(steer);
            }
            None => assert!(self.just_ended.contains(&run), "{run:?} has long ended"),
        }
    }

    fn cancel(&mut self, run: RunKey, cause: Cause) {
        let Some(agent) = self.agents.get_mut(&run) else {
            return assert!(self.just_ended.contains(&run), "{run:?} has long ended");
        };
        self.book.made(agent.id).is_leaving = true;
        assert_eq!(agent.told.replace(cause), None, "told twice");
        let allowed = match cause {
            Cause::Stop => true,
            Cause::Orphan => self.config.on_orphan == OnOrphan::Cancel,
            Cause::Budget(limit) => limit == Limit::Wall && self.config.budget.wall.is_some(),
            Cause::Shutdown => self.drained_at.is_some(),
            Cause::Store => self.durable.faults > 0,
        };
        assert!(allowed, "{run:?} was cancelled by {cause:?}");
    }

    /// Writes as a socket would take it. Returns false if the turn's share is used up.
    fn write(&mut self, id: ConnId) -> bool {
        let shares = 1 + self.random.below(6);
        for _ in 0..shares {
            let client = self.clients.get_mut(&id).expect("writable, but closed");
            assert!(!client.blocked, "writable, but blocked");
            let unsent = self.machine.unsent(id);
            let waiting = unsent[0].len() + unsent[1].len();
            if waiting == 0 {
                return true;
            }
            let room = client.window - client.pending.len();
            let count =
                if self.random.once_in(3) { self.random.index(waiting) + 1 } else { waiting };
            let count = count.min(room);
            if count == 0 {
                client.blocked = true;
                client.lagging = client.lagging.or(Some((self.now.tick, 0)));
                self.tell(Input::Blocked(id));
                return true;
            }
            let first = count.min(unsent[0].len());
            client.pending.extend_from_slice(&unsent[0][..first]);
            client.pending.extend_from_slice(&unsent[1][..count - first]);
            self.digest = self.digest.rotate_left(7) ^ count as u64;
            self.tell(Input::Sent(id, count));
            let is_more = self.machine.unsent(id).iter().any(|bytes| !bytes.is_empty());
            let Some(client) = self.clients.get_mut(&id) else { return true };
            // What is due to a redacted reader is lent to it piece by piece.
            let all = count == waiting && !(is_more && client.is_redacted());
            client.takes(count, all, self.now.tick);
        }
        false
    }

    fn client_arrives(&mut self) {
        if self.clients.len() >= CLIENTS_MAX || self.machine.is_full() {
            return;
        }
        let old = self.random.once_in(6);
        let keep_alive = !self.random.once_in(5);
        let hand = self.hand(old, keep_alive);
        let count = if old && !hand.keep_alive { 1 } else { 1 + self.random.below(4) };
        let mut asks: Vec<Ask> = (0..count).map(|_| self.some_ask(&hand)).collect();
        if let Some(resumed) = self.resume(&hand) {
            asks.insert(0, resumed);
        } else if !self.book.known().is_empty() && self.random.once_in(8) {
            // Nothing comes behind a feed, which has no end.
            asks = vec![hand.feed(&self.book, &mut self.random)];
        }
        let mut half_closes = self.random.once_in(4);
        if self.random.once_in(12) {
            asks.push(hand.torso(&mut self.book, &mut self.random));
            half_closes = true;
        }
        let window = self.random.pick(&[300, 4_000, 70_000, 1 << 20]);
        let gulp = self.random.pick(&[7, 200, 5_000, 1 << 20]);
        let mut client = Client::new(asks, window, gulp, self.now.tick);
        client.half_closes = half_closes;
        client.stuck = self.random.once_in(12);
        let id = self.machine.open(self.now).expect("room for a few connections");
        assert!(self.clients.insert(id, client).is_none(), "{id:?} was given away twice");
    }

    fn hand(&self, old: bool, keep_alive: bool) -> Hand {
        Hand { old, keep_alive, secret: self.config.key.is_some(), wall_s: self.now.wall.seconds() }
    }

    fn some_ask(&mut self, hand: &Hand) -> Ask {
        let runs = self.book.known();
        let random = &mut self.random;
        if runs.is_empty() || (self.book.runs.len() < RUNS_MAX && random.once_in(4)) {
            return hand.submit(&mut self.book, random);
        }
        let run = runs[random.index(runs.len())];
        match random.below(30) {
            26.. => hand.approve(&self.book, run, random),
            0..11 => hand.events(&self.book, run, random),
            11 | 12 => hand.status(&self.book, run),
            13 => hand.stop(&self.book, run),
            15 if hand.secret => hand.foreign(&self.book, run, random),
            14 | 15 => hand.page(&self.book, random),
            16 if !self.book.may_be_forgotten(run) && self.book.ttl_ms > 100_000 => {
                hand.bad_cursor(&self.book, run, random)
            }
            17 => hand.conflict(&self.book).unwrap_or_else(|| hand.page(&self.book, random)),
            18 => hand.wrong(&self.book, random),
            19..22 => hand.steer(&mut self.book, run, random),
            22 if !self.book.is_simple && random.once_in(2) => hand.delete(&mut self.book, run),
            23 | 24 if !self.book.is_simple => hand.list(&mut self.book, random),
            _ => hand.events(&self.book, run, random),
        }
    }

    fn clients_send(&mut self) {
        for id in self.ids() {
            let client = &self.clients[&id];
            let all = client.sendable().len();
            let count = if self.random.once_in(2) { all } else { self.random.index(all + 1) };
            self.client_sends(id, count);
        }
    }

    /// Hands over `count` bytes at most, in as many reads as the machine's appetite makes of them.
    fn client_sends(&mut self, id: ConnId, mut count: usize) {
        while let Some(client) = self.clients.get_mut(&id) {
            let all_sent = client.has_sent_all() || client.told_close;
            let wants_end = all_sent && (client.half_closes || client.eof) && !client.ended;
            if client.muted || (count == 0 && !wants_end) {
                return;
            }
            let appetite = self.machine.appetite(id);
            if appetite == 0 {
                client.muted = true;
            } else if count > 0 {
                let cut = count.min(appetite);
                let bytes = client.sendable()[..cut].to_vec();
                client.sent += cut;
                count -= cut;
                self.tell(Input::Received(id, &bytes));
            } else {
                client.ended = true;
                self.tell(Input::Ended(id));
            }
        }
    }

    fn clients_read(&mut self) {
        for id in self.ids() {
            let client = &self.clients[&id];
            if !client.stuck && self.random.once_in(2) {
                let count = client.gulp.min(client.pending.len());
                self.client_reads(id, count);
            }
        }
    }

    fn client_reads(&mut self, id: ConnId, count: usize) {
        let client = self.clients.get_mut(&id).expect("the caller knows it");
        client.read(count, &mut self.book);
        if client.eof && client.pending.is_empty() {
            client.hear_eof();
        }
        if client.blocked && client.pending.len() < client.window {
            client.blocked = false;
            self.tell(Input::Writable(id));
        }
    }

    /// Returns true if any of them had something to say.
    fn agents_speak(&mut self) -> bool {
        let keys: Vec<RunKey> = self.agents.keys().copied().collect();
        // As the loop does: what agents say waits while too much waits for the store.
        let speaks = |key: &RunKey| self.machine.takes_events() && self.agent_speaks(*key);
        keys.into_iter().filter(speaks).count() > 0
    }

    fn agent_speaks(&mut self, key: RunKey) -> bool {
        let agent = self.agents.get_mut(&key).expect("the caller knows it");
        let Some(event) = agent.speak(self.now.wall, &mut self.random) else { return false };
        self.book.said(agent.id, &event);
        if event.kind.is_terminal() {
            self.agents.remove(&key);
            self.just_ended.push(key);
        }
        self.asking = agent_asks(&event).then_some(key);
        self.tell(Input::Event(event));
        if self.asking.is_some() {
            // What is known from before is told before anything else can happen.
            while let Some(output) = self.machine.poll_output() {
                self.perform(output);
            }
            self.asking = None;
        }
        true
    }

    /// Whoever waits for leave is given an answer.
    fn answer_all(&mut self) {
        let waiting = self.agents.values().filter(|agent| agent.waits && agent.told.is_none());
        let (secret, wall_s) = (self.config.key.is_some(), self.now.wall.seconds());
        let hand = Hand { old: false, keep_alive: true, secret, wall_s };
        for run in waiting.map(|agent| agent.id).collect::<Vec<_>>() {
            let ask = hand.approve(&self.book, run, &mut self.random);
            let client = Client::new(vec![ask], usize::MAX, usize::MAX, self.now.tick);
            let id = self.machine.open(self.now).expect("room for one more");
            self.clients.insert(id, client);
        }
    }

    fn somebody_leaves(&mut self) {
        let ids = self.ids();
        if !ids.is_empty() && self.random.once_in(2) {
            let id = ids[self.random.index(ids.len())];
            self.hang_up(id);
        }
    }

    /// What it is told after that is told to nobody, so it is told nothing: `Close` comes first.
    pub fn hang_up(&mut self, id: ConnId) {
        self.clients.get_mut(&id).expect("the caller knows it").told_close = true;
        self.tell(Input::HungUp(id));
    }

    pub fn ids(&self) -> Vec<ConnId> {
        self.clients.keys().copied().collect()
    }

    /// Safety is not enough: when the world turns kind, what was begun must finish. Agents say
    /// their last word, clients send and read whatever there is, and all hear all, without that a
    /// millisecond passes.
    fn turn_kind(&mut self) {
        self.agents.values_mut().for_each(|agent| agent.stalled = false);
        self.heal();
        loop {
            let before = self.progress();
            self.store_catches_up();
            self.answer_all();
            for id in self.ids() {
                self.clients.get_mut(&id).expect("just listed").window = usize::MAX;
                let count = self.clients[&id].sendable().len();
                self.client_sends(id, count);
                if self.clients.contains_key(&id) {
                    let count = self.clients[&id].pending.len();
                    self.client_reads(id, count);
                }
            }
            self.agents_speak();
            self.agents.values_mut().for_each(|agent| agent.stalled = false);
            self.turn();
            let is_quiet =
                before == self.progress() && self.is_store_idle() && !self.machine.has_writable();
            // Agents may wait for the store, too.
            if is_quiet && !self.await_retry() && self.agents.is_empty() {
                break;
            }
        }
        let counts = self.machine.counts();
        assert_eq!((counts.working, counts.queued, counts.subscribers), (0, 0, 0));
        for (id, client) in &self.clients {
            assert!(
                client.is_content(&self.book),
                "{id:?} was not told to the end: {:?}",
                client.asks
            );
            assert!(!client.blocked && !client.is_following());
        }
        self.read_everything();
    }

    /// What changes as long as anything goes on.
    fn progress(&self) -> (u64, u64, usize, usize) {
        let sent = self.clients.values().map(|client| client.sent).sum();
        let in_flight = |client: &Client| client.pending.len() + client.sendable().len();
        let in_flight = self.clients.values().map(in_flight).sum();
        (self.digest, self.book.frames_read, sent, in_flight)
    }

    /// Whoever comes after the end is told everything.
    fn read_everything(&mut self) {
        let hand = self.hand(false, true);
        for run in self.lasting() {
            let ask = hand.all_events(&self.book, run);
            let client = Client::new(vec![ask], usize::MAX, usize::MAX, self.now.tick);
            let id = self.machine.open(self.now).expect("room for one more");
            self.clients.insert(id, client);
            let count = self.clients[&id].to_send.len();
            self.client_sends(id, count);
            for _ in 0..1_000 {
                self.store_catches_up();
                self.turn();
                let count = self.clients[&id].pending.len();
                self.client_reads(id, count);
                if self.clients[&id].asks.is_empty() {
                    break;
                }
            }
            assert!(self.clients[&id].asks.is_empty(), "{run} was not told to the end");
            assert!(self.book.runs[&run].last_seq.is_some());
            self.hang_up(id);
            self.turn();
        }
    }

    /// With every client gone, every run must end, and in the end be forgotten.
    fn abandon(&mut self) {
        for id in self.ids() {
            self.hang_up(id);
        }
        self.turn();
        let left_at = self.now.tick;
        loop {
            self.wake_agents();
            self.heal();
            if !self.agents_speak() && self.is_store_idle() {
                let Some(due) = self.machine.next_due() else { break };
                self.pass(due.0.saturating_sub(self.now.tick.0));
            }
            self.store_catches_up();
            self.turn();
            // A durable store is cleaned up for ever.
            if self.book.is_durable && self.machine.counts() == Counts::default() {
                break;
            }
        }
        self.mail_is_delivered();
        assert_eq!(self.machine.counts(), Counts::default(), "something was never forgotten");
        assert!(self.agents.is_empty());
        let runs = self.book.runs.len() as u64 + 1;
        let asked = self.book.decided * self.config.approval_timeout.as_millis() as u64;
        let ttl = self.book.ttl_ms.max(IDEMPOTENCY_TTL_MS) + runs * self.book.ttl_ms + asked;
        let late = self.now.tick > left_at.after(ttl + 100_000);
        assert!(!late, "an orphan outlived its time: {left_at:?} {:?}, {runs} runs", self.now.tick);
    }

    /// Only where orphans are cancelled may a run stall for ever.
    fn wake_agents(&mut self) {
        let may_stall = self.config.on_orphan == OnOrphan::Cancel;
        for agent in self.agents.values_mut() {
            agent.deaf = false;
            agent.stalled &= may_stall;
        }
    }

    fn begin_drain(&mut self) {
        self.drained_at = Some(self.now.tick);
        self.book.draining = true;
        self.tell(Input::Drain);
    }

    fn drain_to_the_end(&mut self) {
        let readers = self.clients.values_mut().filter(|client| !client.stuck);
        readers.for_each(|client| client.window = usize::MAX);
        while !self.exited {
            let due = self.machine.next_due().expect("a drain that waits for nothing");
            let ms = due.0.saturating_sub(self.now.tick.0);
            self.pass(ms.min(100));
            for _ in 0..10 {
                self.store_works();
            }
            self.clients_send();
            self.agents_speak();
            for id in self.ids() {
                if !self.clients[&id].stuck {
                    let count = self.clients[&id].pending.len();
                    self.client_reads(id, count);
                }
            }
            self.turn();
        }
    }

    /// The process is about to end: whoever reads has been told how each run ended.
    fn exit(&mut self) {
        self.exited = true;
        let grace = self.config.drain.as_millis() as u64 + DRAIN_LAST_WORD_MS + LINGER_MS;
        let begun = self.drained_at.expect("an exit follows a drain");
        let is_failing = self.durable.is_failing() || !self.is_store_idle();
        // A store that failed meanwhile may be well again by now.
        let retried = if self.durable.faults > 0 { STORE_EXIT_MS } else { 0 };
        let late = begun.after(grace + retried + 400) < self.now.tick;
        assert!(!late || !self.reads_all || is_failing, "the drain took too long");
        let counts = self.machine.counts();
        assert!(counts.working == 0 || is_failing);
        assert!(counts.queued == 0 || self.book.is_durable);
        for id in self.ids() {
            let client = self.clients.get_mut(&id).expect("just listed");
            client.read(client.pending.len(), &mut self.book);
            client.hear_eof();
            // A run that has not begun begins with the next process.
            let run = client.place().and_then(|(run, _)| self.book.runs.get(&run));
            let waits = self.book.is_durable && run.is_some_and(|run| run.key.is_none());
            let told =
                !client.is_following() || client.stuck || !self.reads_all || is_failing || waits;
            assert!(told, "{id:?} was left in the dark");
        }
    }
}

fn agent_asks(event: &Event) -> bool {
    matches!(event.kind, Kind::ApprovalRequest(_))
}

fn config(random: &mut Random) -> Config {
    let mut config = Config::default();
    config.max_runs = 1 + random.index(4);
    config.max_queue = random.index(5);
    config.max_body = 19_000;
    config.key = random.once_in(2).then(|| "secret".to_owned());
    config.keys = config.key.iter().map(|_| Key::new("other", OTHER_SECRET)).collect();
    config.orphan_ttl = Duration::from_secs(random.pick(&[1, 60, 3600]));
    config.approval_timeout = Duration::from_secs(random.pick(&[5, 600]));
    config.budget.wall = random.once_in(3).then(|| Duration::from_secs(20));
    if random.once_in(3) {
        config.memory = Some((384 * 1024) << random.below(4));
    }
    if random.once_in(3) {
        config.on_orphan = OnOrphan::Cancel;
    }
    config.webhooks = webhooks(random);
    config
}
