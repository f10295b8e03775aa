//! Sessions: conversations with a name.
use super::{int, wall};
use crate::record::{Answer, SessionListed, SessionsPage};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// How many runs a session has, and the beginning of the first one's input.
const RUNS: &str = "\
    (SELECT count(*) FROM runs WHERE runs.owner = it.owner AND session_id = it.id), \
    ifnull((SELECT preview FROM runs WHERE runs.owner = it.owner AND session_id = it.id \
      ORDER BY no LIMIT 1), '')";

/// The latest used first.
pub fn list(db: &Connection, owner: &str, limit: usize, offset: usize) -> rusqlite::Result<Answer> {
    let mut find = db.prepare_cached(&format!(
        "SELECT id, created_at, updated_at, {RUNS} FROM sessions AS it WHERE owner = ?1 \
         ORDER BY updated_at DESC, id LIMIT ?2 OFFSET ?3"
    ))?;
    let more = int(limit as u64).saturating_add(1);
    let sessions = find.query_map(params![owner, more, int(offset as u64)], listed)?;
    let mut sessions = sessions.collect::<rusqlite::Result<Vec<_>>>()?;
    let has_more = sessions.len() > limit;
    sessions.truncate(limit);
    Ok(Answer::Sessions(SessionsPage { sessions, has_more }))
}

/// One session; a run that was given none is one by itself.
pub fn one(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<Answer> {
    let mut find = db.prepare_cached(&format!(
        "SELECT id, created_at, updated_at, {RUNS} FROM \
         (SELECT owner, id, created_at, updated_at FROM sessions WHERE owner = ?1 AND id = ?2 \
          UNION ALL SELECT owner, id, created_at, updated_at FROM runs \
          WHERE id = ?2 AND owner = ?1 AND session_id = ?2) AS it LIMIT 1"
    ))?;
    find.query_row([owner, id], |row| listed(row).map(Box::new)).optional().map(Answer::Session)
}

fn listed(row: &Row<'_>) -> rusqlite::Result<SessionListed> {
    Ok(SessionListed {
        id: row.get(0)?,
        created: wall(row, 1)?,
        updated: wall(row, 2)?,
        runs: row.get(3)?,
        preview: row.get(4)?,
    })
}
