//! A desk in front of a store: writes as the server would, and asks.
use crate::Open;
use runwire::event::{
    Cancelled, Completed, Delta, Event, Interim, Interrupted, Kind, Runtime, Steered,
    ToolCompleted, ToolStarted, Usage,
};
use runwire::id::{Key, RunId, RunKey, RunNo};
use runwire::record::{
    Answer, Batch, History, Idempotency, Lineage, MessagesPage, Outcome, Query, Record, Recovered,
    Row, RunsPage, SessionListed, SessionsPage, Status, Stored, Write,
};
use runwire::request::{Content, Message, Request};
use runwire::store::{Reader, Store};
use runwire::time::Wall;
use runwire::wire::sse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const ANN: &str = "ann";
pub const BOB: &str = "bob";

pub struct Desk {
    open: Open,
    folder: PathBuf,
    store: Option<Box<dyn Store>>,
    reader: Option<Box<dyn Reader>>,
    batches: u64,
    now: u64,
    last_no: u64,
    next_seq: BTreeMap<RunNo, u64>,
}

/// A run that was made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    pub no: RunNo,
    pub id: RunId,
}

/// What a run is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub owner: &'static str,
    pub session: Option<String>,
    pub lineage: Lineage,
    pub history: Vec<Message>,
    pub input: Content,
    pub key: Option<&'static str>,
}

/// What Ann asks without a word on where it belongs.
pub fn asked(input: &str) -> Asked {
    Asked {
        owner: ANN,
        session: None,
        lineage: Lineage::Session,
        history: Vec::new(),
        input: Content::Text(input.to_owned()),
        key: None,
    }
}

impl Asked {
    pub fn by(self, owner: &'static str) -> Asked {
        Asked { owner, ..self }
    }

    pub fn in_session(self, id: &str) -> Asked {
        Asked { session: Some(id.to_owned()), ..self }
    }

    pub fn after(self, run: Made) -> Asked {
        Asked { lineage: Lineage::After(run.no), ..self }
    }

    pub fn given(self, texts: &[&str]) -> Asked {
        let texts = texts.iter().map(|text| Content::Text((*text).to_owned()));
        let history = texts.map(|text| Message::new("user", text)).collect();
        Asked { lineage: Lineage::Given, history, ..self }
    }

    pub fn keyed(self, key: &'static str) -> Asked {
        Asked { key: Some(key), ..self }
    }
}

impl Desk {
    pub fn new(open: Open) -> Desk {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwire-store-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut desk = Desk {
            open,
            folder,
            store: None,
            reader: None,
            batches: 0,
            now: 1_800_000_000_000_000,
            last_no: 0,
            next_seq: BTreeMap::new(),
        };
        assert_eq!(desk.reopen(), Recovered::default(), "a new store is empty");
        desk
    }

    /// Leaves the store and comes back to it, as a server that starts again.
    pub fn reopen(&mut self) -> Recovered {
        self.reader = None;
        self.store = None;
        let store = self.store.insert((self.open)(&self.folder));
        let recovered = store.recover().unwrap();
        self.reader = store.hands().unwrap().map(|hands| hands.reader);
        recovered
    }

    pub fn name(&self) -> &'static str {
        self.store().name()
    }

    pub fn is_durable(&self) -> bool {
        self.store().is_durable()
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is open between reopenings")
    }

    /// When the last thing happened.
    pub fn time(&self) -> Wall {
        Wall(self.now)
    }

    /// The number of the last run.
    pub fn last_no(&self) -> u64 {
        self.last_no
    }

    pub fn tick(&mut self) -> Wall {
        self.now += 1_500;
        Wall(self.now)
    }

    pub fn write(&mut self, writes: Vec<Write>) {
        self.batches += 1;
        let batch = Batch { number: self.batches, writes, sync: true, is_retry: false };
        self.store.as_mut().expect("it is open").commit(&batch).unwrap();
    }

    /// Every hand the store has must give the same answer.
    pub fn ask(&mut self, query: &Query) -> Answer {
        let answer = self.store.as_mut().expect("it is open").answer(query).unwrap();
        if let Some(reader) = &mut self.reader {
            assert_eq!(reader.answer(query).unwrap(), answer, "{query:?} of another hand");
        }
        answer
    }

    /// A run that works.
    pub fn begin(&mut self, asked: Asked) -> Made {
        self.create(asked, Status::Running)
    }

    /// A run that waits.
    pub fn queue(&mut self, asked: Asked) -> Made {
        self.create(asked, Status::Queued)
    }

    fn create(&mut self, asked: Asked, status: Status) -> Made {
        let (record, request) = self.prepare(asked);
        let made = Made { no: record.no, id: record.id };
        self.write(vec![Write::Create { record, request, status }]);
        made
    }

    /// The next run, not yet written.
    pub fn prepare(&mut self, asked: Asked) -> (Arc<Record>, Arc<Request>) {
        self.last_no += 1;
        let no = RunNo(self.last_no);
        // Ids must not be in the order of numbers.
        let id = RunId(u128::from(no.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let mut request = Request::text(id, "");
        request.input = asked.input;
        request.history = asked.history;
        request.model = no.0.is_multiple_of(2).then(|| "model-x".to_owned());
        request.instructions = no.0.is_multiple_of(3).then(|| "Be brief.".to_owned());
        request.session_id = asked.session.unwrap_or(id.to_string());
        let record = Record {
            no,
            id,
            owner: asked.owner.into(),
            session_id: request.session_id.as_str().into(),
            model: request.model.as_deref().map(Box::from),
            instructions: request.instructions.as_deref().map(Box::from),
            lineage: asked.lineage,
            created: self.tick(),
            idempotency: asked.key.map(|key| {
                let fingerprint = u128::MAX - u128::from(no.0);
                Box::new(Idempotency { key: key.into(), fingerprint })
            }),
            webhook: None,
        };
        (Arc::new(record), Arc::new(request))
    }

    /// A queued run begins.
    pub fn start(&mut self, run: Made) {
        let at = self.tick();
        self.write(vec![Write::Begin { no: run.no, at }]);
    }

    pub fn say(&mut self, run: Made, kinds: Vec<Kind>) {
        let rows = self.rows(run, kinds);
        self.write(vec![Write::Events { no: run.no, rows }]);
    }

    /// The rows a server makes of what a run says next, in one batch.
    pub fn rows(&mut self, run: Made, kinds: Vec<Kind>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for kind in kinds {
            let (at, seq) = (self.tick(), self.next_seq.entry(run.no).or_default());
            let is_delta = matches!(kind, Kind::MessageDelta(_) | Kind::ReasoningDelta(_));
            let (event, lines) = (kind.name(), line(run.id, *seq, at, kind));
            match rows.last_mut() {
                Some(last) if is_delta && last.event == event => {
                    last.last_seq = *seq;
                    last.at = at;
                    last.lines.push_str(&lines);
                }
                _ => rows.push(Row { first_seq: *seq, last_seq: *seq, at, event, lines }),
            }
            *seq += 1;
        }
        if !self.is_durable() {
            rows.retain(|row| !row.event.ends_with(".delta"));
        }
        rows
    }

    /// Says a run's last word.
    pub fn finish(&mut self, run: Made, kind: Kind) {
        let (no, status) = (run.no, Status::after(&kind).expect("a terminal event"));
        let outcome = Arc::new(Outcome::of(kind.clone()));
        let rows = self.rows(run, vec![kind]);
        let (at, next_seq) = (Wall(self.now), self.next_seq[&no]);
        let finish = Write::Finish { no, status, at, next_seq, outcome };
        self.write(vec![Write::Events { no, rows }, finish]);
    }

    /// A whole run that answers at once.
    pub fn whole(&mut self, asked: Asked, answer: &str) -> Made {
        let run = self.begin(asked);
        self.say(run, vec![delta(answer)]);
        self.finish(run, completed(answer));
        run
    }

    pub fn delete(&mut self, run: Made) {
        self.write(vec![Write::Delete { no: run.no }]);
    }

    pub fn delete_session(&mut self, owner: &str, id: &str) {
        self.write(vec![Write::DeleteSession { owner: owner.into(), id: id.into() }]);
    }

    pub fn run(&mut self, owner: &str, id: RunId) -> Option<Stored> {
        match self.ask(&Query::Run { owner: owner.into(), id }) {
            Answer::Run(run) => run.map(|run| *run),
            other => panic!("{other:?}"),
        }
    }

    pub fn runs(&mut self, query: &Query) -> RunsPage {
        match self.ask(query) {
            Answer::Runs(page) => page,
            other => panic!("{other:?}"),
        }
    }

    pub fn history(&mut self, run: Made, bytes_max: usize) -> History {
        match self.ask(&Query::History { no: run.no, bytes_max }) {
            Answer::History(history) => history,
            other => panic!("{other:?}"),
        }
    }

    /// All that a run goes on with, a message to a line.
    pub fn told(&mut self, run: Made) -> Vec<String> {
        let history = self.history(run, usize::MAX);
        assert_eq!(history.omitted, 0);
        shown(&history.messages)
    }

    pub fn sessions(&mut self, owner: &str, limit: usize, offset: usize) -> SessionsPage {
        match self.ask(&Query::Sessions { owner: owner.into(), limit, offset }) {
            Answer::Sessions(page) => page,
            other => panic!("{other:?}"),
        }
    }

    pub fn session(&mut self, owner: &str, id: &str) -> Option<SessionListed> {
        match self.ask(&Query::Session { owner: owner.into(), id: id.into() }) {
            Answer::Session(session) => session.map(|session| *session),
            other => panic!("{other:?}"),
        }
    }

    pub fn messages(
        &mut self,
        owner: &str,
        id: &str,
        limit: usize,
        offset: usize,
        latest: bool,
    ) -> Option<MessagesPage> {
        let (owner, id) = (owner.into(), id.into());
        match self.ask(&Query::Messages { owner, id, limit, offset, latest }) {
            Answer::Messages(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// All that was said in a session, a message to a line.
    pub fn conversation(&mut self, owner: &str, id: &str) -> Option<Vec<String>> {
        let page = self.messages(owner, id, usize::MAX >> 1, 0, false)?;
        assert!(!page.has_more);
        let messages: Vec<Message> = page.messages.into_iter().map(|said| said.message).collect();
        Some(shown(&messages))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.reader = None;
        self.store = None;
        // What is left behind in a folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An event as a row has it.
pub fn line(run: RunId, seq: u64, at: Wall, kind: Kind) -> String {
    let run_key = RunKey(Key { slot: 0, generation: 0 });
    let mut frame = Vec::new();
    sse::frame(&mut frame, run, &Event { run: run_key, seq, at, kind });
    let frame = String::from_utf8(frame).unwrap();
    let (_, data) = frame.split_once("data: ").expect("a frame has data");
    data.trim_end().to_owned() + "\n"
}

/// Messages as a person would note them down.
pub fn shown(messages: &[Message]) -> Vec<String> {
    let calls = |message: &Message| -> String {
        let calls = message.calls.iter();
        calls.map(|call| format!(" <{} {} {}>", call.id, call.name, call.arguments)).collect()
    };
    let note = |message: &Message| {
        let call_id = message.call_id.iter().map(|id| format!(" {id}")).collect::<String>();
        format!("{}{call_id}: {}{}", message.role, message.content.to_text(), calls(message))
    };
    messages.iter().map(note).collect()
}

pub fn delta(text: &str) -> Kind {
    Kind::MessageDelta(Delta { delta: text.to_owned() })
}

pub fn interim(text: &str) -> Kind {
    Kind::MessageInterim(Interim { text: text.to_owned(), already_streamed: true })
}

pub fn started(call_id: &str, tool: &str) -> Kind {
    Kind::ToolStarted(Box::new(ToolStarted {
        tool: tool.to_owned(),
        preview: String::new(),
        tool_call_id: call_id.to_owned(),
        args: serde_json::json!({ "of": call_id }),
    }))
}

pub fn ended(call_id: &str, error: bool, result: &str) -> Kind {
    Kind::ToolCompleted(Box::new(ToolCompleted {
        tool: "terminal".to_owned(),
        duration: 0.25,
        error,
        preview: String::new(),
        tool_call_id: call_id.to_owned(),
        result: result.to_owned(),
    }))
}

pub fn steered(text: &str) -> Kind {
    Kind::Steered(Box::new(Steered { accepted: true, text: text.to_owned(), interrupt: false }))
}

pub const USAGE: Usage = Usage {
    input_tokens: 11,
    output_tokens: 22,
    total_tokens: 33,
    cache_read_tokens: 4,
    cache_write_tokens: 5,
};

pub fn completed(output: &str) -> Kind {
    Kind::Completed(Box::new(Completed {
        output: output.to_owned(),
        usage: USAGE,
        runtime: Runtime { provider: "agent".to_owned(), model: "m".to_owned() },
        pending_steer: None,
    }))
}

pub fn failed(error: &str) -> Kind {
    Kind::Failed(Box::new(runwire::event::Failed {
        error: error.to_owned(),
        reason: "agent_error",
        budget: None,
        usage: USAGE,
        output: Some("half an ans".to_owned()),
        pending_steer: Some("too late".to_owned()),
    }))
}

pub fn cancelled(output: Option<&str>) -> Kind {
    let output = output.map(str::to_owned);
    Kind::Cancelled(Box::new(Cancelled { usage: USAGE, output, pending_steer: None }))
}

pub fn interrupted() -> Kind {
    let error = "the server stopped".to_owned();
    Kind::Interrupted(Box::new(Interrupted { error, pending_steer: None }))
}
