//! What clients ask, right and wrong, and which answers they may get.
use crate::book::{Book, Submitted};
use crate::random::Random;
use runwire::id::RunId;
use runwire::limits::STEERS_WAITING_MAX;
use runwire::wire::redact::Redact;

/// One request, and what is known about its answer.
#[derive(Clone)]
pub struct Ask {
    pub bytes: Vec<u8>,
    pub want: Want,
    pub head_only: bool,
    /// Offset at which the client waits for `100 Continue`; 0 if it does not.
    pub waits_at: usize,
    pub made_at_turn: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    Submit {
        key: Option<String>,
        /// What was submitted, unless under a key.
        number: Option<usize>,
    },
    /// A submission under a key that has made another run.
    Conflict {
        run: RunId,
    },
    BadCursor {
        run: RunId,
    },
    /// Events after one that a client was shown before the power went, and that is gone.
    Lost {
        run: RunId,
    },
    Delete {
        run: RunId,
    },
    DeleteSession,
    /// A list that must be there.
    List,
    /// Something of a session, which may not be there.
    Session,
    Events {
        run: RunId,
        after: Option<u64>,
        /// What the reader is not to be told of.
        redact: Redact,
    },
    /// Runs on one stream, each with the last event that was seen of it.
    Feed {
        places: Vec<(RunId, Option<u64>)>,
    },
    Status {
        run: RunId,
    },
    Stop {
        run: RunId,
    },
    Steer {
        run: RunId,
    },
    Approve {
        run: RunId,
    },
    Page,
    /// Something of a run that another key has made.
    Foreign,
    /// A request that must be refused with this status.
    Wrong(u16),
    /// A request that breaks off.
    Torso,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        write!(f, "{:?} {:?}", self.want, text.chars().take(300).collect::<String>())
    }
}

impl Ask {
    pub fn is_wrong(&self) -> bool {
        matches!(self.want, Want::Wrong(_) | Want::Torso)
    }

    /// True if `status` is a right answer, by all the world knows. `unlucky` says that the store
    /// would not be read for it.
    pub fn allows(&self, status: u16, book: &Book, unlucky: bool) -> bool {
        let failing = book.failing_at.is_some_and(|turn| turn >= self.made_at_turn);
        match (&self.want, status) {
            (_, 500) => unlucky,
            (Want::Wrong(wanted), _) => status == *wanted,
            (Want::Torso, _) => status == 400,
            (Want::Foreign, _) => status == 404,
            (Want::Page | Want::List, 200) | (Want::Session, 200 | 404) => true,
            (Want::Submit { .. } | Want::Conflict { .. }, 503) => book.draining,
            (Want::Submit { .. }, 202) => true,
            (Want::Submit { .. }, 507) => failing,
            (Want::Submit { number, .. }, 429) => self.may_be_full(*number, book),
            (Want::Submit { number: Some(number), .. }, 404) => {
                let previous = book.submitted[*number].previous;
                previous.is_some_and(|run| book.may_be_forgotten(run))
            }
            (Want::Conflict { .. }, 409) => true,
            (Want::Submit { key: Some(key), .. }, 409) => {
                // What came under that key was asked with another body since.
                book.keys.get(key).is_none_or(|run| book.may_be_forgotten(*run))
            }
            (Want::Conflict { run }, 202 | 429 | 507) => book.may_be_forgotten(*run),
            (Want::BadCursor { .. }, 400) => true,
            (Want::Lost { .. }, 400 | 204) => true,
            (Want::Status { run } | Want::Stop { run }, 200) => self.is_there(*run, book),
            (Want::Events { run, after, .. }, 200 | 204) => {
                let at_end = after.is_some() && book.runs[run].last_seq == *after;
                at_end == (status == 204) && self.is_there(*run, book)
            }
            (Want::Feed { places }, 200) => places.iter().all(|(run, _)| self.is_there(*run, book)),
            (Want::Feed { places }, 404) => {
                places.iter().any(|(run, _)| book.may_be_forgotten(*run))
            }
            (Want::Delete { run }, 200) => self.is_there(*run, book),
            (Want::Delete { run }, 409) => {
                let shown_at = book.runs[run].shown_end_at;
                shown_at.is_none_or(|turn| turn >= self.made_at_turn)
            }
            (Want::Delete { .. } | Want::DeleteSession, 507) => failing,
            (Want::DeleteSession, 200 | 404 | 409) => true,
            (Want::Approve { run }, 200) => !book.runs[run].requests().is_empty(),
            (Want::Approve { .. }, 409) => true,
            // The run has asked again meanwhile, for something that may be allowed only once.
            (Want::Approve { run }, 400) => {
                [&b"\"session\"}"[..], b"\"always\"}"].iter().any(|end| self.bytes.ends_with(end))
                    && book.runs[run].requests().iter().any(|request| !request.allow_permanent)
            }
            (Want::Steer { run }, _) if status != 404 => self.allows_steer(*run, status, book),
            (
                Want::Events { run, .. }
                | Want::Status { run }
                | Want::Stop { run }
                | Want::Steer { run }
                | Want::Approve { run }
                | Want::BadCursor { run }
                | Want::Lost { run }
                | Want::Delete { run },
                404,
            ) => book.may_be_forgotten(*run),
            _ => false,
        }
    }

    /// A run was not known to be gone when it was asked for.
    fn is_there(&self, run: RunId, book: &Book) -> bool {
        book.runs[&run].gone_at.is_none_or(|turn| turn >= self.made_at_turn)
    }

    fn may_be_full(&self, number: Option<usize>, book: &Book) -> bool {
        let submitted = number.map(|number| &book.submitted[number]);
        let alone = submitted.is_some_and(|it| it.session.is_none() && it.previous.is_none());
        // A run of a session may have to wait for another although there is room to work.
        let full_at = if alone { book.full_at } else { book.queue_full_at };
        full_at >= self.made_at_turn
    }

    fn allows_steer(&self, run: RunId, status: u16, book: &Book) -> bool {
        let record = &book.runs[&run];
        let waited = record.key.is_none() || record.started_at_turn >= self.made_at_turn;
        match status {
            200 => !record.steers.is_empty() || record.key.is_none(),
            409 => waited || record.is_leaving || record.ended_at.is_some() || book.draining,
            429 => record.steers.len() >= STEERS_WAITING_MAX || record.key.is_none(),
            _ => false,
        }
    }
}

/// Sessions that clients share.
const SESSIONS: [&str; 3] = ["s0", "s1", "s2"];
/// The one that is deleted now and then.
const DOOMED_SESSION: &str = "s9";

/// The secret of a key that makes no runs.
pub const OTHER_SECRET: &str = "the-secret-of-another";

/// How this client writes its requests.
pub struct Hand {
    pub old: bool,
    pub keep_alive: bool,
    pub secret: bool,
    /// The time on the wall, in seconds.
    pub wall_s: u64,
}

impl Hand {
    fn head(&self, method: &str, path: &str, extra: &str) -> String {
        let version = if self.old { "1.0" } else { "1.1" };
        let host = if self.old { "" } else { "Host: localhost:8642\r\n" };
        let connection = match (self.old, self.keep_alive) {
            (true, true) => "Connection: keep-alive\r\n",
            (false, false) => "Connection: close\r\n",
            _ => "",
        };
        let is_foreign = extra.starts_with("Authorization");
        let secret = self.secret && !is_foreign;
        let secret = if secret { "Authorization: bearer secret\r\n" } else { "" };
        format!("{method} {path} HTTP/{version}\r\n{host}{connection}{secret}{extra}\r\n")
    }

    fn ask(&self, book: &Book, head: String, want: Want) -> Ask {
        let (bytes, made_at_turn) = (head.into_bytes(), book.turn);
        Ask { bytes, want, head_only: false, waits_at: 0, made_at_turn }
    }

    pub fn page(&self, book: &Book, random: &mut Random) -> Ask {
        let paths = [
            "/health",
            "/v1/models",
            "/v1/capabilities",
            "/health/detailed",
            "/metrics",
            "/v1/approvals",
            "/v1/approvals/grants",
        ];
        let head_only = random.once_in(4);
        let method = if head_only { "HEAD" } else { "GET" };
        let head = self.head(method, random.pick(&paths), "");
        Ask { head_only, ..self.ask(book, head, Want::Page) }
    }

    pub fn submit(&self, book: &mut Book, random: &mut Random) -> Ask {
        let key = random.once_in(4).then(|| random.below(3));
        let mut extra = "Content-Type: application/json\r\n".to_owned();
        let (fields, want) = match key {
            Some(key) => {
                let name = format!("key-{key}");
                extra += &format!("Idempotency-Key: {name}\r\n");
                // One key always comes with one body; what follows from another is asked on
                // purpose.
                let session =
                    if key == 0 || book.is_simple { "" } else { ",\"session_id\":\"s0\"" };
                let fields = format!("\"input\":\"{name}\"{session}");
                (fields, Want::Submit { key: Some(name), number: None })
            }
            None => {
                let (fields, number) = submission(book, &mut extra, random);
                (fields, Want::Submit { key: None, number: Some(number) })
            }
        };
        let body = format!("{{{fields}}}");
        let waits = !self.old && random.once_in(6);
        if waits {
            extra += "Expect: 100-continue\r\n";
        }
        let (framing, payload) = if !self.old && random.once_in(2) {
            ("Transfer-Encoding: chunked\r\n".to_owned(), chunked(body.as_bytes(), random))
        } else {
            (format!("Content-Length: {}\r\n", body.len()), body.into_bytes())
        };
        let head = self.head("POST", "/v1/runs", &(extra + &framing));
        let waits_at = if waits { head.len() } else { 0 };
        let mut ask = self.ask(book, head, want);
        ask.bytes.extend_from_slice(&payload);
        Ask { waits_at, ..ask }
    }

    /// A key that has made a run, with a body that did not.
    pub fn conflict(&self, book: &Book) -> Option<Ask> {
        let (key, run) = book.keys.first_key_value()?;
        let extra = format!(
            "Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: 13\r\n"
        );
        let head = self.head("POST", "/v1/runs", &extra) + "{\"input\":\"x\"}";
        (!book.draining).then(|| self.ask(book, head, Want::Conflict { run: *run }))
    }

    pub fn delete(&self, book: &mut Book, run: RunId) -> Ask {
        book.runs.get_mut(&run).expect("the caller knows it").is_doomed = true;
        let head = self.head("DELETE", &format!("/v1/runs/{run}"), "");
        self.ask(book, head, Want::Delete { run })
    }

    pub fn list(&self, book: &mut Book, random: &mut Random) -> Ask {
        let session = random.pick(&SESSIONS);
        let api = random.pick(&["v1", "api"]);
        let (method, path, want) = match random.below(8) {
            0 => ("GET", "/v1/runs".to_owned(), Want::List),
            1 => ("GET", "/v1/runs?status=running&limit=3".to_owned(), Want::List),
            2 => ("GET", format!("/v1/runs?session_id={session}"), Want::List),
            3 => ("GET", format!("/{api}/sessions?limit=2"), Want::List),
            4 => ("GET", format!("/{api}/sessions/{session}"), Want::Session),
            5 | 6 => ("GET", format!("/{api}/sessions/{session}/messages"), Want::Session),
            _ => {
                let session = DOOMED_SESSION;
                book.doomed_sessions.insert(session.to_owned());
                ("DELETE", format!("/{api}/sessions/{session}"), Want::DeleteSession)
            }
        };
        let head = self.head(method, &path, "");
        self.ask(book, head, want)
    }

    /// Events from the start, or from some place somebody has already read up to.
    pub fn events(&self, book: &Book, run: RunId, random: &mut Random) -> Ask {
        let seen = book.runs[&run].frames_seen();
        let after = (seen > 0 && random.once_in(2)).then(|| random.below(seen));
        let path = format!("/v1/runs/{run}/events");
        let head_only = random.once_in(12);
        let method = if head_only { "HEAD" } else { "GET" };
        if self.secret && random.once_in(3) {
            return Ask { head_only, ..self.redacted_events(book, method, run, after, random) };
        }
        let head = match after {
            None if random.once_in(2) => self.head(method, &format!("{path}?last_seq=-1"), ""),
            None => self.head(method, &path, ""),
            Some(seq) if random.once_in(3) => {
                self.head(method, &format!("{path}?a=b&last_seq={seq}"), "")
            }
            // The header wins.
            Some(seq) => {
                let path = format!("{path}?last_seq=junk");
                self.head(method, &path, &format!("Last-Event-ID: {seq}\r\n"))
            }
        };
        Ask {
            head_only,
            ..self.ask(book, head, Want::Events { run, after, redact: Redact::NOTHING })
        }
    }

    /// Up to four runs on one stream, each from the start or from some place somebody has read up
    /// to, and often what becomes of all.
    pub fn feed(&self, book: &Book, random: &mut Random) -> Ask {
        let known = book.known();
        let mut places: Vec<(RunId, Option<u64>)> = Vec::new();
        for _ in 0..random.below(5) {
            let run = known[random.index(known.len())];
            let seen = book.runs[&run].frames_seen();
            let after = (seen > 0 && random.once_in(2)).then(|| random.below(seen));
            if places.iter().all(|(known, _)| *known != run) {
                places.push((run, after));
            }
        }
        let cursor = |after: Option<u64>| after.map_or("".to_owned(), |seq| format!(":{seq}"));
        let runs = places.iter().map(|(run, after)| format!("{run}{}", cursor(*after)));
        let runs = runs.collect::<Vec<_>>().join(",");
        let watch = if places.is_empty() || random.once_in(2) { "watch=runs&" } else { "" };
        let head = self.head("GET", &format!("/v1/events?{watch}runs={runs}"), "");
        self.ask(book, head, Want::Feed { places })
    }

    /// The same with a token, from which some kinds of events are left out.
    #[cfg(feature = "tokens")]
    fn redacted_events(
        &self,
        book: &Book,
        method: &str,
        run: RunId,
        after: Option<u64>,
        random: &mut Random,
    ) -> Ask {
        use runwire::wire::token::{Claims, Verb, mint};
        let (tools, reasoning) = random.pick(&[(true, false), (false, true), (true, true)]);
        let redact = Redact { tools, reasoning, ..Redact::NOTHING };
        let (key, exp) = ("default".to_owned(), self.wall_s + 86_000);
        let token = mint(b"secret", &Claims { key, run, exp, verbs: vec![Verb::Watch], redact });
        let cursor = after.map(|seq| format!("&last_seq={seq}")).unwrap_or_default();
        let path = format!("/v1/runs/{run}/events?token={token}{cursor}");
        let hand = Hand { secret: false, ..*self };
        let head = hand.head(method, &path, "");
        self.ask(book, head, Want::Events { run, after, redact })
    }

    /// Without tokens everyone is told everything.
    #[cfg(not(feature = "tokens"))]
    fn redacted_events(
        &self,
        book: &Book,
        method: &str,
        run: RunId,
        after: Option<u64>,
        _: &mut Random,
    ) -> Ask {
        assert!(self.wall_s > 0);
        let cursor = after.map(|seq| format!("?last_seq={seq}")).unwrap_or_default();
        let head = self.head(method, &format!("/v1/runs/{run}/events{cursor}"), "");
        self.ask(book, head, Want::Events { run, after, redact: Redact::NOTHING })
    }

    /// What a reader asks that comes back to another process.
    pub fn resume(&self, book: &Book, run: RunId, after: Option<u64>, is_lost: bool) -> Ask {
        let extra = after.map(|seq| format!("Last-Event-ID: {seq}\r\n")).unwrap_or_default();
        let head = self.head("GET", &format!("/v1/runs/{run}/events"), &extra);
        let redact = Redact::NOTHING;
        let want = if is_lost { Want::Lost { run } } else { Want::Events { run, after, redact } };
        self.ask(book, head, want)
    }

    pub fn all_events(&self, book: &Book, run: RunId) -> Ask {
        let head = self.head("GET", &format!("/v1/runs/{run}/events"), "");
        self.ask(book, head, Want::Events { run, after: None, redact: Redact::NOTHING })
    }

    pub fn status(&self, book: &Book, run: RunId) -> Ask {
        let head = self.head("GET", &format!("/v1/runs/{run}"), "");
        self.ask(book, head, Want::Status { run })
    }

    pub fn stop(&self, book: &Book, run: RunId) -> Ask {
        let head = self.head("POST", &format!("/v1/runs/{run}/stop"), "Content-Length: 0\r\n");
        self.ask(book, head, Want::Stop { run })
    }

    pub fn steer(&self, book: &mut Book, run: RunId, random: &mut Random) -> Ask {
        book.steers_made += 1;
        let field = random.pick(&["input", "message", "text"]);
        let number = book.steers_made;
        let body = format!("{{\"{field}\":\"no {number}\",\"interrupt\":{}}}", random.once_in(2));
        let extra = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let head = self.head("POST", &format!("/v1/runs/{run}/steer"), &extra) + &body;
        self.ask(book, head, Want::Steer { run })
    }

    /// A decision about what a run has asked for last, or long ago, or about whatever waits. All may
    /// be once: only what can be remembered may be allowed for longer.
    pub fn approve(&self, book: &Book, run: RunId, random: &mut Random) -> Ask {
        let requests = book.runs[&run].requests();
        let may_last = requests.iter().all(|request| request.allow_permanent);
        let choices = ["once", "deny", "approve", "Allow", "session", "always", "always"];
        let choice = random.pick(&choices[..if may_last && !requests.is_empty() { 7 } else { 4 }]);
        let request = match random.below(4) {
            0 => None,
            1 => requests.first(),
            _ => requests.last(),
        };
        let fields = request.map(|request| format!(",\"request_id\":\"{}\"", request.request_id));
        let body = format!("{{\"choice\":\"{choice}\"{}}}", fields.unwrap_or_default());
        let extra = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let head = self.head("POST", &format!("/v1/runs/{run}/approval"), &extra) + &body;
        self.ask(book, head, Want::Approve { run })
    }

    pub fn bad_cursor(&self, book: &Book, run: RunId, random: &mut Random) -> Ask {
        let cursor = random.pick(&["x", "1e3", "-2", "99999999", "99999999999999999999"]);
        let extra = format!("Last-Event-ID: {cursor}\r\n");
        let head = self.head("GET", &format!("/v1/runs/{run}/events"), &extra);
        self.ask(book, head, Want::BadCursor { run })
    }

    /// Whatever is asked of a run by a key that has not made it.
    pub fn foreign(&self, book: &Book, run: RunId, random: &mut Random) -> Ask {
        let (method, path) = random.pick(&[
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/events?last_seq=0"),
            ("POST", "/stop"),
            ("POST", "/steer"),
            ("DELETE", ""),
        ]);
        let key = format!("Authorization: Bearer {OTHER_SECRET}\r\n");
        let head = self.head(method, &format!("/v1/runs/{run}{path}"), &key);
        self.ask(book, head, Want::Foreign)
    }

    /// Requests whose refusal depends on nothing but themselves.
    pub fn wrong(&self, book: &Book, random: &mut Random) -> Ask {
        let json = "Content-Type: application/json\r\n";
        let open = if self.secret { "Authorization: Bearer secret\r\n" } else { "" };
        let long = "x".repeat(9_000);
        let (status, text) = match random.below(12) {
            0 => (400, "GET / HTTP/1.1\nHost: localhost\n\n".to_owned()),
            1 => (400, "\u{16}\u{3}\u{1}".to_owned()),
            2 => (404, self.head("GET", "/nope", "")),
            3 => (405, self.head("DELETE", "/v1/runs", "")),
            4 => (415, self.head("POST", "/v1/runs", "Content-Length: 2\r\n") + "{}"),
            5 => {
                let both = "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n";
                (400, self.head("POST", "/v1/runs", &format!("{json}{both}")) + "{}")
            }
            6 => (421, format!("GET /health HTTP/1.1\r\nHost: evil.example\r\n{open}\r\n")),
            7 => (403, self.head("GET", "/health", "Origin: https://evil.example\r\n")),
            8 => (414, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            9 => (431, self.head("GET", "/", &format!("A: {long}\r\nB: {long}\r\n"))),
            10 => (413, self.head("POST", "/v1/runs", &format!("{json}Content-Length: 20000\r\n"))),
            _ if self.old => (404, self.head("GET", "/nope", "")),
            _ => {
                let framing = format!("{json}Transfer-Encoding: chunked\r\n");
                (400, self.head("POST", "/v1/runs", &framing) + "2\r\n{}\n\n0\r\n\r\n")
            }
        };
        self.ask(book, text, Want::Wrong(status))
    }

    /// A request that breaks off before its end.
    pub fn torso(&self, book: &mut Book, random: &mut Random) -> Ask {
        let whole = self.submit(book, random);
        let cut = 1 + random.index(whole.bytes.len() - 1);
        let head = String::from_utf8_lossy(&whole.bytes).into_owned();
        let head = head.chars().take(cut.min(60)).collect();
        self.ask(book, head, Want::Torso)
    }
}

/// What a client may want, in all its ways; returns the fields of its body and its number.
fn submission(book: &mut Book, extra: &mut String, random: &mut Random) -> (String, usize) {
    let mut submitted = Submitted::default();
    let number = book.submitted.len();
    let size = random.pick(&[1, 5, 40, 600, 9_000]);
    let mut fields = format!("\"input\":\"n{number} {}\"", "é".repeat(size));
    let runs: Vec<RunId> = book.known();
    let conversations = !book.is_simple;
    if conversations && random.once_in(2) {
        let name = match random.below(8) {
            // A run that is a session of its own may be gone on with as one.
            0 if !runs.is_empty() => random.pick(&runs).to_string(),
            1 => DOOMED_SESSION.to_owned(),
            _ => random.pick(&SESSIONS).to_owned(),
        };
        if random.once_in(2) {
            fields += &format!(",\"session_id\":\"{name}\"");
        } else {
            *extra += &format!("X-Hermes-Session-Id: {name}\r\n");
        }
        submitted.session = Some(name);
    }
    if conversations && !runs.is_empty() && random.once_in(4) {
        let run = random.pick(&runs);
        let name = if random.once_in(2) { run.to_string() } else { run.response_id() };
        fields += &format!(",\"previous_response_id\":\"{name}\"");
        submitted.previous = Some(run);
    }
    if conversations && random.once_in(8) {
        fields += &format!(",\"conversation_history\":[{}]", said_before(number));
        submitted.history = Some(vec![format!("given to {number}")]);
        submitted.previous = None;
    }
    book.submitted.push(submitted);
    (fields, number)
}

fn said_before(number: usize) -> String {
    format!("{{\"role\":\"user\",\"content\":\"given to {number}\"}}")
}

fn chunked(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(1 + random.index(rest.len()));
        let extension = if random.once_in(4) { ";name=\"value\"" } else { "" };
        out.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        rest = left;
    }
    let trailer = if random.once_in(4) { "Digest: none\r\n" } else { "" };
    out.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    out
}
