//! The machine and a durable store turn by turn: what is shown, begun, refused and tried again as
//! the store takes things in, is late, or fails.
#[path = "sim/store.rs"]
mod store;

use runwire::approval::Choice;
use runwire::config::{About, Config, OnOrphan, Retain};
use runwire::event::{ApprovalRequest, Cause, Completed, Delta, Event, Kind, Runtime, Usage};
use runwire::id::{ConnId, RunKey, RunNo};
use runwire::limits::{
    DELTA_BYTES_MAX, FINISHED_CACHE_BYTES_MAX, LINGER_MS, LOG_WINDOW_BYTES_MAX, OUTPUT_BYTES_MAX,
    PRUNE_EVERY_MS, STORE_BACKLOG_BYTES_MAX, STORE_RETRY_MS,
};
use runwire::machine::{Asker, Counts, Input, Machine, Output, Shelf};
use runwire::record::{Batch, Fault, FaultKind, Pruned, Query, Write};
use runwire::request::{Request, Steer};
use runwire::time::{Now, Tick, Wall};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::Content;

struct Desk {
    machine: Machine,
    content: Content,
    now: Now,
    /// Given to the store and not yet stored.
    batches: VecDeque<Arc<Batch>>,
    questions: VecDeque<(Asker, Query)>,
    prunes: usize,
    committed: u64,
    synced: u64,
    /// After a fault only a retry is taken.
    is_shut: bool,
    started: Vec<(RunKey, Arc<Request>)>,
    cancelled: Vec<(RunKey, Cause)>,
    steered: Vec<(RunKey, Arc<Steer>)>,
    decided: Vec<(RunKey, Choice)>,
    closed: Vec<ConnId>,
    exited: bool,
}

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn machine(config: Config, content: &Content, life: u128, now: Now) -> Machine {
    let shelf = Shelf { name: "model", is_durable: true, recovered: content.recover() };
    let mut id = life << 64;
    let ids = Box::new(move || {
        id += 1;
        id
    });
    Machine::new(config, About::default(), shelf, ids, now)
}

impl Desk {
    fn new(change: impl FnOnce(&mut Config)) -> Desk {
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let content = Content::default();
        Desk {
            machine: machine(config(change), &content, 0, now),
            content,
            now,
            batches: VecDeque::new(),
            questions: VecDeque::new(),
            prunes: 0,
            committed: 0,
            synced: 0,
            is_shut: false,
            started: Vec::new(),
            cancelled: Vec::new(),
            steered: Vec::new(),
            decided: Vec::new(),
            closed: Vec::new(),
            exited: false,
        }
    }

    /// The process is killed, and another one begins with what is stored.
    fn restart(self, change: impl FnOnce(&mut Config)) -> Desk {
        let machine = machine(config(change), &self.content, 1, self.now);
        let (content, now) = (self.content, self.now);
        let mut desk = Desk { machine, content, now, ..Desk::new(|_| {}) };
        desk.turn();
        desk
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
    }

    fn turn(&mut self) {
        self.machine.end_turn(self.now);
        self.carry_out();
        self.machine.check();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Start { run, request, .. } => self.started.push((run, request)),
                Output::Cancel { run, cause } => self.cancelled.push((run, cause)),
                Output::Close(id) => self.closed.push(id),
                Output::Steer { run, steer } => self.steered.push((run, steer)),
                Output::Decide { run, choice } => self.decided.push((run, choice)),
                Output::Commit(batch) => self.batches.push_back(batch),
                Output::Ask { asker, query } => self.questions.push_back((asker, query)),
                Output::Prune { .. } => self.prunes += 1,
                Output::Exit => self.exited = true,
                Output::Resume(_) | Output::HalfClose(_) | Output::Note(_) => {}
                Output::Deliver(_) => unreachable!("nobody here has webhooks"),
                Output::Measure(_) => unreachable!("nobody here asks for metrics"),
            }
        }
    }

    /// Stores all batches, and tells that they are not on the disk yet.
    fn commit(&mut self) {
        while let Some(batch) = self.batches.pop_front() {
            self.is_shut &= !batch.is_retry;
            if !self.is_shut {
                self.content.apply(&batch);
                self.committed = batch.number;
            }
        }
        self.tell_stored();
    }

    fn sync(&mut self) {
        self.synced = self.committed;
        self.tell_stored();
    }

    fn tell_stored(&mut self) {
        let (committed, synced) = (self.committed, self.synced);
        self.tell(Input::Stored { committed, synced });
        self.turn();
    }

    /// Answers the next question.
    fn answer(&mut self) {
        let (asker, query) = self.questions.pop_front().expect("somebody asks");
        let answer = Ok(self.content.answer(&query));
        self.tell(Input::Answered { asker, answer });
        self.turn();
    }

    fn refuse_to_answer(&mut self) {
        let (asker, _) = self.questions.pop_front().expect("somebody asks");
        self.tell(Input::Answered { asker, answer: Err(fault()) });
        self.turn();
    }

    /// The store fails at the next batch.
    fn fail(&mut self) {
        let number = self.batches.pop_front().expect("a batch that can fail").number;
        self.is_shut = true;
        self.tell(Input::Unstored { number, fault: fault() });
        self.turn();
    }

    /// Stores, syncs and answers until there is nothing left of that.
    fn settle(&mut self) {
        self.turn();
        while !self.batches.is_empty() || !self.questions.is_empty() {
            if !self.batches.is_empty() {
                self.commit();
                self.sync();
            }
            while !self.questions.is_empty() {
                self.answer();
            }
        }
    }

    /// Sends a request and leaves it at that.
    fn send(&mut self, request: &str) -> ConnId {
        let id = self.machine.open(self.now).expect("room for a connection");
        self.tell(Input::Received(id, request.as_bytes()));
        self.turn();
        id
    }

    /// Sends a request and gives back what is answered once the store has done all.
    fn ask(&mut self, request: &str) -> String {
        let id = self.send(request);
        self.read_on(id)
    }

    fn post(&mut self, body: &str) -> String {
        self.ask(&post(body, ""))
    }

    /// A run that works.
    fn run(&mut self) -> (String, RunKey) {
        let run = run_id(&self.post(ASK));
        (run, self.started.last().expect("it has begun").0)
    }

    fn unsent(&self, id: ConnId) -> usize {
        self.machine.unsent(id).iter().map(|bytes| bytes.len()).sum()
    }

    /// Takes all that is due to `id` without a word from the store.
    fn read(&mut self, id: ConnId) -> String {
        let mut text = Vec::new();
        while self.unsent(id) > 0 {
            let count = self.unsent(id);
            self.machine.unsent(id).iter().for_each(|bytes| text.extend_from_slice(bytes));
            self.tell(Input::Sent(id, count));
        }
        self.turn();
        String::from_utf8(text).expect("all that is sent is UTF-8")
    }

    /// Takes all that is due to `id`, whatever the store has to do for it.
    fn read_on(&mut self, id: ConnId) -> String {
        let mut text = String::new();
        loop {
            self.settle();
            let more = self.read(id);
            if more.is_empty() && self.questions.is_empty() && self.batches.is_empty() {
                return text;
            }
            text += &more;
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.now.wall = Wall(self.now.wall.0 + ms * 1_000);
        self.turn();
    }

    fn say(&mut self, run: RunKey, seq: u64, kind: Kind) {
        let at = self.now.wall;
        self.tell(Input::Event(Event { run, seq, at, kind }));
    }

    fn end(&mut self, run: RunKey, seq: u64, output: &str) {
        self.say(run, seq, completed(output));
        self.settle();
    }

    fn counts(&self) -> Counts {
        self.machine.counts()
    }

    /// What `GET /v1/runs/{id}` says of the status.
    fn status(&mut self, run: &str) -> String {
        let answer = self.ask(&get(&format!("/v1/runs/{run}")));
        if !answer.contains(" 200 ") {
            return status(&answer);
        }
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let page: serde_json::Value = serde_json::from_str(body).expect("JSON");
        page["status"].as_str().expect("a run has a status").to_owned()
    }
}

const ASK: &str = "{\"input\":\"x\"}";
const IN_SESSION: &str = "{\"input\":\"x\",\"session_id\":\"s\"}";

fn fault() -> Fault {
    Fault { kind: FaultKind::Full, message: "The disk is full.".to_owned() }
}

fn post(body: &str, extra: &str) -> String {
    let size = body.len();
    format!(
        "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {size}\r\n{extra}\r\n{body}"
    )
}

fn run_id(answer: &str) -> String {
    let from = answer.find("run_").expect("an answer that names a run");
    answer[from..from + 36].to_owned()
}

fn status(answer: &str) -> String {
    answer.get(9..12).unwrap_or("").to_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn delete(path: &str) -> String {
    get(path).replace("GET", "DELETE")
}

fn events(run: &str) -> String {
    get(&format!("/v1/runs/{run}/events"))
}

fn stop(run: &str) -> String {
    format!("POST /v1/runs/{run}/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
}

fn steer(run: &str) -> String {
    format!(
        "POST /v1/runs/{run}/steer HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{{\"text\":\"x\"}}"
    )
}

fn approval(run: &str, choice: &str) -> String {
    let body = format!("{{\"choice\":\"{choice}\"}}");
    post(&body, "").replace("/v1/runs", &format!("/v1/runs/{run}/approval"))
}

fn request() -> Kind {
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

fn delta(text: &str) -> Kind {
    Kind::MessageDelta(Delta { delta: text.to_owned() })
}

fn completed(output: &str) -> Kind {
    let (usage, runtime) = (Usage::default(), Runtime::default());
    let (output, pending_steer) = (output.to_owned(), None);
    Kind::Completed(Box::new(Completed { output, usage, runtime, pending_steer }))
}

/// The sequence numbers of all `id:` lines.
fn seqs(text: &str) -> Vec<u64> {
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().expect("a number")).collect()
}

/// Says more than stays in memory; returns the next `seq`.
fn overflow(desk: &mut Desk, run: RunKey, from: u64) -> u64 {
    let big = "x".repeat(DELTA_BYTES_MAX - 1);
    let count = 2 * LOG_WINDOW_BYTES_MAX / DELTA_BYTES_MAX;
    for seq in from..from + count as u64 {
        desk.say(run, seq, delta(&format!("{}{big}", seq % 10)));
    }
    from + count as u64
}

/// What a body of chunks holds, which is whole.
fn unchunked(text: &str) -> String {
    let (_, mut rest) = text.split_once("\r\n\r\n").expect("a head");
    let mut body = String::new();
    loop {
        let (size, more) = rest.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hex");
        let (chunk, more) = more.split_at(size);
        body += chunk;
        rest = more.strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            assert_eq!(rest, "", "something after the end");
            return body;
        }
    }
}

#[test]
fn a_client_is_told_of_its_run_once_a_loss_of_power_would_spare_it() {
    let mut desk = Desk::new(|_| {});
    let client = desk.send(&post(ASK, ""));
    assert_eq!(desk.read(client), "");
    desk.commit();
    assert_eq!((desk.read(client), desk.started.len()), (String::new(), 0));
    desk.sync();
    assert!(desk.read(client).contains(" 202 "));
    assert_eq!(desk.started.len(), 1);
}

#[test]
fn deltas_are_shown_once_stored_and_a_last_word_once_a_loss_of_power_would_spare_it() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    let reader = desk.send(&events(&run));
    desk.read(reader);
    desk.say(key, 0, delta("a"));
    desk.turn();
    assert_eq!(desk.read(reader), "");
    desk.commit();
    assert_eq!(seqs(&desk.read(reader)), [0]);
    desk.say(key, 1, delta("b"));
    desk.say(key, 2, completed("c"));
    desk.turn();
    desk.commit();
    // Everything but the last word.
    assert_eq!(seqs(&desk.read(reader)), [1]);
    assert_eq!(desk.status(&run), "running");
    desk.sync();
    let last = desk.read(reader);
    assert!(last.contains("run.completed") && last.ends_with("0\r\n\r\n"), "{last}");
    assert_eq!(desk.status(&run), "completed");
}

#[test]
fn a_run_that_was_not_stored_is_refused_and_never_runs() {
    let mut desk = Desk::new(|_| {});
    let first = desk.send(&post(ASK, "Idempotency-Key: k\r\n"));
    desk.answer();
    // A second try of the same request waits for the same run.
    let second = desk.send(&post(ASK, "Idempotency-Key: k\r\n"));
    desk.fail();
    for client in [first, second] {
        assert_eq!(status(&desk.read(client)), "507");
    }
    assert_eq!(status(&desk.post(ASK)), "507", "no new runs while nothing is stored");
    assert_eq!(desk.counts().working + desk.counts().queued, 0);
    desk.pass(STORE_RETRY_MS);
    desk.settle();
    assert_eq!(desk.started.len(), 0);
    let again = desk.ask(&post(ASK, "Idempotency-Key: k\r\n"));
    assert!(again.contains("\"replayed\":false"), "{again}");
    assert_eq!(desk.started.len(), 1);
}

#[test]
fn a_run_that_may_still_be_refused_is_known_to_nobody() {
    let mut desk = Desk::new(|_| {});
    desk.send(&post(ASK, ""));
    let run = format!("run_{:032x}", 1);
    for request in [get(&format!("/v1/runs/{run}")), events(&run), stop(&run), steer(&run)] {
        let client = desk.send(&request);
        assert_eq!(status(&desk.read(client)), "404");
    }
    desk.settle();
    assert_eq!(desk.status(&run), "running");
}

#[test]
fn a_store_is_tried_again_each_second_until_it_takes_all() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    let reader = desk.send(&events(&run));
    desk.read(reader);
    desk.say(key, 0, delta("a"));
    desk.turn();
    desk.fail();
    assert_eq!(desk.cancelled, [(key, Cause::Store)]);
    desk.say(key, 1, delta("b"));
    desk.turn();
    for _ in 0..3 {
        assert!(desk.batches.is_empty(), "it is left alone for a second");
        desk.pass(STORE_RETRY_MS - 1);
        assert!(desk.batches.is_empty());
        desk.pass(1);
        assert!(desk.batches[0].is_retry);
        // What is said while it is being tried waits.
        desk.turn();
        assert_eq!(desk.batches.len(), 1);
        desk.fail();
    }
    assert_eq!(desk.read(reader), "");
    desk.say(key, 2, completed("c"));
    desk.pass(STORE_RETRY_MS);
    desk.commit();
    assert_eq!(seqs(&desk.read(reader)), [0, 1]);
    desk.sync();
    assert_eq!(seqs(&desk.read(reader)), [2]);
    assert_eq!(status(&desk.post(ASK)), "202");
}

#[test]
fn a_failed_sync_takes_nothing_back() {
    let mut desk = Desk::new(|_| {});
    let client = desk.send(&post(ASK, ""));
    desk.commit();
    desk.is_shut = true;
    let number = desk.committed + 1;
    desk.tell(Input::Unstored { number, fault: fault() });
    desk.turn();
    assert_eq!(desk.read(client), "", "it is stored, and may yet be promised");
    desk.pass(STORE_RETRY_MS);
    desk.commit();
    assert_eq!(desk.read(client), "");
    desk.sync();
    assert_eq!(status(&desk.read(client)), "202");
    // What had begun could not go on.
    let failed = desk.content.runs.values().next().expect("it is stored");
    assert!(failed.lines[0].contains("store_unavailable") && desk.started.is_empty());
}

#[test]
fn an_unfinished_run_is_not_deleted() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let (working, key) = desk.run();
    let waiting = run_id(&desk.post(ASK));
    for run in [&working, &waiting] {
        assert_eq!(status(&desk.ask(&delete(&format!("/v1/runs/{run}")))), "409");
    }
    // Nor is one of which nobody knows yet that it has ended.
    desk.say(key, 0, completed("x"));
    desk.turn();
    desk.commit();
    let early = desk.send(&delete(&format!("/v1/runs/{working}")));
    assert_eq!(status(&desk.read(early)), "409");
    desk.sync();
    assert_eq!(status(&desk.ask(&delete(&format!("/v1/runs/{working}")))), "200");
    assert_eq!(desk.status(&working), "404");
}

#[test]
fn a_session_at_work_is_not_deleted() {
    let mut desk = Desk::new(|_| {});
    desk.post(IN_SESSION);
    let key = desk.started[0].0;
    assert_eq!(status(&desk.ask(&delete("/v1/sessions/s"))), "409");
    desk.say(key, 0, delta("x"));
    desk.end(key, 1, "x");
    assert_eq!(status(&desk.ask(&delete("/v1/sessions/s"))), "200");
    assert_eq!(status(&desk.ask(&get("/v1/sessions/s"))), "404");
    assert!(desk.content.runs.is_empty());
}

#[test]
fn a_deletion_that_fails_is_refused_and_not_tried_again() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.end(key, 0, "x");
    let client = desk.send(&delete(&format!("/v1/runs/{run}")));
    desk.fail();
    assert_eq!(status(&desk.read(client)), "507");
    desk.pass(STORE_RETRY_MS);
    desk.settle();
    assert_eq!(desk.status(&run), "completed");
}

#[test]
fn an_answer_from_before_a_deletion_does_not_bring_a_run_back() {
    let mut desk = Desk::new(|config| config.orphan_ttl = Duration::from_secs(1));
    let (run, key) = desk.run();
    desk.end(key, 0, "x");
    desk.pass(1_000);
    assert_eq!(desk.counts().finished, 0);
    let late = desk.send(&get(&format!("/v1/runs/{run}")));
    let (asker, query) = desk.questions.pop_front().expect("it is not in memory");
    let answer = Ok(desk.content.answer(&query));
    assert_eq!(status(&desk.ask(&delete(&format!("/v1/runs/{run}")))), "200");
    desk.tell(Input::Answered { asker, answer });
    assert_eq!(status(&desk.read_on(late)), "404");
    assert_eq!(desk.status(&run), "404");
}

#[test]
fn an_answer_from_before_a_run_does_not_make_a_second_one_under_its_key() {
    let mut desk = Desk::new(|config| config.orphan_ttl = Duration::from_secs(1));
    let keyed = post(ASK, "Idempotency-Key: k\r\n");
    let late = desk.send(&keyed);
    let (asker, query) = desk.questions.pop_front().expect("the key is not in memory");
    let answer = Ok(desk.content.answer(&query));
    let first = run_id(&desk.ask(&keyed));
    let key = desk.started[0].0;
    desk.end(key, 0, "x");
    desk.pass(1_000);
    assert_eq!(desk.counts().finished, 0);
    desk.tell(Input::Answered { asker, answer });
    let told = desk.read_on(late);
    assert!(told.contains("\"replayed\":true") && run_id(&told) == first, "{told}");
}

#[test]
fn a_steer_between_the_last_word_and_its_sync_comes_too_late() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.say(key, 0, completed("x"));
    desk.turn();
    desk.commit();
    let client = desk.send(&steer(&run));
    assert_eq!(status(&desk.read(client)), "409");
    desk.sync();
    assert_eq!(status(&desk.ask(&steer(&run))), "409");
    assert!(desk.steered.is_empty());
}

#[test]
fn a_run_that_is_steered_before_it_has_an_agent_is_given_both() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let (_, first) = desk.run();
    let run = run_id(&desk.post(ASK));
    desk.say(first, 0, completed("x"));
    desk.turn();
    desk.commit();
    desk.sync();
    assert_eq!((desk.counts().working, desk.started.len()), (1, 1), "it waits for the store");
    let client = desk.send(&steer(&run));
    assert_eq!(status(&desk.read(client)), "200");
    assert!(desk.steered.is_empty());
    desk.settle();
    assert_eq!(desk.steered[0].0, desk.started[1].0);
    assert_eq!(desk.steered.len(), 1);
}

#[test]
fn a_run_that_is_stopped_before_it_has_an_agent_never_gets_one() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let (_, first) = desk.run();
    let runs: Vec<String> = (0..2).map(|_| run_id(&desk.post(IN_SESSION))).collect();
    desk.say(first, 0, completed("x"));
    desk.turn();
    desk.commit();
    desk.sync();
    // The first has begun and waits for its history, the second waits for the first.
    desk.commit();
    desk.sync();
    assert_eq!(desk.questions.len(), 1);
    for run in &runs {
        let client = desk.send(&stop(run));
        assert!(desk.read(client).contains("\"stopping\""));
    }
    desk.settle();
    assert_eq!((desk.started.len(), desk.cancelled.len()), (1, 0));
    for run in &runs {
        assert_eq!(desk.status(run), "cancelled");
    }
    assert_eq!(desk.counts().working + desk.counts().queued, 0);
}

#[test]
fn runs_of_a_session_work_one_after_the_other_and_go_on_from_each_other() {
    let mut desk = Desk::new(|_| {});
    for _ in 0..3 {
        desk.post(IN_SESSION);
    }
    for turn in 0..3 {
        assert_eq!(desk.started.len(), turn + 1);
        let (key, request) = desk.started[turn].clone();
        assert_eq!(request.history.len(), 2 * turn);
        desk.say(key, 0, delta("x"));
        desk.say(key, 1, completed("done"));
        desk.turn();
        desk.commit();
        assert_eq!(desk.counts().working, 1, "the next waits until this one has ended for good");
        desk.sync();
        desk.settle();
    }
}

#[test]
fn a_run_whose_history_cannot_be_read_fails() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&{
        let client = desk.send(&post(IN_SESSION, ""));
        desk.commit();
        desk.refuse_to_answer();
        desk.read_on(client)
    });
    assert_eq!(desk.status(&run), "failed");
    assert!(desk.started.is_empty());
    assert!(desk.ask(&events(&run)).contains("store_unavailable"));
}

#[test]
fn what_cannot_be_read_is_a_500_and_cuts_a_stream() {
    let mut desk = Desk::new(|config| config.orphan_ttl = Duration::from_secs(1));
    let (run, key) = desk.run();
    desk.say(key, 0, delta("a"));
    desk.end(key, 1, "x");
    desk.pass(1_000);
    let client = desk.send(&get(&format!("/v1/runs/{run}")));
    desk.refuse_to_answer();
    assert_eq!(status(&desk.read(client)), "500");
    let reader = desk.send(&events(&run));
    desk.answer();
    desk.read(reader);
    desk.refuse_to_answer();
    assert!(desk.closed.contains(&reader));
    assert_eq!(seqs(&desk.ask(&events(&run))), [0, 1]);
}

#[test]
fn a_request_that_waits_for_the_store_survives_its_client() {
    let mut desk = Desk::new(|_| {});
    let gone = desk.send(&post(ASK, ""));
    let half_gone = desk.send(&post(ASK, ""));
    desk.tell(Input::HungUp(gone));
    desk.tell(Input::Ended(half_gone));
    desk.settle();
    assert_eq!(desk.started.len(), 2);
    assert_eq!(status(&desk.read(half_gone)), "202");
    assert_eq!(desk.closed, [gone, half_gone]);
}

#[test]
fn a_run_that_was_working_is_interrupted_by_a_restart_and_one_that_waited_begins() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let (working, key) = desk.run();
    let waiting = run_id(&desk.ask(&post(ASK, "Idempotency-Key: k\r\n")));
    desk.say(key, 0, delta("a"));
    desk.settle();
    let mut desk = desk.restart(|config| config.max_runs = 1);
    let reader = desk.send(&events(&working));
    assert_eq!(seqs(&desk.read(reader)), [0; 0], "not before the store has its end");
    desk.settle();
    let told = desk.read_on(reader);
    assert_eq!(seqs(&told), [0, 1]);
    assert!(told.contains("run.interrupted") && told.ends_with("0\r\n\r\n"), "{told}");
    assert_eq!(desk.started.len(), 1);
    assert_eq!(desk.started[0].1.run_id.to_string(), waiting);
    let again = desk.ask(&post(ASK, "Idempotency-Key: k\r\n"));
    assert!(again.contains("\"replayed\":true") && run_id(&again) == waiting, "{again}");
    let new = desk.post(ASK);
    assert_eq!(desk.content.runs.keys().last(), Some(&RunNo(3)), "{new}");
}

#[test]
fn a_session_goes_on_after_a_restart_with_what_was_said_before_it() {
    let mut desk = Desk::new(|_| {});
    desk.post(IN_SESSION);
    let key = desk.started[0].0;
    desk.say(key, 0, delta("a"));
    desk.settle();
    desk.post(IN_SESSION);
    assert_eq!(desk.started.len(), 1);
    let mut desk = desk.restart(|_| {});
    desk.settle();
    // The interrupted run had said something, so it is a part of the conversation.
    assert_eq!(desk.started.len(), 1);
    assert_eq!(desk.started[0].1.history.len(), 1);
}

#[test]
fn a_reader_of_a_run_longer_than_memory_gets_every_byte_however_it_reads() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    let quick = desk.send(&events(&run));
    let mut told = desk.read(quick);
    let slow = desk.send(&events(&run));
    let torn = desk.send(&events(&run));
    let mut told_torn = desk.read(torn);
    let old = desk.send(&events(&run).replace("1.1", "1.0"));
    let mut next = 0;
    for _ in 0..3 {
        // It takes half a frame, and then its place leaves memory.
        let big = "x".repeat(DELTA_BYTES_MAX);
        for seq in next..next + 3 {
            desk.say(key, seq, delta(&big));
        }
        desk.settle();
        let [_, lent] = desk.machine.unsent(torn);
        let some = DELTA_BYTES_MAX / 2;
        told_torn += std::str::from_utf8(&lent[..some]).expect("ASCII");
        desk.tell(Input::Sent(torn, some));
        next = overflow(&mut desk, key, next + 3);
        told += &desk.read_on(quick);
        told_torn += &desk.read_on(torn);
    }
    let late = desk.send(&events(&run));
    desk.end(key, next, "done");
    told += &desk.read_on(quick);
    told_torn += &desk.read_on(torn);
    let (slow, late, old) = (desk.read_on(slow), desk.read_on(late), desk.read_on(old));
    let whole = unchunked(&told);
    assert!(seqs(&whole).into_iter().eq(0..=next));
    assert!(whole.ends_with(": stream closed\n\n"));
    for other in [told_torn, slow, late] {
        assert!(unchunked(&other) == whole);
    }
    assert!(old.split_once("\r\n\r\n").expect("a head").1 == whole);
    let resumed = desk.ask(&get(&format!("/v1/runs/{run}/events?last_seq=7")));
    assert!(whole.ends_with(unchunked(&resumed).strip_prefix(": open\n\n").expect("a comment")));
}

#[test]
fn a_working_run_keeps_only_its_latest_words_in_memory() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    let next = overflow(&mut desk, key, 0);
    desk.settle();
    let reader = desk.send(&events(&run));
    desk.read(reader);
    assert!(matches!(desk.questions[0].1, Query::Events { from_seq: 0, .. }));
    desk.end(key, next, "x");
    assert!(desk.counts().history_bytes < 2 * LOG_WINDOW_BYTES_MAX);
}

#[test]
fn agents_wait_while_too_much_waits_for_the_store_and_go_on_after_it() {
    let mut desk = Desk::new(|_| {});
    let (_, key) = desk.run();
    let mut next = 0;
    while desk.machine.takes_events() {
        next = overflow(&mut desk, key, next);
        desk.turn();
        let waits = u64::try_from(STORE_BACKLOG_BYTES_MAX / DELTA_BYTES_MAX).expect("small");
        assert!(next < 2 * waits, "more waits than may");
    }
    desk.fail();
    assert!(!desk.machine.takes_events());
    desk.pass(STORE_RETRY_MS);
    assert!(!desk.machine.takes_events());
    desk.batches.drain(..desk.batches.len() - 1);
    desk.commit();
    assert!(desk.machine.takes_events());
}

#[test]
fn a_run_that_was_asked_about_again_is_forgotten_again() {
    let mut desk = Desk::new(|config| config.orphan_ttl = Duration::from_secs(1));
    let (run, key) = desk.run();
    desk.end(key, 0, "x");
    for _ in 0..3 {
        desk.pass(1_000);
        assert_eq!((desk.counts().finished, desk.counts().history_bytes), (0, 0));
        assert_eq!(desk.status(&run), "completed");
        assert_eq!(desk.counts().finished, 1);
    }
}

#[test]
fn runs_that_are_asked_about_again_stay_within_their_memory() {
    let mut desk = Desk::new(|config| config.orphan_ttl = Duration::from_secs(3600));
    let big = "x".repeat(OUTPUT_BYTES_MAX / 2);
    let mut runs = Vec::new();
    for _ in 0..2 * FINISHED_CACHE_BYTES_MAX / big.len() {
        let (run, key) = desk.run();
        desk.end(key, 0, &big);
        runs.push(run);
    }
    for run in &runs {
        assert_eq!(desk.status(run), "completed");
        let bytes = desk.counts().history_bytes;
        assert!(bytes <= FINISHED_CACHE_BYTES_MAX + 2 * OUTPUT_BYTES_MAX, "{bytes} bytes");
    }
    assert!(desk.counts().finished < runs.len());
}

#[test]
fn a_clean_up_sends_the_readers_of_what_is_gone_away() {
    let mut desk = Desk::new(|config| config.retain = Retain { runs: Some(0), ..config.retain });
    desk.turn();
    assert_eq!(desk.prunes, 1);
    let (run, key) = desk.run();
    desk.say(key, 0, delta("x"));
    desk.end(key, 1, "x");
    let reader = desk.send(&events(&run));
    let gone = desk.content.superfluous(Some(0), desk.now.wall);
    gone.iter().for_each(|no| desk.content.delete(*no));
    desk.tell(Input::Pruned(Ok(Pruned { gone, ..Pruned::default() })));
    desk.turn();
    assert_eq!((desk.closed.as_slice(), desk.counts().finished), ([reader].as_slice(), 0));
    assert_eq!(desk.status(&run), "404");
    desk.pass(PRUNE_EVERY_MS - 1);
    assert_eq!(desk.prunes, 1);
    desk.pass(1);
    assert_eq!(desk.prunes, 2);
}

#[test]
fn a_drain_leaves_waiting_runs_to_the_next_server_and_tells_nothing_false_of_them() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let (_, key) = desk.run();
    let waiting = run_id(&desk.post(ASK));
    let reader = desk.send(&events(&waiting));
    desk.read(reader);
    desk.tell(Input::Drain);
    desk.end(key, 0, "x");
    assert!(!desk.read(reader).contains("data:"));
    assert!(desk.closed.contains(&reader));
    desk.pass(2 * LINGER_MS);
    assert!(desk.exited);
    let mut desk = desk.restart(|_| {});
    desk.settle();
    assert_eq!(desk.started[0].1.run_id.to_string(), waiting);
}

#[test]
fn a_store_that_lives_off_its_reserve_takes_last_words_and_nothing_new() {
    let mut desk = Desk::new(|config| config.on_orphan = OnOrphan::Keep);
    let (run, key) = desk.run();
    desk.tell(Input::Short(true));
    desk.turn();
    assert_eq!(desk.cancelled, [(key, Cause::Store)]);
    assert_eq!(status(&desk.post(ASK)), "507");
    desk.end(key, 0, "x");
    assert_eq!(desk.status(&run), "completed");
    desk.pass(STORE_RETRY_MS);
    assert_eq!(desk.batches[0].writes, [Write::Probe]);
    desk.tell(Input::Short(false));
    desk.turn();
    assert_eq!(status(&desk.post(ASK)), "202");
}

#[test]
fn a_store_that_fails_and_is_well_again_may_still_live_off_its_reserve() {
    let mut desk = Desk::new(|_| {});
    let (_, key) = desk.run();
    desk.tell(Input::Short(true));
    desk.say(key, 0, completed("x"));
    desk.turn();
    desk.fail();
    desk.pass(STORE_RETRY_MS);
    desk.settle();
    assert_eq!(status(&desk.post(ASK)), "507");
    desk.pass(STORE_RETRY_MS);
    assert_eq!(desk.batches[0].writes, [Write::Probe], "it is asked whether it has it back");
    desk.tell(Input::Short(false));
    desk.turn();
    assert_eq!(status(&desk.post(ASK)), "202");
}

#[test]
fn a_request_for_leave_is_shown_and_decided_only_once_it_is_stored() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.say(key, 0, delta("before"));
    desk.turn();
    desk.say(key, 1, request());
    desk.turn();
    let later = desk.batches.split_off(1);
    desk.commit();
    desk.batches.extend(later);
    let asked = desk.send(&approval(&run, "once"));
    assert!(desk.read(asked).contains("approval_not_pending"), "nobody can know of it yet");
    let seen = desk.send(&get(&format!("/v1/runs/{run}")));
    assert!(desk.read(seen).contains("\"status\":\"running\""));
    desk.settle();
    assert_eq!(desk.status(&run), "waiting_for_approval");
    assert!(desk.ask(&approval(&run, "once")).contains("\"resolved\":1"));
    assert_eq!(desk.decided, [(key, Choice::Once)]);
    assert_eq!(desk.status(&run), "running");
    desk.end(key, 2, "done");
    assert_eq!(seqs(&desk.ask(&events(&run))), [0, 1, 2, 3]);
}

#[test]
fn a_store_that_fails_takes_the_request_for_leave_with_the_run() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.say(key, 0, request());
    desk.turn();
    desk.fail();
    assert_eq!(desk.cancelled, [(key, Cause::Store)]);
    desk.pass(STORE_RETRY_MS);
    desk.settle();
    assert!(desk.ask(&approval(&run, "once")).contains("approval_not_pending"));
    desk.end(key, 1, "done");
    assert_eq!(seqs(&desk.ask(&events(&run))), [0, 1]);
    assert_eq!(desk.decided, []);
}

#[test]
fn a_grant_that_is_taken_back_while_the_store_fails_does_not_come_back() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.say(key, 0, request());
    desk.settle();
    desk.ask(&approval(&run, "always"));
    desk.end(key, 1, "done");
    let grant = desk.content.grants[0].id.to_string();
    let revoked = desk.send(&delete(&format!("/v1/approvals/grants/{grant}")));
    assert_eq!(desk.read(revoked), "", "the answer waits for the store");
    desk.fail();
    assert_eq!(status(&desk.read(revoked)), "507");
    assert!(!desk.ask(&get("/v1/approvals/grants")).contains(&grant));
    desk.pass(STORE_RETRY_MS);
    desk.settle();
    assert_eq!(desk.content.grants, []);
    let mut desk = desk.restart(|_| {});
    let (_, key) = desk.run();
    desk.say(key, 0, request());
    desk.settle();
    assert_eq!(desk.decided, [], "it is asked for again");
}

#[test]
fn a_grant_for_a_run_that_is_its_own_session_goes_with_it() {
    let mut desk = Desk::new(|_| {});
    let (run, key) = desk.run();
    desk.say(key, 0, request());
    desk.settle();
    desk.ask(&approval(&run, "session"));
    desk.say(key, 1, request());
    desk.settle();
    assert_eq!(desk.decided, [(key, Choice::Session), (key, Choice::Session)]);
    desk.end(key, 2, "done");
    let grant = desk.content.grants[0].id;
    let no = desk.content.runs.keys().copied().collect();
    let pruned = Pruned { gone: no, revoked: vec![grant], more: false };
    desk.tell(Input::Pruned(Ok(pruned)));
    assert!(!desk.ask(&get("/v1/approvals/grants")).contains("grant_"));
}
