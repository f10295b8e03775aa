//! The machine turn by turn, where chance would seldom lead: full histories, lost readers, news
//! that comes while answers are being sent.
use runwire::budget::Limit;
use runwire::config::{About, Config, OnOrphan};
use runwire::event::{Cause, Completed, Delta, Event, Kind, Runtime, Steered, Usage};
use runwire::id::{ConnId, RunKey};
use runwire::limits::{
    DELTA_BYTES_MAX, FINISHED_BYTES_MAX, HISTORY_BYTES_MAX, IDEMPOTENCY_TTL_MS, INBOX_BYTES_MAX,
    OUTBOX_BYTES_MAX, SEGMENT_BYTES_MAX, STALL_BYTES, STALL_MS, STEERS_WAITING_MAX,
};
use runwire::machine::{Counts, Input, Machine, Output, Shelf};
use runwire::request::Steer;
use runwire::store::Memory;
use runwire::store::Store;
use runwire::time::{Now, Tick, Wall};
use std::sync::Arc;
use std::time::Duration;

struct Desk {
    machine: Machine,
    store: Memory,
    now: Now,
    started: Vec<RunKey>,
    cancelled: Vec<(RunKey, Cause)>,
    steered: Vec<(RunKey, Arc<Steer>)>,
    closed: Vec<ConnId>,
    exited: bool,
}

impl Desk {
    fn new(change: impl FnOnce(&mut Config)) -> Desk {
        let mut config = Config::default();
        change(&mut config);
        let now = Now { tick: Tick(0), wall: Wall(1_700_000_000_000_000) };
        let mut id = 0;
        let ids = Box::new(move || {
            id += 1;
            id
        });
        Desk {
            machine: Machine::new(config, About::default(), Shelf::default(), ids, now),
            store: Memory::default(),
            now,
            started: Vec::new(),
            cancelled: Vec::new(),
            steered: Vec::new(),
            closed: Vec::new(),
            exited: false,
        }
    }

    fn open(&mut self) -> ConnId {
        self.machine.open(self.now).expect("room for a connection")
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
    }

    /// Opens a connection, asks, and gives back what is answered.
    fn ask(&mut self, request: &str) -> (ConnId, String) {
        let id = self.open();
        self.tell(Input::Received(id, request.as_bytes()));
        self.turn();
        (id, self.read(id))
    }

    fn post(&mut self, body: &str, extra: &str) -> String {
        let size = body.len();
        self.ask(&format!(
            "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {size}\r\n{extra}\r\n{body}"
        ))
        .1
    }

    fn turn(&mut self) {
        self.machine.end_turn(self.now);
        self.carry_out();
        self.machine.check();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Start { run, .. } => self.started.push(run),
                Output::Cancel { run, cause } => self.cancelled.push((run, cause)),
                Output::Close(id) => self.closed.push(id),
                Output::Steer { run, steer } => self.steered.push((run, steer)),
                Output::Decide { .. } => unreachable!("no agent here asks for leave"),
                Output::Commit(batch) => {
                    self.store.commit(&batch).expect("a store in memory takes everything");
                    let number = batch.number;
                    self.tell(Input::Stored { committed: number, synced: number });
                }
                Output::Ask { asker, query } => {
                    let answer = self.store.answer(&query);
                    self.tell(Input::Answered { asker, answer });
                }
                Output::Prune { .. } => unreachable!("a store in memory is not cleaned up"),
                Output::Exit => self.exited = true,
                Output::Resume(_) | Output::HalfClose(_) | Output::Note(_) => {}
                Output::Deliver(_) => unreachable!("nobody here has webhooks"),
                Output::Measure(_) => unreachable!("nobody here asks for metrics"),
            }
        }
    }

    fn unsent(&self, id: ConnId) -> usize {
        self.machine.unsent(id).iter().map(|bytes| bytes.len()).sum()
    }

    /// Takes all that is due to `id`, however often more becomes due by that.
    fn read(&mut self, id: ConnId) -> String {
        let mut text = Vec::new();
        while self.unsent(id) > 0 {
            let count = self.unsent(id);
            self.machine.unsent(id).iter().for_each(|bytes| text.extend_from_slice(bytes));
            self.tell(Input::Sent(id, count));
        }
        self.carry_out();
        String::from_utf8(text).expect("all that is sent is UTF-8")
    }

    fn pass(&mut self, ms: u64) {
        self.now.tick = self.now.tick.after(ms);
        self.now.wall = Wall(self.now.wall.0 + ms * 1_000);
        self.turn();
    }

    /// Lets time pass reminder by reminder until nothing is awaited any more.
    fn pass_for_ever(&mut self) {
        while let Some(due) = self.machine.next_due() {
            self.pass(due.0.saturating_sub(self.now.tick.0));
        }
    }

    fn say(&mut self, run: RunKey, seq: u64, kind: Kind) {
        let at = self.now.wall;
        self.tell(Input::Event(Event { run, seq, at, kind }));
    }

    fn counts(&self) -> Counts {
        self.machine.counts()
    }
}

const ASK: &str = "{\"input\":\"x\"}";

fn run_id(answer: &str) -> String {
    let from = answer.find("run_").expect("an answer that names a run");
    answer[from..from + 36].to_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
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

fn steered() -> Kind {
    let text = "x".to_owned();
    Kind::Steered(Box::new(Steered { accepted: true, text, interrupt: false }))
}

fn delta(text: &str) -> Kind {
    Kind::MessageDelta(Delta { delta: text.to_owned() })
}

fn completed(output: &str) -> Kind {
    let (usage, runtime) = (Usage::default(), Runtime::default());
    Kind::Completed(Box::new(Completed {
        output: output.to_owned(),
        usage,
        runtime,
        pending_steer: None,
    }))
}

/// The sequence numbers of all `id:` lines.
fn seqs(text: &str) -> Vec<u64> {
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().expect("a number")).collect()
}

/// Says deltas until the run's history has lost its beginning; returns the next `seq`.
fn overflow(desk: &mut Desk, run: RunKey, from: u64) -> u64 {
    let big = "x".repeat(DELTA_BYTES_MAX);
    let count = (HISTORY_BYTES_MAX + 2 * SEGMENT_BYTES_MAX) / DELTA_BYTES_MAX;
    for seq in from..from + count as u64 {
        desk.say(run, seq, delta(&big));
    }
    from + count as u64
}

#[test]
fn a_reader_that_comes_after_the_beginning_was_dropped_is_told_what_it_missed() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let next = overflow(&mut desk, key, 0);
    desk.say(key, next, completed("done"));
    desk.turn();
    let (_, text) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    let told = text.lines().find(|line| line.contains("replay.truncated")).expect("it is told");
    let told: serde_json::Value = serde_json::from_str(&told["data: ".len()..]).expect("JSON");
    let oldest = told["oldest_retained_seq"].as_u64().expect("a number");
    assert_eq!(told["requested_seq"], 0);
    assert!(told.get("seq").is_none() && oldest > 0);
    assert!(seqs(&text).into_iter().eq(oldest..=next), "a gap after the truncation");
    assert!(text.ends_with(": stream closed\n\n\r\n0\r\n\r\n"));
    assert!(text.find("replay.truncated") < text.find("id: "));

    // From any place that is left, the replay is exact.
    for cursor in [oldest - 1, oldest, oldest + 1, next - 1] {
        let (_, text) = desk.ask(&get(&format!("/v1/runs/{run}/events?last_seq={cursor}")));
        assert!(!text.contains("replay.truncated"), "nothing was missed after {cursor}");
        assert!(seqs(&text).into_iter().eq(cursor + 1..=next));
    }
    assert!(desk.counts().history_bytes < HISTORY_BYTES_MAX + 2 * SEGMENT_BYTES_MAX);
}

#[test]
fn a_reader_whose_next_bytes_were_dropped_is_cut_off_and_others_are_not() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let (slow, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    let old = format!("GET /v1/runs/{run}/events HTTP/1.0\r\n\r\n");
    let (slow_old, _) = desk.ask(&old);
    let (quick, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    desk.say(key, 0, delta("first"));
    desk.turn();
    desk.tell(Input::Blocked(slow));
    desk.tell(Input::Blocked(slow_old));
    assert_eq!(seqs(&desk.read(quick)), [0]);
    let big = "x".repeat(DELTA_BYTES_MAX);
    let mut next = 1;
    while desk.closed.is_empty() {
        desk.say(key, next, delta(&big));
        desk.turn();
        assert_eq!(seqs(&desk.read(quick)), [next]);
        next += 1;
    }
    desk.say(key, next, completed(""));
    desk.turn();
    assert!(desk.read(quick).ends_with("0\r\n\r\n"));
    assert!(desk.closed.contains(&slow) && desk.closed.contains(&slow_old));
    assert!(!desk.closed.contains(&quick));
}

#[test]
fn a_reader_may_lose_its_place_in_the_very_turn_in_which_its_silence_is_broken() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let (silent, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    let (half_closed, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    desk.now.tick = desk.now.tick.after(60_000);
    overflow(&mut desk, key, 0);
    desk.tell(Input::Ended(half_closed));
    desk.turn();
    desk.closed.sort();
    assert_eq!(desk.closed, [silent, half_closed]);
}

#[test]
fn a_stop_pipelined_behind_another_answer_reaches_the_readers_of_a_waiting_run() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    desk.post(ASK, "");
    let waiting = run_id(&desk.post(ASK, ""));
    let (watcher, _) = desk.ask(&get(&format!("/v1/runs/{waiting}/events")));
    let (asker, _) = desk.ask(&get("/health"));
    // So many answers that the last request waits until they have been sent.
    let many = get("/v1/capabilities").repeat(OUTBOX_BYTES_MAX / 1_000) + &stop(&waiting);
    for piece in many.as_bytes().chunks(4_000) {
        assert!(desk.machine.appetite(asker) >= piece.len());
        desk.tell(Input::Received(asker, piece));
    }
    desk.turn();
    let mut told = String::new();
    while let Some(id) = desk.machine.poll_writable() {
        let text = desk.read(id);
        if id == watcher {
            told += &text;
        }
    }
    desk.machine.check();
    assert!(told.contains("run.cancelled") && told.ends_with("0\r\n\r\n"), "{told}");
}

#[test]
fn a_body_behind_unread_answers_is_held_within_bounds() {
    let mut desk = Desk::new(|_| {});
    let id = desk.open();
    let post = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n";
    // The 100 is what carries the outbox over its bound: the answers before it, which repeat the
    // name that was asked for, leave just too little room.
    let run = |name: usize| get(&format!("/v1/runs/{}", "x".repeat(name)));
    desk.tell(Input::Received(id, run(1).as_bytes()));
    let answer = desk.unsent(id);
    while OUTBOX_BYTES_MAX - desk.unsent(id) > 2 * answer {
        desk.tell(Input::Received(id, run(1).as_bytes()));
    }
    let room = OUTBOX_BYTES_MAX - desk.unsent(id);
    desk.tell(Input::Received(id, run(1 + room - answer - 10).as_bytes()));
    assert_eq!(OUTBOX_BYTES_MAX - desk.unsent(id), 10);
    desk.tell(Input::Received(id, post.as_bytes()));
    assert_eq!(desk.machine.appetite(id), INBOX_BYTES_MAX);
    for _ in 0..10 {
        desk.tell(Input::Received(id, &vec![b' '; INBOX_BYTES_MAX]));
        desk.machine.check();
    }
}

#[test]
fn a_retry_finds_its_run_although_the_conversation_before_it_is_forgotten() {
    let mut desk = Desk::new(|_| {});
    let first = run_id(&desk.post(ASK, ""));
    desk.say(desk.started[0], 0, completed("one"));
    let body = format!("{{\"input\":\"and?\",\"previous_response_id\":\"{first}\"}}");
    let key = "Idempotency-Key: k\r\n";
    let second = run_id(&desk.post(&body, key));
    desk.say(desk.started[1], 0, completed("two"));
    desk.turn();
    desk.pass(2 * 60 * 60 * 1000);
    assert!(desk.ask(&get(&format!("/v1/runs/{first}"))).1.contains(" 404 "));
    let again = desk.post(&body, key);
    assert!(again.contains(" 202 ") && again.contains("\"replayed\":true"), "{again}");
    assert_eq!(run_id(&again), second);
    let other = desk.post(ASK, key);
    assert!(other.contains(" 409 "), "{other}");
}

#[test]
fn a_run_with_a_key_is_kept_a_day_and_then_forgotten_with_its_key() {
    let mut desk = Desk::new(|_| {});
    desk.post(ASK, "Idempotency-Key: k\r\n");
    desk.say(desk.started[0], 0, completed("one"));
    desk.turn();
    desk.pass(IDEMPOTENCY_TTL_MS - 1);
    assert_eq!((desk.counts().finished, desk.counts().idempotency_keys), (1, 1));
    desk.pass(1);
    assert_eq!(desk.counts(), Counts::default());
    let again = desk.post(ASK, "Idempotency-Key: k\r\n");
    assert!(again.contains("\"replayed\":false"));
}

#[test]
fn a_finished_run_is_forgotten_exactly_when_nobody_has_read_it_for_its_time() {
    let mut desk = Desk::new(|config| config.idle_timeout = Duration::from_secs(100_000));
    let run = run_id(&desk.post(ASK, ""));
    desk.say(desk.started[0], 0, delta("x"));
    desk.pass(50 * 60 * 60 * 1000);
    assert_eq!(desk.counts().working, 1, "a working run is never forgotten");
    desk.say(desk.started[0], 1, completed("one"));
    desk.turn();
    let hour = 60 * 60 * 1000;
    desk.pass(hour - 1);
    // Asking about it is enough to keep it another hour, and so is reading it.
    assert!(desk.ask(&get(&format!("/v1/runs/{run}"))).1.contains(" 200 "));
    desk.pass(hour - 1);
    let (_, text) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    assert_eq!(seqs(&text), [0, 1]);
    desk.pass(hour - 1);
    assert_eq!(desk.counts().finished, 1);
    desk.pass(1);
    assert_eq!((desk.counts().finished, desk.counts().history_bytes), (0, 0));
    assert!(desk.ask(&get(&format!("/v1/runs/{run}"))).1.contains(" 404 "));
}

#[test]
fn a_run_that_is_read_is_no_orphan_and_one_that_is_not_is_cancelled_in_time() {
    let mut desk = Desk::new(|config| {
        config.on_orphan = OnOrphan::Cancel;
        config.orphan_ttl = Duration::from_secs(100);
    });
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let (reader, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    for _ in 0..30 {
        desk.pass(10_000);
        desk.read(reader);
    }
    assert!(desk.cancelled.is_empty(), "somebody reads it");
    desk.tell(Input::HungUp(reader));
    desk.pass(99_999);
    assert!(desk.cancelled.is_empty());
    desk.pass(1);
    assert_eq!(desk.cancelled, [(key, Cause::Orphan)]);
}

#[test]
fn a_run_that_works_too_long_is_told_so_once() {
    let mut desk = Desk::new(|config| config.budget.wall = Some(Duration::from_secs(20)));
    let run = run_id(&desk.post(ASK, ""));
    desk.ask(&get(&format!("/v1/runs/{run}/events")));
    desk.pass(19_999);
    assert!(desk.cancelled.is_empty());
    desk.pass(1);
    desk.pass(100_000);
    assert_eq!(desk.cancelled, [(desk.started[0], Cause::Budget(Limit::Wall))]);
}

#[test]
fn a_reader_that_takes_too_little_is_cut_off_and_one_that_takes_enough_is_not() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let (slow, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    let (steady, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    for seq in 0..20 {
        desk.say(key, seq, delta(&"x".repeat(DELTA_BYTES_MAX)));
    }
    desk.turn();
    desk.tell(Input::Blocked(slow));
    desk.tell(Input::Blocked(steady));
    for _ in 0..3 {
        desk.tell(Input::Sent(slow, STALL_BYTES as usize / 4 - 1));
        desk.tell(Input::Sent(steady, STALL_BYTES as usize));
        desk.pass(STALL_MS / 3);
    }
    assert_eq!(desk.closed, [slow]);
}

#[test]
fn the_oldest_finished_runs_make_room_for_new_ones() {
    let mut desk = Desk::new(|_| {});
    // Counted twice: in the last event, and in what is kept for those who ask later.
    let big = "x".repeat(FINISHED_BYTES_MAX / 4);
    let runs: Vec<String> = (0..2).map(|_| run_id(&desk.post(ASK, ""))).collect();
    for index in 0..2 {
        desk.say(desk.started[index], 0, completed(&big));
        desk.turn();
        assert!(desk.counts().history_bytes <= FINISHED_BYTES_MAX);
    }
    assert_eq!(desk.counts().finished, 1);
    for (index, run) in runs.iter().enumerate() {
        let status = if index < 1 { " 404 " } else { " 200 " };
        let head = get(&format!("/v1/runs/{run}/events")).replace("GET", "HEAD");
        assert!(desk.ask(&head).1.contains(status), "run {index}");
    }
}

#[test]
fn all_that_was_asked_counts_as_kept() {
    let mut desk = Desk::new(|_| {});
    let big = "x".repeat(100_000);
    let message = format!("{{\"role\":\"user\",\"content\":\"{big}\"}}");
    for field in [
        format!("\"input\":\"{big}\""),
        format!("\"input\":\"x\",\"instructions\":\"{big}\""),
        format!("\"input\":\"x\",\"model\":\"{big}\""),
        format!("\"input\":\"x\",\"model_options\":{{\"a\":[\"{big}\"]}}"),
        format!("\"input\":\"x\",\"conversation_history\":[{message}]"),
    ] {
        let before = desk.counts().history_bytes;
        desk.post(&format!("{{{field}}}"), "");
        let run = *desk.started.last().expect("it was started");
        desk.say(run, 0, completed(""));
        desk.turn();
        assert!(desk.counts().history_bytes > before + big.len(), "{}", &field[..30]);
    }
}

#[test]
fn drain_tells_everyone_and_ends() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let working = run_id(&desk.post(ASK, ""));
    let waiting = run_id(&desk.post(ASK, ""));
    let (of_working, _) = desk.ask(&get(&format!("/v1/runs/{working}/events")));
    let (of_waiting, _) = desk.ask(&get(&format!("/v1/runs/{waiting}/events")));
    desk.tell(Input::Drain);
    desk.turn();
    assert!(desk.read(of_waiting).contains("run.interrupted"));
    assert!(desk.post(ASK, "").contains(" 503 "));
    desk.pass(9_999);
    assert!(desk.cancelled.is_empty(), "a grace of ten seconds");
    desk.pass(1);
    assert_eq!(desk.cancelled, [(desk.started[0], Cause::Shutdown)]);
    // The agent does not answer, so it is spoken for.
    desk.pass(1_000);
    let last = desk.read(of_working);
    assert!(last.contains("run.interrupted") && last.ends_with("0\r\n\r\n"), "{last}");
    desk.pass_for_ever();
    assert!(desk.exited);
    assert_eq!((desk.counts().working, desk.counts().queued), (0, 0));
}

#[test]
fn a_late_word_of_a_run_that_was_ended_by_force_finds_it_closed() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    desk.tell(Input::Drain);
    desk.turn();
    desk.pass(10_000);
    desk.pass(1_000);
    desk.say(key, 0, delta("late"));
    desk.say(key, 1, completed("later"));
    desk.turn();
    let (_, text) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    assert_eq!(seqs(&text), [0]);
    assert!(text.contains("run.interrupted") && !text.contains("late"));
}

#[test]
fn waiting_runs_get_their_turn_in_the_order_in_which_they_came() {
    let mut desk = Desk::new(|config| config.max_runs = 1);
    let runs: Vec<String> = (0..4).map(|_| run_id(&desk.post(ASK, ""))).collect();
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(desk.started.len(), index + 1);
        let status = desk.ask(&get(&format!("/v1/runs/{run}"))).1;
        assert!(status.contains("\"status\":\"running\""), "{status}");
        desk.say(desk.started[index], 0, completed(""));
        desk.turn();
    }
}

#[test]
fn a_stranger_does_not_learn_which_paths_there_are() {
    let mut desk = Desk::new(|config| config.key = Some("secret".to_owned()));
    for path in ["/nope", "/v1/runs", "/v1/runs/x/stop"] {
        assert!(desk.ask(&get(path)).1.starts_with("HTTP/1.1 401 "), "{path}");
    }
    let known =
        |path: &str| get(path).replace("\r\n\r\n", "\r\nAuthorization: Bearer secret\r\n\r\n");
    assert!(desk.ask(&known("/nope")).1.starts_with("HTTP/1.1 404 "));
    assert!(desk.ask(&known("/v1/runs/x/stop")).1.starts_with("HTTP/1.1 405 "));
}

#[test]
fn a_reader_that_was_slow_for_a_while_gets_its_whole_time_again() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let (reader, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    for seq in 0..5 {
        desk.say(desk.started[0], seq, delta("x"));
        desk.turn();
        desk.tell(Input::Blocked(reader));
        desk.pass(STALL_MS - 1);
        desk.tell(Input::Writable(reader));
        assert_eq!(seqs(&desk.read(reader)), [seq]);
    }
    assert!(!desk.closed.contains(&reader));
}

#[test]
fn a_steer_that_crosses_the_last_word_is_told_in_it() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let key = desk.started[0];
    let client = desk.open();
    desk.tell(Input::Received(client, steer(&run).as_bytes()));
    // Said before the agent could hear of it, and heard in the same turn.
    desk.say(key, 0, completed("done"));
    desk.turn();
    assert!(desk.read(client).contains("\"accepted\":true"));
    let (_, stream) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    assert!(stream.contains("\"pending_steer\":\"x\""), "{stream}");
    let (_, page) = desk.ask(&get(&format!("/v1/runs/{run}")));
    assert!(page.contains("\"pending_steer\":\"x\""), "{page}");
}

#[test]
fn a_run_whose_agent_never_answers_still_tells_what_it_was_steered_by() {
    let mut desk = Desk::new(|config| config.drain = Duration::from_secs(1));
    let run = run_id(&desk.post(ASK, ""));
    desk.ask(&steer(&run));
    assert_eq!(desk.steered.len(), 1);
    let (reader, _) = desk.ask(&get(&format!("/v1/runs/{run}/events")));
    desk.tell(Input::Drain);
    desk.pass(1_000);
    desk.pass(1_000);
    let stream = desk.read(reader);
    assert!(stream.contains("run.interrupted"), "{stream}");
    assert!(stream.contains("\"pending_steer\":\"x\""), "{stream}");
}

#[test]
fn a_steer_that_is_taken_in_makes_room_for_another() {
    let mut desk = Desk::new(|_| {});
    let run = run_id(&desk.post(ASK, ""));
    let status = |answer: (ConnId, String)| answer.1[9..12].to_owned();
    for _ in 0..STEERS_WAITING_MAX {
        assert_eq!(status(desk.ask(&steer(&run))), "200");
    }
    assert_eq!(status(desk.ask(&steer(&run))), "429");
    desk.say(desk.started[0], 0, steered());
    assert_eq!(status(desk.ask(&steer(&run))), "200");
    assert_eq!(status(desk.ask(&steer(&run))), "429");
    assert_eq!(desk.steered.len(), STEERS_WAITING_MAX + 1);
}

#[test]
fn a_run_that_is_steered_is_no_orphan() {
    let mut desk = Desk::new(|config| {
        config.on_orphan = OnOrphan::Cancel;
        config.orphan_ttl = Duration::from_secs(100);
    });
    let run = run_id(&desk.post(ASK, ""));
    desk.pass(99_000);
    desk.ask(&steer(&run));
    desk.pass(99_000);
    assert_eq!(desk.cancelled, []);
    desk.pass(1_000);
    assert_eq!(desk.cancelled, [(desk.started[0], Cause::Orphan)]);
}
