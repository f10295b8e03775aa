//! Several keys, by the machine alone: what each may do, whose everything is, and how much of it.
use runwire::config::{About, Config, Key, Scope};
use runwire::event::{Completed, Event, Kind, Runtime, Usage};
use runwire::id::{ConnId, RunKey};
use runwire::machine::{Input, Machine, Output, Shelf};
use runwire::store::{Memory, Store};
use runwire::time::{Now, Tick, Wall};
use std::time::Duration;

const ANN: &str = "secret-of-ann-000";
const BOB: &str = "secret-of-bob-000";
const FIRST: &str = "secret-of-all-000";

/// A machine, a store that is memory but counts as durable if it is told so, and no sockets.
struct Desk {
    machine: Machine,
    store: Memory,
    now: Now,
    started: Vec<RunKey>,
    closed: Vec<ConnId>,
    /// What is asked of the store waits.
    is_held: bool,
    held: Vec<Output>,
}

impl Desk {
    fn new(is_durable: bool, change: impl FnOnce(&mut Config)) -> Desk {
        let mut config = Config::default();
        config.key = Some(FIRST.to_owned());
        config.keys = vec![Key::new("ann", ANN), Key::new("bob", BOB)];
        change(&mut config);
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let mut id = 0;
        let ids = Box::new(move || {
            id += 1;
            id
        });
        let shelf = Shelf { is_durable, ..Shelf::default() };
        Desk {
            machine: Machine::new(config, About::default(), shelf, ids, now),
            store: Memory::default(),
            now,
            started: Vec::new(),
            closed: Vec::new(),
            is_held: false,
            held: Vec::new(),
        }
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
                Output::Ask { .. } if self.is_held => self.held.push(output),
                output => self.perform(output),
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Start { run, .. } => self.started.push(run),
            Output::Close(id) => self.closed.push(id),
            Output::Commit(batch) => {
                self.store.commit(&batch).expect("a store in memory takes everything");
                let number = batch.number;
                self.tell(Input::Stored { committed: number, synced: number });
            }
            Output::Ask { asker, query } => {
                let answer = self.store.answer(&query);
                self.tell(Input::Answered { asker, answer });
            }
            Output::Measure(id) => self.tell(Input::Measured(id, Box::default())),
            _ => {}
        }
    }

    fn release(&mut self) {
        self.is_held = false;
        std::mem::take(&mut self.held).into_iter().for_each(|output| self.perform(output));
        self.turn();
    }

    fn send(&mut self, request: &str) -> ConnId {
        let id = self.machine.open(self.now).expect("room for a connection");
        self.tell(Input::Received(id, request.as_bytes()));
        self.turn();
        id
    }

    /// Takes all that is due to `id`.
    fn read(&mut self, id: ConnId) -> String {
        let mut text = Vec::new();
        loop {
            let count: usize = self.machine.unsent(id).iter().map(|bytes| bytes.len()).sum();
            if count == 0 {
                self.carry_out();
                return String::from_utf8(text).expect("all that is sent is UTF-8");
            }
            self.machine.unsent(id).iter().for_each(|bytes| text.extend_from_slice(bytes));
            self.tell(Input::Sent(id, count));
        }
    }

    fn ask(&mut self, key: &str, method: &str, path: &str) -> String {
        self.ask_with(key, method, path, "", "")
    }

    fn ask_with(&mut self, key: &str, method: &str, path: &str, head: &str, body: &str) -> String {
        let id = self.send(&request(key, method, path, head, body));
        self.read(id)
    }

    fn post(&mut self, key: &str, head: &str, body: &str) -> String {
        self.ask_with(key, "POST", "/v1/runs", head, body)
    }

    /// Makes a run, and gives its id.
    fn run(&mut self, key: &str) -> String {
        run_id(&self.post(key, "", ASK))
    }

    fn complete(&mut self, run: RunKey) {
        let (usage, runtime) = (Usage::default(), Runtime::default());
        let output = "done".to_owned();
        let ending = Completed { output, usage, runtime, pending_steer: None };
        let kind = Kind::Completed(Box::new(ending));
        self.tell(Input::Event(Event { run, seq: 0, at: self.now.wall, kind }));
        self.turn();
    }

    fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.now.wall = Wall(self.now.wall.0 + ms * 1_000);
        self.turn();
    }

    fn change_keys(&mut self, keys: &[Key]) {
        self.tell(Input::Keys(keys.to_vec()));
        self.turn();
    }
}

const ASK: &str = "{\"input\":\"x\"}";

fn request(key: &str, method: &str, path: &str, head: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let size = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{kind}{head}\
         Content-Length: {size}\r\n\r\n{body}"
    )
}

fn run_id(answer: &str) -> String {
    let from = answer.find("run_").unwrap_or_else(|| panic!("no run: {answer}"));
    answer[from..from + 36].to_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).expect("a status line").parse().expect("a number")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn key(name: &str, secret: &str, scopes: &[Scope]) -> Key {
    let mut key = Key::new(name, secret);
    key.scopes = scopes.to_vec();
    key
}

/// Every path with every method it has, and the scope it needs.
const NEEDS: &[(&str, &str, Option<Scope>)] = &[
    ("GET", "/", None),
    #[cfg(feature = "openapi")]
    ("GET", "/openapi.json", None),
    ("GET", "/health", None),
    ("GET", "/v1/health", None),
    ("GET", "/health/detailed", None),
    ("GET", "/v1/health/detailed", None),
    ("GET", "/v1/capabilities", Some(Scope::RunsRead)),
    ("GET", "/v1/models", Some(Scope::RunsRead)),
    ("HEAD", "/v1/models", Some(Scope::RunsRead)),
    ("GET", "/v1/toolsets", Some(Scope::RunsRead)),
    ("GET", "/v1/skills", Some(Scope::RunsRead)),
    ("GET", "/v1/runs", Some(Scope::RunsRead)),
    ("POST", "/v1/runs", Some(Scope::RunsWrite)),
    ("GET", "/v1/runs/run_1", Some(Scope::RunsRead)),
    ("DELETE", "/v1/runs/run_1", Some(Scope::RunsWrite)),
    ("GET", "/v1/runs/run_1/events", Some(Scope::RunsRead)),
    ("HEAD", "/v1/runs/run_1/events", Some(Scope::RunsRead)),
    ("GET", "/v1/events", Some(Scope::RunsRead)),
    ("HEAD", "/v1/events", Some(Scope::RunsRead)),
    ("POST", "/v1/runs/run_1/stop", Some(Scope::RunsControl)),
    ("POST", "/v1/runs/run_1/steer", Some(Scope::RunsControl)),
    ("POST", "/v1/runs/run_1/approval", Some(Scope::RunsControl)),
    #[cfg(feature = "tokens")]
    ("POST", "/v1/runs/run_1/token", Some(Scope::RunsControl)),
    ("GET", "/v1/approvals", Some(Scope::RunsRead)),
    ("GET", "/v1/approvals/grants", Some(Scope::RunsRead)),
    ("DELETE", "/v1/approvals/grants/g", Some(Scope::RunsControl)),
    ("GET", "/metrics", Some(Scope::Admin)),
    ("GET", "/v1/sessions", Some(Scope::RunsRead)),
    ("GET", "/api/sessions", Some(Scope::RunsRead)),
    ("GET", "/v1/sessions/s", Some(Scope::RunsRead)),
    ("DELETE", "/v1/sessions/s", Some(Scope::RunsWrite)),
    ("GET", "/v1/sessions/s/messages", Some(Scope::RunsRead)),
    // These are no more than refused: nothing is needed for that but a key.
    ("GET", "/nowhere", None),
    ("PUT", "/v1/runs", None),
    ("POST", "/v1/models", None),
    ("DELETE", "/v1/runs/run_1/events", None),
];

#[test]
fn each_scope_opens_its_routes_and_no_others() {
    for scope in Scope::ALL {
        let mut desk = Desk::new(false, |config| config.keys = vec![key("one", ANN, &[scope])]);
        for (method, path, needs) in NEEDS {
            let answer = desk.ask(ANN, method, path);
            let is_allowed = needs.is_none_or(|needs| needs == scope || scope == Scope::Admin);
            assert_eq!(
                status(&answer) != 403,
                is_allowed,
                "{scope:?} at {method} {path}: {answer}"
            );
            if let Some(needs) = needs.filter(|_| !is_allowed && *method != "HEAD") {
                assert!(answer.contains("\"code\":\"insufficient_scope\""), "{answer}");
                assert!(answer.contains(needs.name()), "{answer}");
            }
        }
    }
}

#[test]
fn the_table_above_has_every_endpoint_that_is_announced() {
    let mut desk = Desk::new(false, |_| {});
    let answer = desk.ask(FIRST, "GET", "/v1/capabilities");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let page: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let endpoints = page["endpoints"].as_object().expect("endpoints");
    assert!(endpoints.len() > 10);
    for endpoint in endpoints.values() {
        let text = |name: &str| endpoint[name].as_str().expect("text").to_owned();
        let path = text("path").replace("{run_id}", "run_1").replace("{session_id}", "s");
        let path = path.replace("{grant_id}", "g");
        let is_same = |row: &&(&str, &str, _)| row.0 == text("method") && row.1 == path;
        assert!(NEEDS.iter().any(|row| is_same(&row)), "no row for {endpoint}");
    }
}

#[test]
fn several_scopes_open_what_each_of_them_does() {
    let scopes = [Scope::RunsWrite, Scope::RunsControl];
    let mut desk = Desk::new(false, |config| config.keys = vec![key("one", ANN, &scopes)]);
    let run = desk.run(ANN);
    assert_eq!(status(&desk.ask(ANN, "GET", &format!("/v1/runs/{run}"))), 403);
    assert_eq!(status(&desk.ask(ANN, "POST", &format!("/v1/runs/{run}/stop"))), 200);
}

#[test]
fn who_shows_no_key_learns_nothing_of_scopes_or_paths() {
    let mut desk = Desk::new(false, |_| {});
    let closed = NEEDS.iter().skip_while(|(_, path, _)| *path != "/v1/capabilities");
    for (method, path, _) in closed {
        for shown in ["", "x", "secret-of-ann-00", "secret-of-ann-0000", "Secret-of-ann-000"] {
            assert_eq!(status(&desk.ask(shown, method, path)), 401, "{method} {path} by {shown}");
        }
    }
}

#[test]
fn another_keys_run_is_not_there_on_any_route() {
    for is_durable in [false, true] {
        for is_finished in [false, true] {
            another_keys_run_is_not_there(is_durable, is_finished);
        }
    }
}

fn another_keys_run_is_not_there(is_durable: bool, is_finished: bool) {
    let mut desk = Desk::new(is_durable, |config| config.orphan_ttl = Duration::from_secs(60));
    let run = run_id(&desk.post(ANN, "", "{\"input\":\"x\",\"session_id\":\"s\"}"));
    if is_finished {
        desk.complete(desk.started[0]);
    }
    if is_finished && is_durable {
        desk.pass(61_000);
        assert_eq!(desk.machine.counts().finished, 0, "it is in the store alone");
    }
    // The first key sees no more than the others: what it may do it may do with its own.
    for other in [BOB, FIRST] {
        for (method, path, body) in [
            ("GET", format!("/v1/runs/{run}"), ""),
            ("DELETE", format!("/v1/runs/{run}"), ""),
            ("GET", format!("/v1/runs/{run}/events"), ""),
            ("GET", format!("/v1/runs/{run}/events?last_seq=0"), ""),
            ("POST", format!("/v1/runs/{run}/stop"), ""),
            ("POST", format!("/v1/runs/{run}/steer"), "{\"text\":\"x\"}"),
            ("GET", "/v1/sessions/s".to_owned(), ""),
            ("GET", "/v1/sessions/s/messages".to_owned(), ""),
            ("DELETE", "/v1/sessions/s".to_owned(), ""),
        ] {
            let answer = desk.ask_with(other, method, &path, "", body);
            assert_eq!(status(&answer), 404, "{method} {path}: {answer}");
        }
        let previous = format!("{{\"input\":\"x\",\"previous_response_id\":\"{run}\"}}");
        let answer = desk.post(other, "", &previous);
        assert!(answer.contains("previous_response_not_found"), "{answer}");
        for list in ["/v1/runs", "/v1/runs?session_id=s", "/v1/sessions"] {
            assert!(desk.ask(other, "GET", list).contains("\"data\":[]"), "{list}");
        }
        let after = format!("/v1/runs?after={run}");
        assert_eq!(status(&desk.ask(other, "GET", &after)), 400);
    }
    assert_eq!(status(&desk.ask(ANN, "GET", &format!("/v1/runs/{run}"))), 200);
    assert!(desk.ask(ANN, "GET", "/v1/runs").contains(&run));
    assert_eq!(status(&desk.ask(ANN, "GET", "/v1/sessions/s")), 200);
}

#[test]
fn the_same_idempotency_key_is_each_keys_own() {
    for is_durable in [false, true] {
        let mut desk = Desk::new(is_durable, |config| config.orphan_ttl = Duration::from_secs(60));
        let same = "Idempotency-Key: k\r\n";
        let ann = run_id(&desk.post(ANN, same, ASK));
        let bob = desk.post(BOB, same, "{\"input\":\"another\"}");
        assert_eq!(status(&bob), 202, "no conflict with a body of another key: {bob}");
        assert!(bob.contains("\"replayed\":false") && run_id(&bob) != ann);
        assert_eq!(run_id(&desk.post(ANN, same, ASK)), ann);
        for run in desk.started.clone() {
            desk.complete(run);
        }
        if is_durable {
            desk.pass(61_000);
            assert_eq!(desk.machine.counts().idempotency_keys, 0);
        }
        let again = desk.post(ANN, same, ASK);
        assert!(again.contains("\"replayed\":true") && run_id(&again) == ann, "{again}");
        let again = desk.post(BOB, same, "{\"input\":\"another\"}");
        assert!(again.contains("\"replayed\":true") && run_id(&again) == run_id(&bob), "{again}");
    }
}

#[test]
fn sessions_of_the_same_name_do_not_wait_for_each_other_and_end_apart() {
    let mut desk = Desk::new(false, |_| {});
    let body = "{\"input\":\"x\",\"session_id\":\"s\"}";
    let ann = run_id(&desk.post(ANN, "", body));
    let bob = run_id(&desk.post(BOB, "", body));
    assert_eq!(desk.started.len(), 2, "each is the first of its session");
    desk.post(ANN, "", body);
    assert_eq!(desk.started.len(), 2, "the second of a session waits");
    desk.complete(desk.started[1]);
    assert_eq!(desk.started.len(), 2, "what ends in another session is no turn of this one");
    desk.complete(desk.started[0]);
    assert_eq!(desk.started.len(), 3);
    assert_eq!(status(&desk.ask(BOB, "DELETE", "/v1/sessions/s")), 200);
    assert_eq!(status(&desk.ask(BOB, "GET", &format!("/v1/runs/{bob}"))), 404);
    assert_eq!(status(&desk.ask(ANN, "GET", &format!("/v1/runs/{ann}"))), 200);
    assert_eq!(status(&desk.ask(ANN, "GET", "/v1/sessions/s")), 200);
}

#[test]
fn a_session_named_like_another_keys_run_is_a_session_of_its_own() {
    let mut desk = Desk::new(false, |_| {});
    let ann = desk.run(ANN);
    let body = format!("{{\"input\":\"x\",\"session_id\":\"{ann}\"}}");
    desk.post(BOB, "", &body);
    assert_eq!(desk.started.len(), 2, "it does not wait for a run it may not know of");
}

#[test]
fn a_key_has_as_many_unfinished_runs_as_it_may_and_others_are_not_touched() {
    let mut desk = Desk::new(false, |config| {
        config.keys[0].runs_max = Some(2);
        config.max_runs = 1;
    });
    let same = "Idempotency-Key: k\r\n";
    let first = desk.post(ANN, same, ASK);
    let second = desk.run(ANN);
    let third = desk.post(ANN, "", ASK);
    assert_eq!(status(&third), 429, "{third}");
    assert!(third.contains("rate_limit_exceeded") && third.contains("rate_limit_error"));
    assert!(third.contains("'ann'") && third.contains("2 unfinished"), "{third}");
    assert_eq!(header(&third, "Retry-After"), Some("5"));
    let again = desk.post(ANN, same, ASK);
    assert_eq!(status(&again), 202, "a replay makes no run: {again}");
    assert_eq!(run_id(&again), run_id(&first));
    assert_eq!(status(&desk.post(BOB, "", ASK)), 202);
    assert_eq!(status(&desk.post(FIRST, "", ASK)), 202);

    // A run that waits counts, and one that is stopped while it does counts no more.
    desk.ask(ANN, "POST", &format!("/v1/runs/{second}/stop"));
    assert_eq!(status(&desk.post(ANN, "", ASK)), 202);
    assert_eq!(status(&desk.post(ANN, "", ASK)), 429);
    desk.complete(desk.started[0]);
    assert_eq!(status(&desk.post(ANN, "", ASK)), 202);
}

#[test]
fn a_key_asks_as_often_as_it_may_and_is_told_honestly_when_again() {
    for per_minute in [1, 7, 60, 1_000] {
        let mut desk = Desk::new(false, |config| {
            config.keys[0].requests_per_minute = Some(per_minute);
        });
        for _ in 0..per_minute {
            assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 200);
        }
        for _ in 0..3 {
            let refused = desk.ask(ANN, "GET", "/v1/models");
            assert_eq!(status(&refused), 429, "{refused}");
            assert!(refused.contains("rate_limit_exceeded"), "{refused}");
            assert!(refused.contains(&format!("{per_minute} times a minute")), "{refused}");
            let after: u64 = header(&refused, "Retry-After").expect("a time").parse().unwrap();
            assert!((1..=60_u64.div_ceil(per_minute.into())).contains(&after), "{after} s");
            if after > 1 {
                desk.pass(after * 1_000 - 1_000);
                assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 429, "too early");
            }
            desk.pass(1_000);
            assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 200, "it was told so");
            while status(&desk.ask(ANN, "GET", "/v1/models")) == 200 {}
        }
        assert_eq!(status(&desk.ask(BOB, "GET", "/v1/models")), 200);
        assert_eq!(status(&desk.ask(ANN, "GET", "/health")), 200, "that needs no key");
        // However long it is silent, no more than a minute's worth is saved up.
        desk.pass(10 * 60_000);
        for _ in 0..per_minute {
            assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 200);
        }
        assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 429);
    }
}

#[test]
fn a_stream_is_one_request_however_long_it_is() {
    let mut desk = Desk::new(false, |config| config.keys[0].requests_per_minute = Some(2));
    let run = desk.run(ANN);
    let stream = desk.send(&request(ANN, "GET", &format!("/v1/runs/{run}/events"), "", ""));
    desk.read(stream);
    desk.pass(20_000);
    desk.complete(desk.started[0]);
    assert!(desk.read(stream).contains("run.completed"));
    assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 429);
}

#[test]
fn another_secret_is_no_other_bucket() {
    let mut ann = Key::new("ann", ANN);
    ann.requests_per_minute = Some(2);
    let mut desk = Desk::new(false, |config| config.keys = vec![ann.clone()]);
    desk.ask(ANN, "GET", "/v1/models");
    desk.ask(ANN, "GET", "/v1/models");
    ann.secret = "another-secret-of-ann".to_owned();
    desk.change_keys(&[Key::first(FIRST), ann]);
    assert_eq!(status(&desk.ask("another-secret-of-ann", "GET", "/v1/models")), 429);
}

#[test]
fn who_is_let_in_changes_with_the_keys_and_runs_stay() {
    let mut desk = Desk::new(false, |_| {});
    let run = desk.run(ANN);
    let path = format!("/v1/runs/{run}");
    desk.change_keys(&[Key::first(FIRST), Key::new("bob", BOB)]);
    assert_eq!(status(&desk.ask(ANN, "GET", &path)), 401);
    assert_eq!(status(&desk.ask(BOB, "GET", &path)), 404);
    desk.change_keys(&[Key::first("another-first-0000"), Key::new("ann", "another-of-ann-000")]);
    assert_eq!(status(&desk.ask(BOB, "GET", &path)), 401);
    assert_eq!(status(&desk.ask(FIRST, "GET", &path)), 401);
    assert_eq!(status(&desk.ask("another-of-ann-000", "GET", &path)), 200);
}

#[test]
fn streams_of_a_secret_or_a_right_that_is_gone_are_cut_and_others_are_not() {
    let ann = |secret: &str, scopes: &[Scope]| key("ann", secret, scopes);
    let first = Key::first(FIRST);
    for (now, is_cut) in [
        (vec![first.clone(), ann(ANN, &Scope::RUNS)], false),
        (vec![ann(ANN, &Scope::RUNS)], false),
        (vec![first.clone(), ann(ANN, &[Scope::Admin])], false),
        (vec![first.clone(), ann(ANN, &[Scope::RunsWrite])], true),
        (vec![first.clone(), ann("another-secret-of-ann", &Scope::RUNS)], true),
        (vec![first.clone(), key("eve", ANN, &Scope::RUNS)], true),
        (vec![first.clone()], true),
    ] {
        let mut desk = Desk::new(false, |_| {});
        let run = desk.run(ANN);
        let events = format!("/v1/runs/{run}/events");
        let stream = desk.send(&request(ANN, "GET", &events, "", ""));
        desk.read(stream);
        desk.change_keys(&now);
        assert_eq!(desk.closed.contains(&stream), is_cut, "{now:?}");
        desk.complete(desk.started[0]);
        assert_eq!(desk.read(stream).contains("run.completed"), !is_cut, "{now:?}");
    }
}

#[test]
fn a_body_on_its_way_and_a_question_to_the_store_end_with_the_key() {
    let mut desk = Desk::new(true, |config| config.orphan_ttl = Duration::from_secs(60));
    let run = desk.run(ANN);
    desk.complete(desk.started[0]);
    desk.pass(61_000);
    desk.is_held = true;
    let asking = desk.send(&request(ANN, "GET", &format!("/v1/runs/{run}/events"), "", ""));
    let whole = request(ANN, "POST", "/v1/runs", "", ASK);
    let (begun, rest) = whole.split_at(whole.len() - 3);
    let sending = desk.send(begun);
    let other = desk.send(&request(BOB, "GET", "/v1/runs", "", ""));
    desk.change_keys(&[Key::first(FIRST), Key::new("bob", BOB)]);
    desk.release();
    desk.tell(Input::Received(sending, rest.as_bytes()));
    desk.turn();
    assert_eq!(status(&desk.read(asking)), 401);
    assert_eq!(status(&desk.read(sending)), 401);
    assert_eq!(status(&desk.read(other)), 200);
    assert_eq!(desk.started.len(), 1, "no run was made of it");
}

#[test]
fn a_run_that_was_made_is_told_of_though_its_key_went_meanwhile() {
    let mut desk = Desk::new(false, |_| {});
    let id = desk.machine.open(desk.now).expect("room");
    desk.tell(Input::Received(id, request(ANN, "POST", "/v1/runs", "", ASK).as_bytes()));
    desk.tell(Input::Keys(vec![Key::first(FIRST)]));
    desk.turn();
    assert_eq!(status(&desk.read(id)), 202);
}

#[test]
fn a_server_without_keys_is_open_and_one_with_further_keys_alone_is_not() {
    let mut desk = Desk::new(false, |config| (config.key, config.keys) = (None, Vec::new()));
    assert_eq!(status(&desk.ask("anything", "GET", "/v1/models")), 200);
    let mut desk = Desk::new(false, |config| config.key = None);
    assert_eq!(status(&desk.ask("anything", "GET", "/v1/models")), 401);
    assert_eq!(status(&desk.ask(ANN, "GET", "/v1/models")), 200);
}

#[test]
fn the_secrets_of_all_keys_are_masked_in_what_clients_say() {
    let mut desk = Desk::new(false, |_| {});
    desk.run(ANN);
    assert_eq!(desk.machine.secrets().mask(&format!("{FIRST} {ANN} {BOB}")), MASKED);
    let eve = Key::new("eve", "secret-of-eve-000");
    desk.change_keys(&[Key::first(FIRST), Key::new("ann", ANN), eve]);
    let said = format!("{FIRST} {ANN} secret-of-eve-000");
    assert_eq!(desk.machine.secrets().mask(&said), MASKED);
}

const MASKED: &str = "[secret] [secret] [secret]";
