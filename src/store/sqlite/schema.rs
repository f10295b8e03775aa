//! The tables, and the ladder of versions that leads to them.
//!
//! Times are microseconds since 1970 in UTC. Texts in JSON are never searched by this program, which
//! is built without SQLite's JSON functions; the views use them and are for a person's shell.
use rusqlite::Connection;

/// "runw", so that `file` and other programs can tell whose database it is.
pub const APPLICATION_ID: i32 = 0x7275_6e77;

/// Each step leads from the version that is its index to the next.
const STEPS: &[&str] = &[
    concat!(include_str!("schema/1.sql"), include_str!("schema/views.sql")),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
];

/// The version this program reads and writes.
pub const VERSION: i32 = STEPS.len() as i32;

/// The version of the file, 0 if nothing is in it yet.
pub fn version(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Leads the file from `version` to `VERSION`, all the way or not at all.
pub fn migrate(db: &Connection, version: i32) -> rusqlite::Result<()> {
    let steps = &STEPS[version as usize..];
    if steps.is_empty() {
        return Ok(());
    }
    let change =
        rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
    for step in steps {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", APPLICATION_ID)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()
}
