//! A real server whose store does not come along: what is not stored is not shown, agents that are
//! faster wait and hold up nobody else, and nothing is forgotten once the store goes on.
mod common;
use common::{Client, DEADLINE, Site, get, parts_of_events, post_input, wait_for};
use runwire::config::Retain;
use runwire::id::RunNo;
use runwire::limits::{EVENTS_QUEUED_MAX, EVENTS_TURN_MAX, STORE_BACKLOG_BYTES_MAX};
use runwire::record::{Answer, Batch, EventsPage, Fault, Pruned, Query, Recovered, Row, Write};
use runwire::store::{Hands, Memory, Reader, Store, Syncer};
use runwire::time::Wall;
use runwire::{Agent, Config, Context, Ending, Handle, Server};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// A store that keeps events too, and stores anything that was said only while its door is open.
#[derive(Clone)]
struct Slow {
    has_threads: bool,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: Mutex<Kept>,
    door: Mutex<Door>,
    opened: Condvar,
}

#[derive(Default)]
struct Door {
    is_shut: bool,
    waits: usize,
}

#[derive(Default)]
struct Kept {
    memory: Memory,
    rows: BTreeMap<RunNo, Vec<Row>>,
    events: u64,
    finished: usize,
}

impl Slow {
    fn new(has_threads: bool) -> Slow {
        Slow { has_threads, inner: Arc::default() }
    }

    fn shut(&self) {
        self.inner.door.lock().unwrap().is_shut = true;
    }

    fn open(&self) {
        self.inner.door.lock().unwrap().is_shut = false;
        self.inner.opened.notify_all();
    }

    fn is_waiting(&self) -> bool {
        self.inner.door.lock().unwrap().waits > 0
    }

    fn wait_till_open(&self) {
        let mut door = self.inner.door.lock().unwrap();
        door.waits += 1;
        let wait = self.inner.opened.wait_timeout_while(door, DEADLINE, |door| door.is_shut);
        let (mut door, waited) = wait.unwrap();
        door.waits -= 1;
        assert!(!waited.timed_out(), "nobody opens the door");
    }

    fn events(&self) -> u64 {
        self.inner.kept.lock().unwrap().events
    }

    fn finished(&self) -> usize {
        self.inner.kept.lock().unwrap().finished
    }
}

impl Store for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn is_durable(&self) -> bool {
        self.has_threads
    }

    fn recover(&mut self) -> Result<Recovered, Fault> {
        Ok(Recovered::default())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        let has_events = |write: &Write| matches!(write, Write::Events { .. });
        if !self.has_threads || batch.writes.iter().any(has_events) {
            self.wait_till_open();
        }
        let mut kept = self.inner.kept.lock().unwrap();
        kept.memory.commit(batch)?;
        let is_last = |write: &&Write| matches!(write, Write::Finish { .. });
        kept.finished += batch.writes.iter().filter(is_last).count();
        for write in &batch.writes {
            let Write::Events { no, rows } = write else { continue };
            kept.rows.entry(*no).or_default().extend(rows.iter().cloned());
            kept.events += rows.iter().map(|row| row.last_seq - row.first_seq + 1).sum::<u64>();
        }
        Ok(())
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        let mut kept = self.inner.kept.lock().unwrap();
        let Query::Events { no, from_seq, .. } = query else { return kept.memory.answer(query) };
        let rows = kept.rows.get(no).map_or(&[][..], Vec::as_slice);
        let Some(row) = rows.iter().find(|row| row.last_seq >= *from_seq) else {
            return Ok(Answer::Events(EventsPage::default()));
        };
        let skipped = (*from_seq - row.first_seq) as usize;
        let lines = row.lines.split_inclusive('\n').skip(skipped).collect();
        Ok(Answer::Events(EventsPage { first_seq: *from_seq, lines }))
    }

    fn prune(&mut self, _: &Retain, _: Wall) -> Result<Pruned, Fault> {
        Ok(Pruned::default())
    }

    fn hands(&self) -> Result<Option<Hands>, Fault> {
        let hand = || Box::new(self.clone());
        Ok(self.has_threads.then(|| Hands { reader: hand(), syncer: hand() }))
    }
}

impl Reader for Slow {
    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        Store::answer(self, query)
    }
}

impl Syncer for Slow {
    fn sync(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Says much once it is told to begin, and counts what it was let say.
struct Flood {
    count: usize,
    begin: Mutex<Receiver<()>>,
    said: Arc<AtomicUsize>,
}

const BYTES: usize = 1_000;
/// What an agent may be ahead of the store: what waits for it, and what waits for the loop.
const AHEAD_MAX: usize = STORE_BACKLOG_BYTES_MAX / BYTES + EVENTS_QUEUED_MAX + 1;

impl Agent for Flood {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        self.begin.lock().unwrap().recv()?;
        let text = "x".repeat(BYTES);
        (0..self.count).try_for_each(|_| {
            self.said.fetch_add(1, Ordering::SeqCst);
            run.delta(&text)
        })
    }
}

/// A server at work for floods.
struct Dam {
    addr: SocketAddr,
    handle: Handle,
    thread: JoinHandle<std::io::Result<()>>,
    begin: Sender<()>,
    said: Arc<AtomicUsize>,
}

impl Dam {
    fn start(store: &Slow, count: usize) -> Dam {
        let (begin, begun) = channel();
        let said = Arc::default();
        let agent = Flood { count, begin: Mutex::new(begun), said: Arc::clone(&said) };
        let mut config = Config::default();
        config.addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::with_store(config, agent, Box::new(store.clone())).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        Dam { addr, handle, thread: thread::spawn(move || server.run()), begin, said }
    }

    fn send(&self, request: String) -> Client {
        let mut client = Client::connect(self.addr);
        client.send(request);
        client
    }

    fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }

    /// Lets the agents that still wait fail.
    fn end(self) {
        drop(self.begin);
        self.handle.drain();
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn agents_wait_for_a_store_that_falls_behind_and_nothing_is_lost() {
    const COUNT: usize = 20_000;
    const { assert!(AHEAD_MAX < COUNT / 2) };
    let store = Slow::new(true);
    store.shut();
    let dam = Dam::start(&store, COUNT);
    let reply = dam.send(post_input("go")).reply();
    let run = reply.json()["run_id"].as_str().unwrap().to_owned();
    let mut reader = dam.send(get(&format!("/v1/runs/{run}/events")));
    reader.head();
    assert_eq!(reader.frame(), ": open\n\n");
    dam.begin.send(()).unwrap();
    wait_for("the agent to be ahead", || (dam.said() > EVENTS_QUEUED_MAX).then_some(()));
    for _ in 0..500 {
        let health = dam.send(get("/health")).reply();
        assert_eq!(health.status, 200, "the loop waits for nobody");
    }
    assert_eq!(store.events(), 0);
    assert!(dam.said() <= AHEAD_MAX, "the agent has said {}", dam.said());
    store.open();
    let mut stream = Vec::new();
    while let Some(chunk) = reader.chunk() {
        stream.extend_from_slice(&chunk);
    }
    let events = parts_of_events(&stream);
    assert_eq!(events.len(), COUNT + 1);
    assert!(events.iter().zip(0..).all(|(event, seq)| event["seq"] == seq));
    assert_eq!(store.events(), COUNT as u64 + 1);
    dam.end();
}

#[test]
fn events_that_are_too_many_for_one_turn_need_no_further_bell() {
    const COUNT: usize = 1_900;
    const { assert!(COUNT > EVENTS_TURN_MAX * 3 / 2 && COUNT < EVENTS_QUEUED_MAX) };
    let store = Slow::new(false);
    let dam = Dam::start(&store, COUNT);
    let first = dam.send(post_input("go")).reply();
    assert_eq!(first.status, 202);
    store.shut();
    let mut second = dam.send(post_input("go"));
    wait_for("the loop to be held up", || store.is_waiting().then_some(()));
    dam.begin.send(()).unwrap();
    wait_for("the agent to have said all", || (dam.said() == COUNT).then_some(()));
    store.open();
    // Whoever asked the server how far it is would wake it.
    wait_for("the last event to be taken", || (store.finished() == 1).then_some(()));
    assert_eq!(second.reply().status, 202);
    dam.end();
}

#[test]
fn the_server_ends_once_the_store_has_all() {
    let store = Slow::new(true);
    let site = Site::with_store(Box::new(store.clone()), |_| {});
    let runs: Vec<String> = (0..20).map(|_| site.run("emit 100 10")).collect();
    for run in &runs {
        site.await_status(run, "completed");
    }
    site.handle.drain();
    site.join();
    assert_eq!(store.events(), 20 * 101);
    assert_eq!(Arc::strong_count(&store.inner), 1, "the server has let go of the store");
}
