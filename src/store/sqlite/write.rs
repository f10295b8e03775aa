//! What a batch does to the file.
use super::delete;
use super::said;
use super::tails::Tails;
use super::{grants, hooks};
use super::{int, json};
use crate::id::RunNo;
use crate::record::{Lineage, Outcome, Record, Row, Status, Write};
use crate::request::Request;
use crate::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

/// Does `write`, within the caller's transaction.
pub fn apply(db: &Connection, tails: &mut Tails, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Create { record, request, status } => create(db, record, request, *status),
        Write::Begin { no, at } => begin(db, *no, *at),
        Write::Events { no, rows } => rows.iter().try_for_each(|row| say(db, tails, *no, row)),
        Write::Finish { no, status, at, next_seq, outcome } => {
            tails.forget(*no);
            finish(db, *no, *status, *at, *next_seq, outcome)
        }
        Write::Delete { no } => {
            hooks::of_run(db, *no)?;
            delete::run(db, *no, &mut delete::EVENTS_STEP_MAX.clone())
        }
        Write::DeleteSession { owner, id } => {
            hooks::of_session(db, owner, id)?;
            delete::session(db, owner, id)
        }
        Write::Grant(grant) => grants::add(db, grant),
        Write::Revoke { id } => grants::revoke(db, *id),
        Write::Hook(delivery) => hooks::add(db, delivery),
        Write::HookLater { id, tries, due } => hooks::later(db, *id, *tries, *due),
        Write::HookDone { id } => hooks::done(db, *id),
        Write::Probe => probe(db),
    }
}

fn create(
    db: &Connection,
    record: &Record,
    request: &Request,
    status: Status,
) -> rusqlite::Result<()> {
    if !record.is_own_session() {
        use_session(db, record)?;
    }
    let (lineage, parent) = match record.lineage {
        Lineage::Given => ("given", None),
        Lineage::After(no) => ("after", existing(db, no)?),
        Lineage::Session if status == Status::Queued => ("session", None),
        Lineage::Session => ("session", head(db, &record.owner, &record.session_id)?),
    };
    let idempotency = record.idempotency.as_ref();
    db.prepare_cached(
        "INSERT INTO runs (no, id, owner, session_id, status, created_at, updated_at, lineage, \
         parent, next_seq, messages, idempotency_key, fingerprint, model, preview, instructions, \
         webhook, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, 0, 0, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        int(record.no.0),
        record.id.to_string(),
        &*record.owner,
        &*record.session_id,
        status.name(),
        int(record.created.0),
        lineage,
        parent,
        idempotency.map(|it| &*it.key),
        idempotency.map(|it| format!("{:032x}", it.fingerprint)),
        record.model.as_deref(),
        request.input.preview(),
        record.instructions.as_deref(),
        record.webhook.as_deref().map(json::of_webhook),
        (status != Status::Queued).then(|| int(record.created.0)),
    ])?;
    ask(db, record.no, request)
}

fn ask(db: &Connection, no: RunNo, request: &Request) -> rusqlite::Result<()> {
    let options = &request.model_options;
    let options = (!options.is_empty())
        .then(|| serde_json::to_string(options).expect("JSON values are always JSON"));
    let history = (!request.history.is_empty()).then(|| json::of_messages(&request.history));
    db.prepare_cached(
        "INSERT INTO requests (run, given, provider, model_options, input, history, budget) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        int(no.0),
        int(request.history.len() as u64),
        request.provider,
        options,
        json::of_content(&request.input),
        history,
        json::of_budget(&request.budget),
    ])?;
    Ok(())
}

/// Makes the row of the record's session, or notes that it is used again. Where a run was a session
/// of its own, that run is what the session has come to.
fn use_session(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO sessions (owner, id, created_at, updated_at, head) \
         SELECT ?1, ?2, ifnull(min(created_at), ?3), max(ifnull(max(updated_at), 0), ?3), \
         max(iif(finished_at IS NOT NULL AND next_seq > 1, no, NULL)) \
         FROM runs WHERE id = ?2 AND owner = ?1 AND session_id = ?2 \
         ON CONFLICT DO UPDATE SET updated_at = max(updated_at, ?3)",
    )?
    .execute(params![&*record.owner, &*record.session_id, int(record.created.0)])?;
    Ok(())
}

fn existing(db: &Connection, no: RunNo) -> rusqlite::Result<Option<i64>> {
    let mut find = db.prepare_cached("SELECT no FROM runs WHERE no = ?1")?;
    find.query_row([int(no.0)], |row| row.get(0)).optional()
}

fn head(db: &Connection, owner: &str, session: &str) -> rusqlite::Result<Option<i64>> {
    let mut find = db.prepare_cached("SELECT head FROM sessions WHERE owner = ?1 AND id = ?2")?;
    Ok(find.query_row([owner, session], |row| row.get(0)).optional()?.flatten())
}

fn begin(db: &Connection, no: RunNo, at: Wall) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE runs SET status = 'running', updated_at = max(updated_at, ?2), \
         started_at = ?2, parent = CASE lineage WHEN 'session' THEN (SELECT head FROM sessions \
           WHERE sessions.owner = runs.owner AND sessions.id = runs.session_id) ELSE parent END \
         WHERE no = ?1",
    )?
    .execute(params![int(no.0), int(at.0)])?;
    Ok(())
}

/// Stores a row, or appends it to the run's last one.
fn say(db: &Connection, tails: &mut Tails, no: RunNo, row: &Row) -> rusqlite::Result<()> {
    if let Some(rowid) = tails.take_in(no, row) {
        db.prepare_cached(
            "UPDATE events SET last_seq = ?2, at = ?3, lines = lines || ?4 WHERE rowid = ?1",
        )?
        .execute(params![rowid, int(row.last_seq), int(row.at.0), row.lines])?;
        return Ok(());
    }
    let rowid = db
        .prepare_cached(
            "INSERT INTO events (run, first_seq, last_seq, at, event, lines) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .insert(params![
            int(no.0),
            int(row.first_seq),
            int(row.last_seq),
            int(row.at.0),
            row.event,
            row.lines,
        ])?;
    tails.begin(no, row, rowid);
    Ok(())
}

fn finish(
    db: &Connection,
    no: RunNo,
    status: Status,
    at: Wall,
    next_seq: u64,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    let messages = said::count(db, no, outcome.output.as_deref())?;
    let session = db
        .prepare_cached(
            "UPDATE runs SET status = ?2, updated_at = max(updated_at, ?3), finished_at = ?3, next_seq = ?4, \
             messages = ?5, usage = ?6, error = ?7, pending_steer = ?8, output = ?9 \
             WHERE no = ?1 RETURNING owner, session_id",
        )?
        .query_row(
            params![
                int(no.0),
                status.name(),
                int(at.0),
                int(next_seq),
                int(messages),
                outcome.usage.as_ref().map(json::of_usage),
                outcome.error,
                outcome.pending_steer,
                outcome.output,
            ],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    match session {
        // A run that has said nothing but that it ended leaves no trace in its conversation.
        Some((owner, id)) if next_seq > 1 => lead(db, &owner, &id, no, at),
        _ => Ok(()),
    }
}

/// Makes the run what its session has come to.
fn lead(db: &Connection, owner: &str, id: &str, no: RunNo, at: Wall) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE sessions SET head = ?3, updated_at = max(updated_at, ?4) \
         WHERE owner = ?1 AND id = ?2",
    )?
    .execute(params![owner, id, int(no.0), int(at.0)])?;
    Ok(())
}

fn probe(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE numbers SET value = value + 1 WHERE name = 'probes'")?.execute([])?;
    Ok(())
}
