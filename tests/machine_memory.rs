//! The machine with little memory: who is refused, who is sent away, and who goes on being served.
use runwire::config::{About, Config};
use runwire::event::{Completed, Delta, Event, Kind, Runtime, Usage};
use runwire::id::{ConnId, RunKey};
use runwire::limits::DELTA_BYTES_MAX;
use runwire::machine::{Asker, Input, Machine, Output, Shelf};
use runwire::shares::Shares;
use runwire::store::{Memory, Store};
use runwire::time::{Now, Tick, Wall};
use serde_json::Value;

/// Too little for a server, so that little is needed to use it up.
const BUDGET: usize = 1024 * 1024;
const RUNS: usize = 4;

struct Desk {
    machine: Machine,
    store: Memory,
    now: Now,
    started: Vec<RunKey>,
    closed: Vec<ConnId>,
    /// The store answers nothing.
    is_silent: bool,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(Shelf::default())
    }

    fn with(shelf: Shelf) -> Desk {
        let mut config = Config::default();
        (config.memory, config.max_runs) = (Some(BUDGET), RUNS);
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let mut id = 0;
        let ids = Box::new(move || {
            id += 1;
            id
        });
        Desk {
            machine: Machine::new(config, About::default(), shelf, ids, now),
            store: Memory::within(shares().said),
            now,
            started: Vec::new(),
            closed: Vec::new(),
            is_silent: false,
        }
    }

    fn open(&mut self) -> ConnId {
        self.machine.open(self.now).expect("room for a connection")
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
    }

    /// Lets `ms` pass, and does what the machine says.
    fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.machine.end_turn(self.now);
        self.carry_out();
        self.machine.check();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Start { run, .. } => self.started.push(run),
                Output::Close(id) => self.closed.push(id),
                Output::Commit(batch) => {
                    self.store.commit(&batch).expect("a store in memory takes everything");
                    let number = batch.number;
                    self.tell(Input::Stored { committed: number, synced: number });
                }
                Output::Ask { asker, query } if !self.is_silent => {
                    let answer = self.store.answer(&query);
                    self.tell(Input::Answered { asker, answer });
                }
                _ => {}
            }
        }
    }

    /// Opens a connection, sends this much, and gives back what is answered.
    fn ask(&mut self, request: &str) -> (ConnId, String) {
        let id = self.open();
        self.tell(Input::Received(id, request.as_bytes()));
        self.pass(0);
        (id, self.read(id))
    }

    fn get(&mut self, path: &str) -> String {
        let (id, reply) = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.tell(Input::HungUp(id));
        reply
    }

    fn post(&mut self, path: &str, body: &str) -> String {
        let size = body.len();
        let (id, reply) = self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {size}\r\n\r\n{body}"
        ));
        self.tell(Input::HungUp(id));
        reply
    }

    fn submit(&mut self, input_bytes: usize) -> String {
        self.post("/v1/runs", &format!(r#"{{"input":"{}"}}"#, "x".repeat(input_bytes)))
    }

    fn read(&mut self, id: ConnId) -> String {
        let mut text = Vec::new();
        loop {
            let due = self.machine.unsent(id).concat();
            if due.is_empty() {
                return String::from_utf8(text).expect("all that is sent is UTF-8");
            }
            text.extend_from_slice(&due);
            self.tell(Input::Sent(id, due.len()));
            self.carry_out();
        }
    }

    fn charged(&mut self) -> usize {
        let reply = self.get("/health/detailed");
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let page: Value = serde_json::from_str(body).unwrap();
        assert_eq!(page["memory"]["budget"], BUDGET);
        page["memory"]["charged"].as_u64().unwrap() as usize
    }

    fn say(&mut self, run: RunKey, seq: u64, kind: Kind) {
        let at = self.now.wall;
        self.tell(Input::Event(Event { run, seq, at, kind }));
    }
}

fn shares() -> Shares {
    Shares::of(Some(BUDGET), RUNS, 10_000_000)
}

fn delta() -> Kind {
    Kind::MessageDelta(Delta { delta: "y".repeat(DELTA_BYTES_MAX) })
}

fn completed() -> Kind {
    let (output, usage, runtime) = (String::new(), Usage::default(), Runtime::default());
    Kind::Completed(Box::new(Completed { output, usage, runtime, pending_steer: None }))
}

/// Submits until one is refused; gives the name of a run that was taken, and the refusal.
fn fill(desk: &mut Desk) -> (String, String) {
    let first = desk.submit(12_000);
    let name = first[first.find("run_").unwrap()..][..36].to_owned();
    for _ in 0..1_000 {
        let reply = desk.submit(12_000);
        if !reply.starts_with("HTTP/1.1 202") {
            return (name, reply);
        }
    }
    panic!("memory without end");
}

#[test]
fn when_memory_is_used_up_new_work_is_refused_and_control_is_not() {
    let mut desk = Desk::new();
    let (name, refusal) = fill(&mut desk);
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(refusal.contains("memory_exhausted") && refusal.contains("server_error"), "{refusal}");
    assert!(refusal.contains("Retry-After: 2"), "{refusal}");
    for path in [String::new(), "/events".to_owned()] {
        let reply = desk.get(&format!("/v1/runs/{name}{path}"));
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    for (verb, body) in [("steer", r#"{"text":"go on"}"#), ("stop", "")] {
        let reply = desk.post(&format!("/v1/runs/{name}/{verb}"), body);
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    assert!((BUDGET * 3 / 4..=BUDGET).contains(&desk.charged()));
}

#[test]
fn when_runs_have_ended_new_work_is_taken_again() {
    let mut desk = Desk::new();
    fill(&mut desk);
    let mut ended = 0;
    while ended < desk.started.len() {
        let run = desk.started[ended];
        desk.say(run, 0, completed());
        desk.pass(0);
        ended += 1;
    }
    assert!(desk.submit(12_000).starts_with("HTTP/1.1 202"));
}

#[test]
fn a_body_for_which_there_is_no_memory_is_refused_before_it_comes() {
    let mut desk = Desk::new();
    fill(&mut desk);
    let (_, reply) = desk.ask(
        "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: 16000\r\n\r\n",
    );
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
}

#[test]
fn steers_end_where_even_the_share_of_those_in_charge_ends() {
    let mut desk = Desk::new();
    let (name, _) = fill(&mut desk);
    let body = format!(r#"{{"text":"{}"}}"#, "s".repeat(15_000));
    let replies = (0..16).map(|_| desk.post(&format!("/v1/runs/{name}/steer"), &body));
    let replies: Vec<String> = replies.collect();
    assert!(replies[0].starts_with("HTTP/1.1 200"), "{}", replies[0]);
    assert!(replies[15].contains("memory_exhausted"), "{}", replies[15]);
    assert!(desk.charged() <= BUDGET);
}

#[test]
fn texts_that_wait_for_the_store_have_no_more_room_than_any_other() {
    let mut desk = Desk::with(Shelf { is_durable: true, ..Shelf::default() });
    desk.is_silent = true;
    let body = format!(r#"{{"text":"{}"}}"#, "s".repeat(15_000));
    let size = body.len();
    let steer = format!(
        "POST /v1/runs/run_{:032x}/steer HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n{body}",
        7
    );
    let replies: Vec<String> = (0..100).map(|_| desk.ask(&steer).1).collect();
    assert_eq!(replies[0], "", "the store is asked whether there is such a run");
    assert!(replies[99].contains("memory_exhausted"), "{}", replies[99]);
    assert!(desk.charged() <= BUDGET);
}

#[test]
fn whoever_has_held_half_a_request_the_longest_is_sent_away_first() {
    let mut desk = Desk::new();
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}", "h".repeat(8_000));
    let body = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 16000\r\n\r\n\"";
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(desk.ask(&head).0);
        let (id, _) = desk.ask(&format!("{body}{}", "b".repeat(8_000)));
        held.push(id);
        assert!(desk.charged() <= shares().conns + 64 * 1024);
    }
    let replies: Vec<String> = held.into_iter().map(|id| desk.read(id)).collect();
    let refused = replies.iter().take_while(|reply| reply.starts_with("HTTP/1.1 503")).count();
    assert!(refused > 10 && refused < 40, "{refused}");
    assert!(replies[refused..].iter().all(String::is_empty), "a younger one was sent away");
    assert!(desk.submit(10).starts_with("HTTP/1.1 202"), "one who asks at once is in nobody's way");
}

#[test]
fn a_reader_that_is_stuck_on_much_is_cut_off_before_one_that_reads() {
    let mut desk = Desk::new();
    let first = desk.submit(10);
    let name = first[first.find("run_").unwrap()..][..36].to_owned();
    let events = format!("GET /v1/runs/{name}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (reader, _) = desk.ask(&events);
    desk.closed.clear();
    let more = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(600);
    for _ in 0..10 {
        let (id, _) = desk.ask(&events);
        desk.tell(Input::Received(id, more.as_bytes()));
        desk.pass(0);
    }
    assert!(!desk.closed.is_empty() && !desk.closed.contains(&reader));
    desk.say(desk.started[0], 0, completed());
    desk.pass(0);
    assert!(desk.read(reader).contains("run.completed"));
}

#[test]
fn a_new_connection_takes_the_place_of_the_one_that_was_silent_the_longest() {
    let mut desk = Desk::new();
    let first = desk.open();
    for _ in 1..shares().conns_max {
        desk.pass(1);
        desk.open();
    }
    assert!(desk.closed.is_empty());
    assert!(desk.get("/health").starts_with("HTTP/1.1 200"));
    assert_eq!(desk.closed[0], first);
}

#[test]
fn old_logs_leave_memory_when_it_is_tight() {
    let mut desk = Desk::new();
    (0..RUNS).for_each(|_| drop(desk.submit(10)));
    let runs = desk.started.clone();
    assert_eq!(runs.len(), RUNS);
    for seq in 0..64 {
        for run in &runs {
            desk.say(*run, seq, delta());
        }
        desk.pass(50);
        assert!(desk.charged() <= BUDGET);
    }
    runs.iter().for_each(|run| desk.say(*run, 64, delta()));
    // One that says nothing any more is shortened, too.
    desk.pass(200);
    let each = shares().agent + shares().window_tight + 2 * DELTA_BYTES_MAX;
    let left = desk.charged();
    assert!(left <= shares().tight.max(RUNS * each), "{left}");
}

#[test]
fn a_reader_whose_events_leave_memory_before_they_are_sent_asks_the_store_for_them() {
    let mut desk = Desk::with(Shelf { name: "model", is_durable: true, ..Shelf::default() });
    let reply = desk.submit(10);
    let name = &reply[reply.find("run_").unwrap()..][..36];
    let (reader, _) =
        desk.ask(&format!("GET /v1/runs/{name}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    // As much as stays in memory while there is enough of it.
    for seq in 0..(shares().window / 2_048) as u64 {
        let delta = "y".repeat(1_024);
        desk.say(desk.started[0], seq, Kind::MessageDelta(Delta { delta }));
    }
    desk.carry_out();
    fill(&mut desk);
    assert!(!desk.machine.unsent(reader)[1].is_empty(), "nothing is lent to it");
    desk.now.tick = desk.now.tick.after(1_000);
    desk.machine.end_turn(desk.now);
    let asks = std::iter::from_fn(|| desk.machine.poll_output()).filter(
        |output| matches!(output, Output::Ask { asker: Asker::Conn(id), .. } if *id == reader),
    );
    assert_eq!(asks.count(), 1);
    assert!(desk.machine.unsent(reader).concat().is_empty());
}

#[test]
fn a_list_of_those_that_hold_bytes_does_not_outgrow_the_connections() {
    let mut desk = Desk::new();
    for _ in 0..10_000 {
        let id = desk.open();
        desk.tell(Input::Received(id, b"GET / HTTP/1.1\r\nX: "));
        desk.tell(Input::HungUp(id));
    }
    desk.pass(100_000);
    assert!(desk.charged() < 8 * 1024, "{}", desk.charged());
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let mut desk = Desk::new();
    desk.get("/health");
    let before = desk.charged();
    for _ in 0..1000 {
        desk.get("/health");
        desk.pass(1);
    }
    // A list of those that hold something is tidied now and then.
    let after = desk.charged();
    assert!(after < before + 4096, "{before} became {after}");
}
