//! What the tests of the durable store share: files that go, and runs in short.
use runwire::event::{Completed, Kind, Runtime, Usage};
use runwire::id::{RunId, RunNo};
use runwire::record::{
    Answer, Batch, EventsPage, Idempotency, Lineage, Outcome, Query, Record, Row, Status, Stored,
    Write,
};
use runwire::request::Request;
use runwire::store::{Sqlite, Store};
use runwire::time::Wall;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub const OWNER: &str = "someone";

/// A directory that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwire-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Where the tests keep their store.
    pub fn file(&self) -> PathBuf {
        self.0.join("runs.db")
    }

    pub fn open(&self) -> Sqlite {
        Sqlite::open(&self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

pub fn id(no: u64) -> RunId {
    RunId(u128::from(no) << 64 | 0x1234)
}

pub fn record(no: u64) -> Record {
    Record {
        no: RunNo(no),
        id: id(no),
        owner: OWNER.into(),
        session_id: id(no).to_string().into(),
        model: None,
        instructions: None,
        lineage: Lineage::Session,
        created: Wall(no * 1_000_000),
        idempotency: None,
        webhook: None,
    }
}

pub fn keyed(no: u64, key: &str) -> Record {
    let idempotency = Some(Box::new(Idempotency { key: key.into(), fingerprint: 7 }));
    Record { idempotency, ..record(no) }
}

pub fn create(record: Record) -> Write {
    let mut request = Request::text(record.id, &format!("question {}", record.no.0));
    request.session_id = record.session_id.to_string();
    Write::Create { record: record.into(), request: request.into(), status: Status::Running }
}

/// The JSON of one event as clients are sent it.
pub fn line(no: u64, seq: u64, event: &str, rest: &str) -> String {
    let (id, at) = (id(no), no as f64 + seq as f64 / 1e3);
    format!(r#"{{"event":"{event}","run_id":"{id}","timestamp":{at},"seq":{seq},{rest}}}"#) + "\n"
}

/// Deltas `first..end` as one row.
pub fn deltas(no: u64, first: u64, end: u64) -> Row {
    let line = |seq| line(no, seq, "message.delta", &format!(r#""delta":"piece {seq}""#));
    let lines = (first..end).map(line).collect();
    let at = Wall(no * 1_000_000 + end * 1000);
    Row { first_seq: first, last_seq: end - 1, at, event: "message.delta", lines }
}

/// An event of another kind, in a row of its own.
pub fn step(no: u64, seq: u64, event: &'static str, rest: &str) -> Row {
    let at = Wall(no * 1_000_000 + seq * 1000);
    Row { first_seq: seq, last_seq: seq, at, event, lines: line(no, seq, event, rest) }
}

pub fn said(no: u64, row: Row) -> Write {
    Write::Events { no: RunNo(no), rows: vec![row] }
}

/// The run's last event, `seq`, and its end.
pub fn complete(no: u64, seq: u64, at: Wall) -> [Write; 2] {
    let output = format!("answer {no}");
    let kind = Kind::Completed(Box::new(Completed {
        output: output.clone(),
        usage: Usage { input_tokens: 3, total_tokens: 3, ..Usage::default() },
        runtime: Runtime::default(),
        pending_steer: None,
    }));
    let last = step(no, seq, "run.completed", &format!(r#""output":"{output}""#));
    let outcome = Arc::new(Outcome::of(kind));
    let (no, status) = (RunNo(no), Status::Completed);
    [
        Write::Events { no, rows: vec![last] },
        Write::Finish { no, status, at, next_seq: seq + 1, outcome },
    ]
}

/// A whole run: `count` deltas and its end, a second after its creation.
pub fn whole(record: Record, count: u64) -> Vec<Write> {
    let (no, at) = (record.no.0, Wall(record.created.0 + 1_000_000));
    let mut writes = vec![create(record), said(no, deltas(no, 0, count))];
    writes.extend(complete(no, count, at));
    writes
}

pub fn batch(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch { writes: writes.into_iter().collect(), ..Batch::default() }
}

pub fn commit(store: &mut Sqlite, writes: impl IntoIterator<Item = Write>) {
    store.commit(&batch(writes)).unwrap();
}

pub fn run(store: &mut dyn Store, no: u64) -> Option<Stored> {
    match store.answer(&Query::Run { owner: OWNER.into(), id: id(no) }).unwrap() {
        Answer::Run(run) => run.map(|run| *run),
        other => panic!("a run was asked for, not {other:?}"),
    }
}

pub fn events_query(no: u64, from_seq: u64, bytes_max: usize) -> Query {
    Query::Events { no: RunNo(no), from_seq, bytes_max }
}

pub fn events(store: &mut dyn Store, no: u64, from_seq: u64, bytes_max: usize) -> EventsPage {
    match store.answer(&events_query(no, from_seq, bytes_max)).unwrap() {
        Answer::Events(page) => page,
        other => panic!("events were asked for, not {other:?}"),
    }
}

/// Everything a run has said, read in pages of `bytes_max`.
pub fn all_events(store: &mut dyn Store, no: u64, bytes_max: usize) -> String {
    let mut lines = String::new();
    let mut next_seq = 0;
    loop {
        let page = events(store, no, next_seq, bytes_max);
        if page.lines.is_empty() {
            return lines;
        }
        assert_eq!(page.first_seq, next_seq);
        next_seq += page.lines.lines().count() as u64;
        lines.push_str(&page.lines);
    }
}

/// Makes a file of what the system's own SQLite has written out of one as text.
pub fn load(file: &Path, dump: &str) {
    let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                   db.executescript(sys.stdin.read()); db.close()";
    let mut python = Command::new("python3");
    let mut python = python.arg("-c").arg(program).arg(file).stdin(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success());
}

/// What a person would be told who asked the file with the system's own SQLite: a line for each
/// row, its columns with `|` between them.
pub fn ask(file: &Path, sql: &str) -> String {
    let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                   rows = db.execute(sys.argv[2]).fetchall(); db.commit(); db.close(); \
                   print('\\n'.join('|'.join(str(it) for it in row) for row in rows))";
    let asked = Command::new("python3").arg("-c").arg(program).arg(file).arg(sql).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8(asked.stdout).unwrap().trim_end().to_owned()
}
