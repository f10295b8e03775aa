//! Runs as they lie in the file, read back.
use super::{grants, int, json, wall};
use crate::id::{RunId, RunNo};
use crate::record::{
    Answer, Idempotency, Lineage, Listed, Outcome, Record, Recovered, RunsPage, Status, Stored,
    Unfinished,
};
use crate::request::Request;
use crate::time::{Waited, Wall};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The columns of a `Record`, in the order `record` reads them.
const RECORD: &str = "no, id, owner, session_id, lineage, parent, created_at, model, instructions, \
                      idempotency_key, fingerprint, webhook";
/// When a run's last event happened, or it was created; and how many events it has.
const PROGRESS: &str = "\
    iif(finished_at IS NULL, max(updated_at, ifnull((SELECT at FROM events WHERE run = no \
      ORDER BY first_seq DESC LIMIT 1), 0)), updated_at) AS updated, \
    iif(finished_at IS NULL, ifnull((SELECT last_seq + 1 FROM events WHERE run = no \
      ORDER BY first_seq DESC LIMIT 1), 0), next_seq) AS reached";
const OUTCOME: &str = "started_at, usage, error, pending_steer, output";

/// What one run has come to.
pub fn run(db: &Connection, owner: &str, id: RunId) -> rusqlite::Result<Answer> {
    let sql = format!(
        "SELECT status, {PROGRESS}, {OUTCOME}, {RECORD} FROM runs WHERE id = ?1 AND owner = ?2"
    );
    let mut find = db.prepare_cached(&sql)?;
    find.query_row(params![id.to_string(), owner], stored).optional().map(Answer::Run)
}

/// The latest run with that key.
pub fn idempotent(
    db: &Connection,
    owner: &str,
    key: &str,
    since: Wall,
) -> rusqlite::Result<Answer> {
    let sql = format!(
        "SELECT status, {PROGRESS}, {OUTCOME}, {RECORD} FROM runs WHERE owner = ?1 \
         AND idempotency_key = ?2 AND created_at >= ?3 ORDER BY no DESC LIMIT 1"
    );
    let mut find = db.prepare_cached(&sql)?;
    find.query_row(params![owner, key, int(since.0)], stored).optional().map(Answer::Run)
}

/// A page of runs, the newest first.
pub fn list(
    db: &Connection,
    owner: &str,
    status: Option<Status>,
    session: Option<&str>,
    after: Option<RunId>,
    limit: usize,
) -> rusqlite::Result<Answer> {
    let by_status = status.map_or("?3 IS NULL", |_| "status = ?3");
    let by_session = session.map_or("?4 IS NULL", |_| "session_id = ?4");
    let sql = format!(
        "SELECT id, status, created_at, {PROGRESS}, session_id, model, preview, usage, error, \
         started_at \
         FROM runs WHERE owner = ?1 AND no < ?2 AND {by_status} AND {by_session} \
         ORDER BY no DESC LIMIT ?5"
    );
    let below = match after {
        Some(id) => number(db, owner, id)?.unwrap_or(i64::MAX),
        None => i64::MAX,
    };
    let more = int(limit as u64).saturating_add(1);
    let status = status.map(Status::name);
    let mut find = db.prepare_cached(&sql)?;
    let runs = find.query_map(params![owner, below, status, session, more], listed)?;
    let mut runs = runs.collect::<rusqlite::Result<Vec<_>>>()?;
    let has_more = runs.len() > limit;
    runs.truncate(limit);
    Ok(Answer::Runs(RunsPage { runs, has_more }))
}

/// The highest number ever given, the runs that had not ended, and leave that is remembered.
pub fn recover(db: &Connection) -> rusqlite::Result<Recovered> {
    let last_no = db.query_row(
        "SELECT max(value, ifnull((SELECT max(no) FROM runs), 0)) FROM numbers WHERE name = 'last_no'",
        [],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT status, {PROGRESS}, started_at, {RECORD} FROM runs WHERE finished_at IS NULL ORDER BY no"
    );
    let mut find = db.prepare(&sql)?;
    let unfinished = find.query_map([], |row| {
        let record = record(row, 4)?;
        let waited = waited(row, 3, record.created)?;
        let (updated, next_seq) = (wall(row, 1)?, row.get(2)?);
        let request = match status_of(row, 0)? {
            Status::Queued => Some(Arc::new(request(db, &record)?)),
            _ => None,
        };
        Ok(Unfinished { record: Arc::new(record), request, updated, waited, next_seq })
    })?;
    let unfinished = unfinished.collect::<rusqlite::Result<_>>()?;
    Ok(Recovered { last_no, unfinished, grants: grants::all(db)? })
}

/// What the run of `record` was asked.
fn request(db: &Connection, record: &Record) -> rusqlite::Result<Request> {
    let mut find = db.prepare_cached(
        "SELECT provider, model_options, input, history, budget FROM requests WHERE run = ?1",
    )?;
    find.query_row([int(record.no.0)], |row| {
        Ok(Request {
            run_id: record.id,
            session_id: record.session_id.to_string(),
            input: read(row, 2, json::content)?,
            history: read_optional(row, 3, json::messages)?.unwrap_or_default(),
            omitted: 0,
            instructions: record.instructions.as_deref().map(str::to_owned),
            model: record.model.as_deref().map(str::to_owned),
            provider: row.get(0)?,
            model_options: read_optional(row, 1, |text| serde_json::from_str(text).ok())?
                .unwrap_or_default(),
            budget: read_optional(row, 4, json::budget)?.unwrap_or_default(),
        })
    })
}

/// The number of a run with that id.
fn number(db: &Connection, owner: &str, id: RunId) -> rusqlite::Result<Option<i64>> {
    let mut find = db.prepare_cached("SELECT no FROM runs WHERE id = ?1 AND owner = ?2")?;
    find.query_row(params![id.to_string(), owner], |row| row.get(0)).optional()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Box<Stored>> {
    let status = status_of(row, 0)?;
    let outcome = Outcome {
        usage: read_optional(row, 4, json::usage)?,
        error: row.get(5)?,
        pending_steer: row.get(6)?,
        output: row.get(7)?,
    };
    let record = record(row, 8)?;
    Ok(Box::new(Stored {
        waited: waited(row, 3, record.created)?,
        record: Arc::new(record),
        status,
        updated: wall(row, 1)?,
        next_seq: row.get(2)?,
        outcome: status.is_finished().then(|| Arc::new(outcome)),
    }))
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let created = wall(row, 2)?;
    Ok(Listed {
        id: read(row, 0, RunId::parse)?,
        status: status_of(row, 1)?,
        created,
        waited: waited(row, 10, created)?,
        updated: wall(row, 3)?,
        session_id: row.get(5)?,
        model: row.get(6)?,
        preview: row.get(7)?,
        usage: read_optional(row, 8, json::usage)?,
        error: row.get(9)?,
    })
}

/// Reads the columns `RECORD` from `first` on.
fn record(row: &Row<'_>, first: usize) -> rusqlite::Result<Record> {
    let parent: Option<u64> = row.get(first + 5)?;
    let idempotency = match row.get(first + 9)? {
        Some(key) => {
            let hex = |text: &str| u128::from_str_radix(text, 16).ok();
            Some(Box::new(Idempotency { key, fingerprint: read(row, first + 10, hex)? }))
        }
        None => None,
    };
    let lineage = |name: &str| match (name, parent) {
        ("session", _) => Some(Lineage::Session),
        ("after", Some(no)) => Some(Lineage::After(RunNo(no))),
        // What it went on from is gone, and has left it its history.
        ("after" | "given", _) => Some(Lineage::Given),
        _ => None,
    };
    Ok(Record {
        no: RunNo(row.get(first)?),
        id: read(row, first + 1, RunId::parse)?,
        owner: row.get(first + 2)?,
        session_id: row.get(first + 3)?,
        lineage: read(row, first + 4, lineage)?,
        created: wall(row, first + 6)?,
        model: row.get(first + 7)?,
        instructions: row.get(first + 8)?,
        idempotency,
        webhook: read_optional(row, first + 11, json::webhook)?.map(Box::new),
    })
}

fn waited(row: &Row<'_>, column: usize, created: Wall) -> rusqlite::Result<Waited> {
    let began: Option<u64> = row.get(column)?;
    Ok(began.map_or(Waited::STILL, |began| Waited::between(created, Wall(began))))
}

fn status_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    read(row, column, Status::parse)
}

/// Reads a text that only this program writes, and no other way than `take` understands.
pub fn read<T>(
    row: &Row<'_>,
    column: usize,
    take: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    take(row.get_ref(column)?.as_str()?).ok_or_else(|| {
        let name = row.as_ref().column_name(column).unwrap_or("?");
        let error: BoxError = format!("`{name}` holds what was never written to it").into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    })
}

pub fn read_optional<T>(
    row: &Row<'_>,
    column: usize,
    take: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => read(row, column, take).map(Some),
    }
}
