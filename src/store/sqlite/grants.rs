//! Leave that is remembered.
use super::int;
use super::runs::read;
use crate::id::GrantId;
use crate::record::Grant;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Writes down a grant, in the place of one for the same call.
pub fn add(db: &Connection, grant: &Grant) -> rusqlite::Result<()> {
    let call = params![&*grant.owner, grant.session_id.as_deref(), &*grant.tool, &*grant.arguments];
    db.prepare_cached(
        "DELETE FROM grants WHERE owner = ?1 AND session_id IS ?2 AND tool = ?3 AND arguments = ?4",
    )?
    .execute(call)?;
    db.prepare_cached(
        "INSERT INTO grants (id, owner, session_id, tool, arguments, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        grant.id.to_string(),
        &*grant.owner,
        grant.session_id.as_deref(),
        &*grant.tool,
        &*grant.arguments,
        int(grant.created.0),
    ])?;
    Ok(())
}

pub fn revoke(db: &Connection, id: GrantId) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM grants WHERE id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

pub fn of_session(db: &Connection, owner: &str, session_id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM grants WHERE owner = ?1 AND session_id = ?2")?
        .execute([owner, session_id])?;
    Ok(())
}

/// Deletes those of sessions that have no runs any more.
pub fn sweep(db: &Connection) -> rusqlite::Result<Vec<GrantId>> {
    let mut sweep = db.prepare_cached(
        "DELETE FROM grants WHERE session_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs \
         WHERE runs.owner = grants.owner AND runs.session_id = grants.session_id) RETURNING id",
    )?;
    sweep.query_map([], |row| read(row, 0, GrantId::parse))?.collect()
}

/// All of them, the oldest first.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<Arc<Grant>>> {
    let mut find = db.prepare(
        "SELECT id, owner, session_id, tool, arguments, created_at FROM grants ORDER BY no",
    )?;
    let grants = find.query_map([], |row| {
        Ok(Arc::new(Grant {
            id: read(row, 0, GrantId::parse)?,
            owner: row.get(1)?,
            session_id: row.get(2)?,
            tool: row.get(3)?,
            arguments: row.get(4)?,
            created: super::wall(row, 5)?,
        }))
    })?;
    grants.collect()
}
