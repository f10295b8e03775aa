//! One small step of a clean-up at a time.
use super::{delete, grants, int};
use crate::config::Retain;
use crate::id::RunNo;
use crate::limits::IDEMPOTENCY_TTL_MS;
use crate::record::Pruned;
use crate::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

/// Runs deleted in one step.
const RUNS_STEP_MAX: usize = 20;

/// Pages given back to the system in one step: more than the cache holds would all be written first.
const PAGES_STEP_MAX: u64 = 64;
/// Free pages that are kept for what comes next.
const PAGES_FREE_MAX: u64 = 256;

/// How many runs have ended.
pub fn finished(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row(
        "SELECT (SELECT count(*) FROM runs) - (SELECT count(*) FROM runs WHERE finished_at IS NULL)",
        [],
        |row| row.get(0),
    )
}

/// Deletes what goes first: what is left of deleted runs, then some of the oldest of the
/// `finished` runs that go beyond `retain`, then free pages; all of those if the disk `is_short`.
/// With the last run of a session go its grants.
pub fn step(
    db: &Connection,
    retain: &Retain,
    now: Wall,
    finished: u64,
    is_short: bool,
) -> rusqlite::Result<Pruned> {
    if delete::leftovers(db)? {
        return Ok(Pruned { more: true, ..Pruned::default() });
    }
    let gone = oldest(db, retain, now, finished)?;
    let more = !gone.is_empty() || shrink(db, if is_short { 0 } else { PAGES_FREE_MAX })?;
    let revoked = grants::sweep(db)?;
    Ok(Pruned { gone, revoked, more })
}

/// Deletes up to `RUNS_STEP_MAX` runs, fewer if they said much.
fn oldest(
    db: &Connection,
    retain: &Retain,
    now: Wall,
    finished: u64,
) -> rusqlite::Result<Vec<RunNo>> {
    let excess = retain.runs.map_or(0, |runs| finished.saturating_sub(runs));
    let aged = retain.age.map_or(0, |age| now.0.saturating_sub(micros(age.as_millis())));
    let mut budget = delete::EVENTS_STEP_MAX;
    let mut gone = Vec::new();
    while gone.len() < RUNS_STEP_MAX && budget > 0 {
        let is_too_much = excess > gone.len() as u64 || is_too_big(db, retain)?;
        let ended_by = if is_too_much { u64::MAX } else { aged };
        let Some(no) = first_to_go(db, ended_by, now)? else { break };
        delete::run(db, no, &mut budget)?;
        gone.push(no);
    }
    Ok(gone)
}

fn is_too_big(db: &Connection, retain: &Retain) -> rusqlite::Result<bool> {
    let Some(bytes_max) = retain.bytes else { return Ok(false) };
    let size = number(db, "page_size")?;
    Ok((number(db, "page_count")? - number(db, "freelist_count")?) * size > bytes_max)
}

/// The run that ended first, at `ended_by` or before, and need not be kept for a retry.
fn first_to_go(db: &Connection, ended_by: u64, now: Wall) -> rusqlite::Result<Option<RunNo>> {
    let created_by = now.0.saturating_sub(micros(IDEMPOTENCY_TTL_MS.into())).min(ended_by);
    let mut find = db.prepare_cached(
        "SELECT no FROM (SELECT * FROM (SELECT no, finished_at FROM runs \
           WHERE finished_at IS NOT NULL AND idempotency_key IS NULL AND finished_at <= ?1 \
           ORDER BY finished_at LIMIT 1) \
         UNION ALL SELECT * FROM (SELECT no, finished_at FROM runs \
           WHERE finished_at IS NOT NULL AND idempotency_key IS NOT NULL \
           AND created_at <= ?2 AND finished_at <= ?1 ORDER BY created_at LIMIT 1)) \
         ORDER BY finished_at, no LIMIT 1",
    )?;
    let bounds = params![int(ended_by), int(created_by)];
    find.query_row(bounds, |row| Ok(RunNo(row.get(0)?))).optional()
}

/// Gives pages back to the system. False if it has none to spare.
fn shrink(db: &Connection, kept: u64) -> rusqlite::Result<bool> {
    let spare = number(db, "freelist_count")?.saturating_sub(kept);
    if spare == 0 {
        return Ok(false);
    }
    let pages = spare.min(PAGES_STEP_MAX);
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // Each page is a row of the answer.
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

fn number(db: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    db.pragma_query_value(None, pragma, |row| row.get(0))
}

fn micros(ms: u128) -> u64 {
    u64::try_from(ms * 1000).unwrap_or(u64::MAX)
}
