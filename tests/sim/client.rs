//! A client: asks, reads the answers as HTTP, and believes nothing.
use crate::book::Book;
use crate::response::{Head, Piece, Responses};
use crate::script::{Ask, Want};
use runwire::id::RunId;
use runwire::limits::{STALL_BYTES, STALL_MS};
use runwire::time::Tick;
use runwire::wire::redact::Redact;
use std::collections::{BTreeMap, VecDeque};

/// The shortest of the time-outs for heads and bodies.
const TIMEOUT_MS_MIN: u64 = 10_000;

pub struct Client {
    pub to_send: Vec<u8>,
    /// Prefix of `to_send` that has left.
    pub sent: usize,
    /// It waits at each of these for `100 Continue`.
    holds: VecDeque<usize>,
    /// Asked and not yet answered, the oldest first.
    pub asks: VecDeque<Ask>,
    /// It shuts down its side once all is sent.
    pub half_closes: bool,
    pub ended: bool,
    /// The server said it wants no bytes; it must say when it does.
    pub muted: bool,
    /// Bytes in flight to it and not yet read, and how many there may be.
    pub pending: Vec<u8>,
    pub window: usize,
    pub blocked: bool,
    /// Bytes it takes at a time, at most.
    pub gulp: usize,
    /// Never reads again.
    pub stuck: bool,
    pub told_close: bool,
    /// How often the store would not be read for it.
    pub refusals: u64,
    /// The server has shut down its side.
    pub eof: bool,
    pub opened_at: Tick,
    /// Since when it has not taken all that was due to it, and how much it has taken since.
    pub lagging: Option<(Tick, u64)>,
    responses: Responses,
    following: Option<Following>,
    feed: Option<Feed>,
}

/// A feed that is being read.
#[derive(Default)]
struct Feed {
    /// The next event of each run, and whether its last one has come.
    places: BTreeMap<RunId, (u64, bool)>,
    opened: bool,
    closed: bool,
}

/// An event stream that is being read.
struct Following {
    run: RunId,
    next: u64,
    redact: Redact,
    opened: bool,
    terminal: bool,
    closed: bool,
}

impl Client {
    pub fn new(asks: Vec<Ask>, window: usize, gulp: usize, now: Tick) -> Client {
        let mut to_send = Vec::new();
        let mut holds = VecDeque::new();
        for ask in &asks {
            if ask.waits_at > 0 {
                holds.push_back(to_send.len() + ask.waits_at);
            }
            to_send.extend_from_slice(&ask.bytes);
        }
        Client {
            to_send,
            sent: 0,
            holds,
            asks: asks.into(),
            half_closes: false,
            ended: false,
            muted: false,
            pending: Vec::new(),
            window,
            blocked: false,
            gulp,
            stuck: false,
            told_close: false,
            refusals: 0,
            eof: false,
            opened_at: now,
            lagging: None,
            responses: Responses::default(),
            following: None,
            feed: None,
        }
    }

    /// What it could send now.
    pub fn sendable(&self) -> &[u8] {
        let end = self.holds.front().copied().unwrap_or(self.to_send.len());
        if self.muted || self.told_close { &[] } else { &self.to_send[self.sent..end] }
    }

    pub fn has_sent_all(&self) -> bool {
        self.sent == self.to_send.len()
    }

    /// Takes `count` of the bytes in flight and checks all they say.
    pub fn read(&mut self, count: usize, book: &mut Book) {
        self.responses.feed(&self.pending[..count]);
        self.pending.drain(..count);
        loop {
            let head_only = self.asks.front().is_some_and(|ask| ask.head_only);
            match self.responses.next(head_only) {
                None => return,
                Some(Piece::Continue) => {
                    assert!(self.holds.pop_front() == Some(self.sent), "a 100 nobody waited for");
                }
                Some(Piece::Head(head)) => self.hear_head(&head, book),
                Some(Piece::Body(body)) => self.hear_body(&body, book),
                Some(Piece::Frame(frame)) => self.hear_frame(&frame, book),
                Some(Piece::End) => self.hear_end(),
            }
        }
    }

    /// The server has closed; `excused` says that it may do so at any moment.
    pub fn hear_close(&mut self, book: &mut Book, excused: bool) {
        self.read(self.pending.len(), book);
        self.hear_eof();
        // A stream ends early where its run is deleted, or the store would not be read for it; and
        // with it goes what is still due from before.
        let is_cut = self.asks.iter().any(|ask| match ask.want {
            Want::Events { run, .. } => book.is_doomed(run) || self.refusals > 0,
            Want::Feed { .. } => self.refusals > 0,
            _ => false,
        });
        // Where memory is scarce, so does one that does not take what is due to it, that asks on
        // behind it, or whose place is nowhere but in memory.
        let is_slow = self.lagging.is_some() || self.asks.len() > 1 || !book.is_durable;
        if excused || self.told_close || is_cut || book.is_scarce && is_slow {
            return;
        }
        assert!(self.following.is_none() && self.feed.is_none(), "a stream was cut");
        assert!(self.responses.is_between(), "an answer was cut");
        assert!(self.asks.is_empty() || !self.has_sent_all(), "unanswered: {:?}", self.asks);
    }

    /// No further byte will come, which ends a body that lasts until then.
    pub fn hear_eof(&mut self) {
        let is_over = self.following.as_ref().is_some_and(|stream| stream.closed);
        let is_feed_over = self.feed.as_ref().is_some_and(|feed| feed.closed);
        if (is_over || is_feed_over) && self.responses.ended() {
            self.hear_end();
        }
    }

    /// The socket took `count` bytes; `all` if no more is due.
    pub fn takes(&mut self, count: usize, all: bool, now: Tick) {
        self.lagging = match self.lagging {
            None => None,
            Some(_) if all => None,
            Some((_, taken)) if taken + count as u64 >= STALL_BYTES => Some((now, 0)),
            Some((since, taken)) => Some((since, taken + count as u64)),
        };
    }

    pub fn is_stalled(&self, now: Tick) -> bool {
        self.lagging.is_some_and(|(since, _)| since.after(STALL_MS) <= now)
    }

    /// All that was asked has been answered to the end, or as far as there was something to say.
    pub fn is_content(&self, book: &Book) -> bool {
        if let Some(feed) = &self.feed {
            let mut places = feed.places.iter();
            return places.all(|(run, (_, is_over))| *is_over || book.is_doomed(*run));
        }
        (self.asks.is_empty() || self.told_close) && self.responses.is_between()
    }

    pub fn is_following(&self) -> bool {
        self.following.is_some()
    }

    /// What is due to it is lent piece by piece, as where something may be left out for it.
    pub fn is_redacted(&self) -> bool {
        let is_left_out = |ask: &Ask| match ask.want {
            Want::Events { redact, .. } => redact != Redact::NOTHING,
            Want::Feed { .. } => true,
            _ => false,
        };
        self.asks.iter().any(is_left_out)
    }

    /// The run it reads, and the last event it has seen.
    pub fn place(&self) -> Option<(RunId, Option<u64>)> {
        let stream = self.following.as_ref()?;
        Some((stream.run, stream.next.checked_sub(1)))
    }

    fn hear_head(&mut self, head: &Head, book: &mut Book) {
        let ask = self.asks.front().expect("an answer to nothing");
        let status = head.status;
        self.told_close |= head.close;
        let late = status == 408 && self.opened_at.after(TIMEOUT_MS_MIN) <= book.now;
        // A stop right behind makes room again before anybody has seen that there was none.
        let stops = |ask: &Ask| matches!(ask.want, Want::Stop { .. });
        let freed = status == 429 && self.asks.iter().any(stops);
        let allowed = ask.allows(status, book, self.refusals > 0);
        // Where memory is scarce new work is refused, and whoever is slow to send.
        let scarce = status == 503 && book.is_scarce;
        book.spared += u64::from(scarce && !book.draining);
        assert!(late || freed || scarce || allowed, "{status} to {ask:?}");
        self.refusals -= u64::from(status == 500);
        note(ask, status, book);
        assert_eq!(status == 429 || status == 503, head.get("retry-after").is_some());
        if !head.stream {
            return;
        }
        if let Want::Feed { places } = &ask.want {
            let place = |(run, after): &(RunId, Option<u64>)| {
                let next = after.map_or(0, |seen| seen + 1);
                (*run, (next, after.is_some() && book.runs[run].last_seq == *after))
            };
            let places = places.iter().map(place).collect();
            self.feed = Some(Feed { places, ..Feed::default() });
            return;
        }
        let Want::Events { run, after, redact } = ask.want else { panic!("a stream for {ask:?}") };
        if !ask.head_only {
            let next = after.map_or(0, |seen| seen + 1);
            let stream =
                Following { run, next, redact, opened: false, terminal: false, closed: false };
            self.following = Some(stream);
        }
    }

    fn hear_body(&mut self, body: &[u8], book: &mut Book) {
        if body.starts_with(b"# HELP ") {
            let ask = self.asks.front().expect("a body belongs to an answer");
            return assert!(matches!(ask.want, Want::Page), "metrics for {ask:?}");
        }
        let json: serde_json::Value = serde_json::from_slice(body).expect("bodies are JSON");
        let ask = self.asks.front().expect("a body belongs to an answer");
        if ask.is_wrong() || json["error"].is_object() {
            assert!(json["error"]["message"].is_string() && json["error"]["type"].is_string());
        } else if let Some(id) = json["run_id"].as_str() {
            let id = RunId::parse(id).expect("a run's id");
            match &ask.want {
                Want::Submit { key, .. } => promise(id, key.as_deref(), book),
                Want::Conflict { run } => assert_ne!(id, *run, "two bodies under one key"),
                Want::Approve { run } => {
                    assert_eq!((id, &json["resolved"]), (*run, &serde_json::json!(1)));
                    let text = |name: &str| json[name].as_str().expect("a decision has it");
                    book.made(id).is_decided(text("request_id"), text("choice"));
                }
                Want::Status { run } | Want::Stop { run } => {
                    assert_eq!(id, *run);
                    let status = json["status"].as_str().expect("a run has a status");
                    assert_eq!(status == "waiting_for_approval", json["approval"].is_object());
                    let ended = ["completed", "failed", "cancelled", "interrupted"];
                    if ended.contains(&status) {
                        book.made(id).told_end = Some(status.to_owned());
                    }
                }
                _ => {}
            }
        } else if ask.want == Want::List {
            let data = json["data"].as_array().expect("a list");
            assert!(json["has_more"].is_boolean() && data.iter().all(|entry| entry.is_object()));
        }
    }

    /// Every reader hears 0, 1, 2, ... from its cursor on, but what is left out for it, and one last
    /// word.
    fn hear_frame(&mut self, frame: &[u8], book: &mut Book) {
        if let Some(feed) = &mut self.feed {
            return feed.hear(frame, book);
        }
        let stream = self.following.as_mut().expect("a frame outside a stream");
        assert!(!stream.closed, "something after the closing comment");
        match frame {
            b": open" => assert!(!std::mem::replace(&mut stream.opened, true)),
            b": keepalive" => assert!(stream.opened && !stream.terminal),
            b": stream closed" => {
                assert!(stream.terminal, "closed before the last word");
                stream.closed = true;
            }
            // Only what is nowhere but in scarce memory is ever lost, and never without a word.
            [b'd', b'a', b't', b'a', b':', json @ ..] if book.is_scarce && !book.is_durable => {
                let json: serde_json::Value = serde_json::from_slice(json).expect("JSON");
                assert!(
                    json["event"] == "replay.truncated" && json["requested_seq"] == stream.next
                );
                let oldest = json["oldest_retained_seq"].as_u64().expect("a number");
                assert!(oldest > stream.next);
                stream.next = oldest;
            }
            _ => {
                assert!(stream.opened && !stream.terminal, "an event after the last one");
                stream.next = book.pass_over(stream.run, stream.next, stream.redact, frame);
                stream.terminal = book.check_frame(stream.run, stream.next, frame);
                stream.next += 1;
            }
        }
    }

    fn hear_end(&mut self) {
        if let Some(stream) = self.following.take() {
            assert!(stream.closed, "a stream ended without its closing comment");
        }
        if let Some(feed) = self.feed.take() {
            assert!(feed.closed, "a feed ended without its closing comment");
        }
        self.asks.pop_front();
    }
}

impl Feed {
    /// Of each run 0, 1, 2, ... from its cursor on, and nothing after its last word.
    fn hear(&mut self, frame: &[u8], book: &mut Book) {
        assert!(!self.closed, "something after the closing comment");
        match frame {
            b": open" => return assert!(!std::mem::replace(&mut self.opened, true)),
            b": keepalive" => return assert!(self.opened),
            b": stream closed" => {
                assert!(book.draining, "a feed was ended");
                self.closed = true;
                return;
            }
            _ => assert!(self.opened, "a frame before the opening comment"),
        }
        let text = std::str::from_utf8(frame).expect("frames are UTF-8");
        let json = text.split_once("data: ").expect("a frame has data").1;
        let data: serde_json::Value = serde_json::from_str(json).expect("data is JSON");
        if data["event"] == "runs.changed" {
            return;
        }
        let run = data["run_id"].as_str().and_then(RunId::parse).expect("it is about a run");
        if text.starts_with("id: ") {
            let (next, is_over) = self.places.get_mut(&run).expect("a run nobody asked for");
            assert!(!*is_over, "an event after the last one");
            *is_over = book.check_frame(run, *next, frame);
            *next += 1;
        } else if data["event"] == "replay.truncated" {
            let (next, _) = self.places.get_mut(&run).expect("a run nobody asked for");
            assert!(book.is_scarce && !book.is_durable && data["requested_seq"] == *next);
            *next = data["oldest_retained_seq"].as_u64().expect("a number");
        } else if data["status"] == "deleted" {
            assert!(book.may_be_forgotten(run), "{run} is not deleted");
            if let Some((_, is_over)) = self.places.get_mut(&run) {
                *is_over = true;
            }
        } else {
            assert!(data["event"] == "run.status" && data["session_id"].is_string());
        }
    }
}

/// Takes note of an answer that others can rely on.
fn note(ask: &Ask, status: u16, book: &mut Book) {
    let turn = book.turn;
    match (&ask.want, status) {
        (Want::Submit { number: Some(number), .. }, 400..) => {
            book.submitted[*number].is_refused = true;
        }
        (Want::Delete { run }, 200) => {
            let record = book.runs.get_mut(run).expect("a deleted run was known");
            record.gone_at = record.gone_at.or(Some(turn));
        }
        _ => {}
    }
}

/// A client has been told that there is this run.
fn promise(id: RunId, key: Option<&str>, book: &mut Book) {
    let record = book.made(id);
    record.is_promised = true;
    record.has_idempotency_key |= key.is_some();
    let Some(key) = key else { return };
    let first = *book.keys.entry(key.to_owned()).or_insert(id);
    // Whoever reads slowly may hear last of the one that was first.
    if first != id && !book.may_be_forgotten(id) {
        assert!(book.may_be_forgotten(first), "one key made two runs");
        book.keys.insert(key.to_owned(), id);
    }
}
