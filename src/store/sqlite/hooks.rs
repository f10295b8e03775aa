//! The outbox: deliveries to webhooks that have not been made.
use super::int;
use super::runs::read;
use crate::id::{HookId, RunNo};
use crate::record::{Answer, Delivery, HooksPage};
use crate::time::Wall;
use rusqlite::{Connection, params};

pub fn add(db: &Connection, delivery: &Delivery) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO hooks (id, run, origin, due_at, tries, event, url, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        delivery.id.to_string(),
        int(delivery.run.0),
        delivery.origin(),
        int(delivery.due.0),
        delivery.tries,
        &*delivery.event,
        &*delivery.url,
        &*delivery.body,
    ])?;
    Ok(())
}

pub fn later(db: &Connection, id: HookId, tries: u32, due: Wall) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE hooks SET tries = ?2, due_at = ?3 WHERE id = ?1")?
        .execute(params![id.to_string(), tries, int(due.0)])?;
    Ok(())
}

pub fn done(db: &Connection, id: HookId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM hooks WHERE id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

/// What was to be told of a run that is deleted is told to nobody.
pub fn of_run(db: &Connection, no: RunNo) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM hooks WHERE run = ?1")?.execute([int(no.0)])?;
    Ok(())
}

pub fn of_session(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM hooks WHERE run IN (SELECT no FROM runs WHERE owner = ?1 AND session_id = ?2)",
    )?
    .execute([owner, id])?;
    Ok(())
}

/// The next delivery of each origin, those due first: so one that takes none cannot fill the page.
pub fn next(db: &Connection, limit: usize) -> rusqlite::Result<Answer> {
    // SQLite takes the other columns from the row that has the minimum.
    let mut find = db.prepare_cached(
        "SELECT id, run, url, event, body, tries, min(due_at) AS due FROM hooks GROUP BY origin \
         ORDER BY due, id LIMIT ?1",
    )?;
    let found = find.query_map([int(limit as u64)], |row| {
        Ok(Delivery {
            id: read(row, 0, HookId::parse)?,
            run: RunNo(row.get(1)?),
            url: row.get(2)?,
            event: row.get(3)?,
            body: row.get(4)?,
            tries: row.get(5)?,
            due: super::wall(row, 6)?,
        })
    })?;
    let deliveries = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let count: u64 = db.query_row("SELECT count(*) FROM hooks", [], |row| row.get(0))?;
    let more = count > deliveries.len() as u64;
    Ok(Answer::Hooks(HooksPage { deliveries, more }))
}
