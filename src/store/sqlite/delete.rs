//! How runs go: at once out of sight, their events little by little.
use super::{grants, int};
use crate::id::RunNo;
use rusqlite::{Connection, OptionalExtension, params};

/// Rows of events deleted in one step, which takes a millisecond or two.
pub const EVENTS_STEP_MAX: usize = 200;

/// Deletes a run and up to `budget` rows of its events, which it counts down; the others are
/// leftovers. Runs that went on from it go on from where it did.
pub fn run(db: &Connection, no: RunNo, budget: &mut usize) -> rusqlite::Result<()> {
    let mut find = db.prepare_cached("SELECT owner, session_id, parent FROM runs WHERE no = ?1")?;
    let found = find
        .query_row([int(no.0)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((owner, session, parent)): Option<(String, String, Option<i64>)> = found else {
        return Ok(());
    };
    bequeath(db, no, parent)?;
    for sql in ["DELETE FROM runs WHERE no = ?1", "DELETE FROM requests WHERE run = ?1"] {
        db.prepare_cached(sql)?.execute([int(no.0)])?;
    }
    db.prepare_cached(
        "DELETE FROM sessions WHERE owner = ?1 AND id = ?2 AND NOT EXISTS \
         (SELECT 1 FROM runs WHERE owner = ?1 AND session_id = ?2)",
    )?
    .execute([owner, session])?;
    db.prepare_cached("UPDATE numbers SET value = max(value, ?1) WHERE name = 'last_no'")?
        .execute([int(no.0)])?;
    if !events(db, no, budget)? {
        db.prepare_cached("INSERT INTO leftovers VALUES (?1)")?.execute([int(no.0)])?;
    }
    Ok(())
}

/// Deletes a session with all its runs and grants.
pub fn session(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<()> {
    let mut find = db.prepare_cached("SELECT no FROM runs WHERE owner = ?1 AND session_id = ?2")?;
    let runs = find.query_map([owner, id], |row| Ok(RunNo(row.get(0)?)))?;
    let runs = runs.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut budget = EVENTS_STEP_MAX;
    runs.into_iter().try_for_each(|no| run(db, no, &mut budget))?;
    db.prepare_cached("DELETE FROM sessions WHERE owner = ?1 AND id = ?2")?.execute([owner, id])?;
    grants::of_session(db, owner, id)
}

/// Goes on with what is left of deleted runs. False if there is nothing left.
pub fn leftovers(db: &Connection) -> rusqlite::Result<bool> {
    let mut find = db.prepare_cached("SELECT run FROM leftovers LIMIT 1")?;
    let Some(no) = find.query_row([], |row| row.get(0)).optional()? else { return Ok(false) };
    if events(db, RunNo(no), &mut EVENTS_STEP_MAX.clone())? {
        db.prepare_cached("DELETE FROM leftovers WHERE run = ?1")?.execute([int(no)])?;
    }
    Ok(true)
}

/// Gives what the run went on from to those that went on from it.
fn bequeath(db: &Connection, no: RunNo, parent: Option<i64>) -> rusqlite::Result<()> {
    if parent.is_none() {
        db.prepare_cached(
            "UPDATE requests SET (given, history) = \
             (SELECT given, history FROM requests WHERE run = ?1) \
             WHERE run IN (SELECT no FROM runs WHERE parent = ?1)",
        )?
        .execute([int(no.0)])?;
    }
    for sql in [
        "UPDATE runs SET parent = ?2 WHERE parent = ?1",
        "UPDATE sessions SET head = ?2 WHERE head = ?1",
    ] {
        db.prepare_cached(sql)?.execute(params![int(no.0), parent])?;
    }
    Ok(())
}

/// Deletes up to `budget` rows of a run's events. True if none is left.
fn events(db: &Connection, no: RunNo, budget: &mut usize) -> rusqlite::Result<bool> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM events WHERE rowid IN \
             (SELECT rowid FROM events WHERE run = ?1 ORDER BY first_seq LIMIT ?2)",
        )?
        .execute(params![int(no.0), int(*budget as u64)])?;
    let is_done = deleted < *budget;
    *budget -= deleted;
    Ok(is_done)
}
