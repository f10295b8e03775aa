//! The whole machine by operation sequences: each byte of the input decides what happens next.
use super::{Asker, Input, Machine, Output, Shelf};
use crate::budget::Budget;
use crate::config::{About, Config, OnOrphan};
use crate::event::{
    ApprovalRequest, Cancelled, Cause, Completed, Delta, Event, Kind, Runtime, Steered, Usage,
};
use crate::id::{ConnId, RunKey, RunNo};
use crate::limits::STORE_RETRY_MS;
use crate::record::{Answer, Batch, EventsPage, Fault, FaultKind, History, Query, Write};
use crate::request::Steer;
use crate::time::{Now, Tick, Wall};
use crate::wire::body::Dechunker;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const CONNS_OPEN_MAX: usize = 6;

/// Whatever happens in whatever order, what must be true between turns is true, every reader
/// hears its run in order and to the end, and when all have gone nothing is left.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let mut world = World::new(bytes.first().copied().unwrap_or(0));
    let mut rest = bytes.get(1..).unwrap_or(&[]);
    while let Some((operation, more)) = rest.split_first() {
        rest = world.operate(*operation, more);
        world.turn();
        if world.exited {
            return;
        }
    }
    world.wind_down();
}

struct World {
    machine: Machine,
    store: Lines,
    now: Now,
    conns: BTreeMap<ConnId, Peer>,
    agents: BTreeMap<RunKey, Worker>,
    drained: bool,
    exited: bool,
}

/// The agent of one working run.
#[derive(Default)]
struct Worker {
    next_seq: u64,
    told: Option<Cause>,
    inbox: VecDeque<Arc<Steer>>,
    /// It has asked for leave, and says nothing until it is told what was decided, or to end.
    waits: bool,
}

/// A store that keeps nothing but events, at once or when an operation says so.
#[derive(Default)]
struct Lines {
    said: BTreeMap<RunNo, Vec<String>>,
    is_late: bool,
    batches: VecDeque<Arc<Batch>>,
    questions: VecDeque<(Asker, Query)>,
    committed: u64,
    synced: u64,
    /// It has failed and takes nothing but a retry.
    is_shut: bool,
}

impl Lines {
    /// Stores the next batch, unless that is to be dropped.
    fn commit_next(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        self.is_shut &= !batch.is_retry;
        if !self.is_shut {
            self.commit(&batch);
            self.committed = batch.number;
        }
    }

    fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.questions.is_empty() && self.synced == self.committed
    }

    fn commit(&mut self, batch: &Batch) {
        for write in &batch.writes {
            if let Write::Events { no, rows } = write {
                let lines = rows.iter().flat_map(|row| row.lines.lines()).map(str::to_owned);
                self.said.entry(*no).or_default().extend(lines);
            }
        }
    }

    fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Events { no, from_seq, .. } => {
                let known = self.said.get(no).map_or(&[][..], Vec::as_slice);
                let lines = known.iter().skip(*from_seq as usize).take(2);
                let lines = lines.map(|line| line.clone() + "\n").collect();
                Answer::Events(EventsPage { first_seq: *from_seq, lines })
            }
            Query::History { .. } => Answer::History(History::default()),
            _ => Answer::Run(None),
        }
    }
}

#[derive(Default)]
struct Peer {
    got: Vec<u8>,
    /// One stream was asked for, and nothing else.
    streams: bool,
    /// One feed was asked for, and nothing else.
    feeds: bool,
    /// It said it wants no bytes.
    muted: bool,
    /// Its socket takes no more.
    blocked: bool,
}

/// What a peer may send; the fuzzer chooses by number and mixes in bytes of its own.
const REQUESTS: [&str; 23] = [
    "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Content-Length: 13\r\n\r\n{\"input\":\"x\"}",
    "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Transfer-Encoding: chunked\r\nIdempotency-Key: k\r\n\r\nd\r\n{\"input\":\"x\"}\r\n0\r\n\r\n",
    "GET /v1/runs/run_00000000000000000000000000000001/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/runs/run_00000000000000000000000000000002/events?last_seq=0 HTTP/1.1\r\n\
     Host: localhost\r\n\r\n",
    "GET /v1/runs/run_00000000000000000000000000000001/events HTTP/1.0\r\n\r\n",
    "HEAD /v1/runs/run_00000000000000000000000000000001/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/runs/run_00000000000000000000000000000001 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/runs/run_00000000000000000000000000000001/stop HTTP/1.1\r\nHost: localhost\r\n\
     Content-Length: 0\r\n\r\n",
    "POST /v1/runs/run_00000000000000000000000000000002/stop HTTP/1.1\r\nHost: localhost\r\n\
     Content-Length: 0\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Expect: 100-continue\r\nContent-Length: 13\r\n\r\n",
    "{\"input\":\"x\"}",
    "GET /v1/runs/run_00000000000000000000000000000001/events HTTP/1.1\r\nHost: localhost\r\n\
     Last-Event-ID: 1\r\n\r\n",
    "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Content-Length: 99\r\n\r\n{",
    "\r\n",
    "POST /v1/runs/run_00000000000000000000000000000001/steer HTTP/1.1\r\nHost: localhost\r\n\
     Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"text\":\"x\"}",
    "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Content-Length: 30\r\n\r\n{\"input\":\"x\",\"session_id\":\"s\"}",
    "DELETE /v1/runs/run_00000000000000000000000000000001 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/runs/run_00000000000000000000000000000001/approval HTTP/1.1\r\nHost: localhost\r\n\
     Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"choice\":\"always\"}",
    "GET /v1/events?watch=runs&runs=run_00000000000000000000000000000001,\
     run_00000000000000000000000000000002 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /v1/events?runs=run_00000000000000000000000000000002,\
     run_00000000000000000000000000000001:-1 HTTP/1.0\r\n\r\n",
    "GET /v1/events?watch=runs HTTP/1.1\r\nHost: localhost\r\n\r\n",
];
/// What an agent says that asks for leave.
const LEAVE: &str = "leave";
/// The places in `REQUESTS` of streams whose frames can be read off without knowing more.
const STREAMS: [usize; 2] = [2, 4];
/// The same of feeds; those who come to read one use the first.
const FEEDS: [usize; 3] = [20, 21, 22];

impl World {
    fn new(seed: u8) -> World {
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let config = Config {
            max_runs: 1 + usize::from(seed & 1),
            max_queue: usize::from(seed >> 1 & 3),
            on_orphan: if seed & 8 == 0 { OnOrphan::Keep } else { OnOrphan::Cancel },
            budget: Budget {
                wall: (seed & 16 != 0).then_some(Duration::from_secs(30)),
                ..Budget::default()
            },
            orphan_ttl: Duration::from_secs(if seed & 32 == 0 { 1 } else { 100 }),
            max_body: 64,
            ..Config::default()
        };
        let shelf = Shelf { is_durable: seed & 64 != 0, ..Shelf::default() };
        let mut id = 0;
        let ids = Box::new(move || {
            id += 1;
            id
        });
        World {
            machine: Machine::new(config, About::default(), shelf, ids, now),
            store: Lines { is_late: seed & 192 == 192, ..Lines::default() },
            now,
            conns: BTreeMap::new(),
            agents: BTreeMap::new(),
            drained: false,
            exited: false,
        }
    }

    /// Does one thing and gives back the bytes it has not used.
    fn operate<'a>(&mut self, operation: u8, rest: &'a [u8]) -> &'a [u8] {
        let argument = operation >> 4;
        let whom = usize::from(argument);
        match operation & 15 {
            1 if argument >= 13 => self.arrive(FEEDS[usize::from(argument) - 13]),
            0 | 1 => self.arrive(usize::from(argument)),
            2 | 3 => return self.send(whom, rest),
            4 => self.with_conn(whom, |world, id| world.tell(Input::Ended(id))),
            5 => self.with_conn(whom, |world, id| world.tell(Input::HungUp(id))),
            6 => self.with_conn(whom, World::block),
            7 => self.with_conn(whom, World::unblock),
            8 | 9 => return self.take(whom, rest),
            10 | 11 => {
                self.speak(whom, "a\nb");
            }
            12 => {
                self.speak(whom, "");
            }
            13 => self.pass(1 << argument),
            14 if matches!(argument, 12..15) => {
                self.speak(whom, LEAVE);
            }
            14 if argument == 15 => {
                self.drained = true;
                self.tell(Input::Drain);
            }
            15 if self.store.is_late => self.store_works(argument),
            _ => self.pass(1),
        }
        rest
    }

    fn store_works(&mut self, how: u8) {
        match how {
            0..5 => {
                (0..=how).for_each(|_| self.store.commit_next());
                self.tell_stored();
            }
            5..9 if !self.store.is_shut => {
                self.store.synced = self.store.committed;
                self.tell_stored();
            }
            9..14 => self.answer(usize::from(how)),
            14 if !self.store.is_shut && !self.store.batches.is_empty() => {
                let number = self.store.committed + 1;
                self.store.is_shut = true;
                let fault = Fault { kind: FaultKind::Other, message: "as told".to_owned() };
                self.tell(Input::Unstored { number, fault });
            }
            _ => {}
        }
    }

    fn tell_stored(&mut self) {
        let Lines { committed, synced, .. } = self.store;
        self.tell(Input::Stored { committed, synced });
    }

    /// Answers one of those who ask, or refuses to.
    fn answer(&mut self, which: usize) {
        let waiting = self.store.questions.len();
        let Some((asker, query)) = self.store.questions.remove(which % waiting.max(1)) else {
            return;
        };
        let fault = || Fault { kind: FaultKind::Other, message: "as told".to_owned() };
        let answer = if which == 13 { Err(fault()) } else { Ok(self.store.answer(&query)) };
        if answer.is_err()
            && let Asker::Conn(id) = asker
            && let Some(peer) = self.conns.get_mut(&id)
        {
            (peer.streams, peer.feeds) = (false, false);
        }
        self.tell(Input::Answered { asker, answer });
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
    }

    fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.now.wall.0 += ms * 1_000;
    }

    fn with_conn(&mut self, whom: usize, act: impl FnOnce(&mut World, ConnId)) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        if let Some(id) = ids.get(whom % ids.len().max(1)) {
            act(self, *id);
        }
    }

    /// A peer comes with one whole request, such as a reader of events.
    fn arrive(&mut self, which: usize) {
        if self.conns.len() >= CONNS_OPEN_MAX {
            return;
        }
        let id = self.machine.open(self.now).expect("room for a few connections");
        let streams = STREAMS.contains(&which);
        let feeds = FEEDS.contains(&which);
        self.conns.insert(id, Peer { streams, feeds, ..Peer::default() });
        self.receive(id, REQUESTS[which].as_bytes());
    }

    /// A peer sends a piece of a request, or bytes of its own.
    fn send<'a>(&mut self, whom: usize, rest: &'a [u8]) -> &'a [u8] {
        let Some(([which, cut], more)) = rest.split_first_chunk() else { return &[] };
        let whole = usize::from(*which) % 32;
        let (bytes, more) = match REQUESTS.get(whole) {
            Some(request) => (request.as_bytes(), more),
            None => more.split_at(usize::from(*cut % 32).min(more.len())),
        };
        let cut = if cut & 128 == 0 { bytes.len() } else { bytes.len().min((*cut & 127).into()) };
        self.with_conn(whom, |world, id| {
            if let Some(peer) = world.conns.get_mut(&id) {
                (peer.streams, peer.feeds) = (false, false);
            }
            world.receive(id, &bytes[..cut]);
        });
        more
    }

    fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        let room = self.machine.appetite(id);
        if let Some(peer) = self.conns.get_mut(&id) {
            peer.muted |= room == 0;
        }
        if room > 0 {
            self.tell(Input::Received(id, &bytes[..bytes.len().min(room)]));
        }
    }

    /// A peer's socket takes some of what is due.
    fn take<'a>(&mut self, whom: usize, rest: &'a [u8]) -> &'a [u8] {
        let Some((share, more)) = rest.split_first() else { return &[] };
        self.with_conn(whom, |world, id| {
            let [first, second] = world.machine.unsent(id);
            let all = first.len() + second.len();
            world.take_bytes(id, if *share == 255 { all } else { all * usize::from(*share) / 255 });
        });
        more
    }

    /// Only a socket that was offered something can say that it takes no more.
    fn block(&mut self, id: ConnId) {
        let offered = self.machine.unsent(id).iter().any(|bytes| !bytes.is_empty());
        if let Some(peer) = self.conns.get_mut(&id)
            && offered
            && !std::mem::replace(&mut peer.blocked, true)
        {
            self.tell(Input::Blocked(id));
        }
    }

    fn unblock(&mut self, id: ConnId) {
        if let Some(peer) = self.conns.get_mut(&id)
            && std::mem::take(&mut peer.blocked)
        {
            self.tell(Input::Writable(id));
        }
    }

    fn take_bytes(&mut self, id: ConnId, count: usize) {
        let [first, second] = self.machine.unsent(id);
        let of_first = count.min(first.len());
        let Some(peer) = self.conns.get_mut(&id) else { return };
        if count > 0 && !peer.blocked {
            peer.got.extend_from_slice(&first[..of_first]);
            peer.got.extend_from_slice(&second[..count - of_first]);
            self.tell(Input::Sent(id, count));
        }
    }

    /// Has an agent say this, or its last word if that is nothing. False if it waits for leave.
    fn speak(&mut self, whom: usize, text: &str) -> bool {
        let keys: Vec<RunKey> = self.agents.keys().copied().collect();
        let Some(run) = keys.get(whom % keys.len().max(1)).copied() else { return false };
        let Some(worker) = self.agents.get_mut(&run) else { return false };
        if worker.waits && (worker.told.is_none() || !text.is_empty()) {
            return false;
        }
        let usage = Usage::default();
        let kind = match (text, worker.told) {
            ("", Some(_)) => {
                Kind::Cancelled(Box::new(Cancelled { usage, output: None, pending_steer: None }))
            }
            ("", None) => Kind::Completed(Box::new(Completed {
                output: "done".to_owned(),
                usage,
                runtime: Runtime::default(),
                pending_steer: None,
            })),
            (LEAVE, _) => worker.ask(),
            _ => worker.heard().unwrap_or(Kind::MessageDelta(Delta { delta: text.to_owned() })),
        };
        let event = Event { run, seq: worker.next_seq, at: self.now.wall, kind };
        worker.next_seq += 1;
        if event.kind.is_terminal() {
            self.agents.remove(&run);
        }
        self.tell(Input::Event(event));
        true
    }

    fn turn(&mut self) {
        self.machine.end_turn(self.now);
        self.perform();
        // Who is writable is written to by operations of their own; here it is only asked.
        let mut late = Vec::new();
        while let Some(id) = self.machine.poll_writable() {
            assert!(!self.conns[&id].blocked, "writable, but blocked");
            late.push(id);
        }
        late.into_iter().for_each(|id| self.machine.yield_turn(id));
        self.machine.check();
        let counts = self.machine.counts();
        assert_eq!(counts.conns, self.conns.len());
        let may_wait = self.drained || self.store.is_late;
        assert!(may_wait || counts.working == self.agents.len());
    }

    fn perform(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Resume(id) => {
                    let peer = self.conns.get_mut(&id).expect("a word for a closed connection");
                    assert!(std::mem::take(&mut peer.muted), "resumed without a pause");
                }
                Output::HalfClose(id) => assert!(self.conns.contains_key(&id)),
                Output::Close(id) => {
                    let peer = self.conns.remove(&id).expect("a connection closed twice");
                    peer.check(false);
                    peer.check_feed(false);
                }
                Output::Start { run, .. } => {
                    let tenant = self.agents.insert(run, Worker::default());
                    assert!(tenant.is_none(), "started twice");
                }
                Output::Cancel { run, cause } => {
                    if let Some(worker) = self.agents.get_mut(&run) {
                        assert_eq!(worker.told.replace(cause), None, "told twice");
                    }
                }
                Output::Steer { run, steer } => {
                    if let Some(worker) = self.agents.get_mut(&run) {
                        worker.inbox.push_back(steer);
                    }
                }
                Output::Decide { run, .. } => {
                    let worker = self.agents.get_mut(&run).expect("nobody waits for leave");
                    assert!(std::mem::take(&mut worker.waits), "decided twice");
                    assert!(worker.told.is_none(), "decided for a run on its way out");
                }
                Output::Commit(batch) => self.store.batches.push_back(batch),
                Output::Ask { asker, query } => self.store.questions.push_back((asker, query)),
                // Never answered, so that it is asked but once: a world must end.
                Output::Prune { .. } => {}
                Output::Measure(id) => {
                    self.machine.handle(self.now, Input::Measured(id, Box::default()));
                }
                Output::Deliver(_) => unreachable!("nobody here has webhooks"),
                Output::Note(_) => {}
                Output::Exit => self.exited = true,
            }
            if !self.store.is_late {
                self.store_does_all();
            }
        }
    }

    fn store_does_all(&mut self) {
        while !self.store.batches.is_empty() {
            self.store.commit_next();
        }
        if self.store.synced < self.store.committed {
            self.store.synced = self.store.committed;
            self.tell_stored();
        }
        while !self.store.questions.is_empty() {
            self.answer(0);
        }
    }

    /// Lets the store do all it was told, and what it is told thereupon.
    fn settle(&mut self) {
        self.turn();
        while !self.store.is_idle() {
            self.store_does_all();
            self.turn();
        }
    }

    /// Agents end, and so does what ails the store.
    fn come_to_rest(&mut self) {
        loop {
            self.settle();
            if self.store.is_shut {
                self.pass(STORE_RETRY_MS);
            } else if self.agents.is_empty() {
                return;
            } else if !(0..self.agents.len()).any(|whom| self.speak(whom, "")) {
                // All that are left wait for leave: until they are denied.
                self.pass_to_next();
            }
        }
    }

    /// Lets the time pass until the machine has something to do.
    fn pass_to_next(&mut self) {
        let due = self.machine.next_due().expect("somebody waits for something");
        self.pass(due.0.saturating_sub(self.now.tick.0));
    }

    /// Agents end, readers read on, and then everybody leaves.
    fn wind_down(&mut self) {
        self.come_to_rest();
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.unblock(id);
            while !self.machine.unsent(id).iter().all(|bytes| bytes.is_empty()) {
                let count = self.machine.unsent(id).iter().map(|bytes| bytes.len()).sum();
                self.take_bytes(id, count);
                self.settle();
            }
            if let Some(peer) = self.conns.get(&id) {
                peer.check(true);
                // What has not begun when a server ends may begin with the next one.
                peer.check_feed(!self.drained);
            }
        }
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.tell(Input::HungUp(id));
        }
        self.come_to_rest();
        while self.machine.next_due().is_some() && !self.exited {
            self.pass_to_next();
            self.come_to_rest();
        }
        assert!(self.exited || self.machine.counts() == super::Counts::default());
    }
}

impl Worker {
    fn ask(&mut self) -> Kind {
        self.waits = true;
        let request_id = format!("approval_{:032x}_0", 1);
        Kind::ApprovalRequest(Box::new(ApprovalRequest {
            approval_id: request_id.clone(),
            request_id,
            tool: "terminal".to_owned(),
            command: "rm".to_owned(),
            description: String::new(),
            choices: &["once", "session", "always", "deny"],
            allow_permanent: true,
            arguments: "{}".to_owned(),
        }))
    }

    /// What it says when it has found something in its inbox.
    fn heard(&mut self) -> Option<Kind> {
        let steer = self.inbox.pop_front()?;
        let (text, interrupt) = (steer.text.clone(), steer.interrupt);
        Some(Kind::Steered(Box::new(Steered { accepted: true, text, interrupt })))
    }
}

impl Peer {
    /// A reader of one stream has heard 0, 1, 2, ...; and `to_end`, also the last word.
    fn check(&self, to_end: bool) {
        let head = self.got.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head) = head.filter(|_| self.streams && self.got.starts_with(b"HTTP/1.1 200"))
        else {
            return;
        };
        let (head, body) = self.got.split_at(head + 4);
        let mut text = Vec::new();
        if head.windows(7).any(|seven| seven == b"chunked") {
            let mut dechunker = Dechunker::default();
            let fed = dechunker.feed(body, &mut text, usize::MAX);
            fed.expect("the body of a stream is chunked well");
            assert!(!to_end || dechunker.is_done(), "a stream without an end");
        } else {
            text.extend_from_slice(body);
        }
        let text = String::from_utf8_lossy(&text);
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        for (seq, id) in ids.enumerate() {
            // The last line may be cut.
            assert!(seq.to_string().starts_with(id), "{id} where {seq} was due");
        }
        assert!(!to_end || text.ends_with(": stream closed\n\n"), "not heard to the end");
    }

    /// A reader of a feed has heard 0, 1, 2, ... of each run; and `to_end`, the last word of those
    /// that are still there.
    fn check_feed(&self, to_end: bool) {
        let head = self.got.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head) = head.filter(|_| self.feeds && self.got.starts_with(b"HTTP/1.1 200"))
        else {
            return;
        };
        let (head, body) = self.got.split_at(head + 4);
        let mut text = Vec::new();
        if head.windows(7).any(|seven| seven == b"chunked") {
            let fed = Dechunker::default().feed(body, &mut text, usize::MAX);
            fed.expect("the body of a feed is chunked well");
        } else {
            text.extend_from_slice(body);
        }
        let text = String::from_utf8_lossy(&text);
        let mut heard: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        // What follows the last empty line may be cut.
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        for frame in
            whole.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'))
        {
            let json = frame.split_once("data: ").expect("a frame has data").1;
            let data: serde_json::Value = serde_json::from_str(json).expect("data is JSON");
            let Some(run) = data["run_id"].as_str() else { continue };
            if frame.starts_with("data: ") && data["status"] != "deleted" {
                continue;
            }
            let (next_seq, is_over) = heard.entry(run.to_owned()).or_default();
            if let Some(seq) = data["seq"].as_u64() {
                assert!(frame.starts_with(&format!("id: {seq}\n")) && !*is_over);
                assert_eq!(seq, *next_seq, "of {run}");
                *next_seq += 1;
            }
            let name = data["event"].as_str().expect("an event has a name");
            let ends = ["run.completed", "run.failed", "run.cancelled", "run.interrupted"];
            *is_over |= ends.contains(&name) || data["status"] == "deleted";
        }
        assert!(!to_end || heard.values().all(|(_, is_over)| *is_over), "not heard to the end");
    }
}
