//! Opening the file: nothing is written to one that is damaged, newer or not ours.
use super::files::{self, beside};
use super::wal::{self, Wal};
use super::{fault, schema};
use crate::record::{Fault, FaultKind};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

/// A file up to this size is checked page by page whenever it is opened: 16 MiB take some 30 ms.
const CHECKED_BYTES_MAX: u64 = 16 * 1024 * 1024;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements a connection keeps ready.
const STATEMENTS_MAX: usize = 64;
/// Pages in the log that have it brought into the database.
pub const CHECKPOINT_PAGES: u32 = 1000;
/// Bytes of the header that every database begins with.
const HEADER_BYTES: usize = 100;

/// The connection that writes, and what an operator should know about the file.
pub fn writer(path: &Path) -> Result<(Connection, Vec<String>), Fault> {
    let wal = wal::read(&beside(path, "-wal")).map_err(|error| fault::of_io(path, &error))?;
    let bytes = check_length(path, &wal)?;
    files::prepare(path)?;
    let failed = |error: rusqlite::Error| fault::of(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = connect(path, flags).map_err(failed)?;
    let version = check_origin(path, &db)?;
    check_pages(path, &db, bytes)?;
    prepare(&db, version).map_err(failed)?;
    let mut notes = Vec::new();
    if wal.torn > 0 {
        notes.push(torn(path, wal.torn));
        // Otherwise what was dropped would be found again the next time.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    }
    Ok((db, notes))
}

/// A connection that only reads.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// A connection that does not write but to bring the WAL into the database.
pub fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    db.execute_batch(
        "PRAGMA cache_size = -256; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF; \
         PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON; PRAGMA synchronous = NORMAL; \
         PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON",
    )?;
    Ok(db)
}

fn prepare(db: &Connection, version: i32) -> rusqlite::Result<()> {
    // The first two are heard only before the first table is made.
    db.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL")?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let checkpoint = format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}");
    db.query_row(&checkpoint, [], |_| Ok(()))?;
    db.query_row("PRAGMA journal_size_limit = 8388608", [], |_| Ok(()))?;
    schema::migrate(db, version)
}

fn torn(path: &Path, bytes: u64) -> String {
    format!(
        "{}: {bytes} bytes after its last whole transaction were dropped; the server died or lost \
         power while it wrote them",
        beside(path, "-wal").display()
    )
}

/// Refuses a file that has lost its end or its beginning. Returns its length.
fn check_length(path: &Path, wal: &Wal) -> Result<u64, Fault> {
    let damaged = |detail: &str| Err(fault::explain(path, FaultKind::Damaged, detail));
    let mut header = Vec::new();
    let bytes = match File::open(path) {
        Ok(file) => {
            let len = file.metadata().map(|it| it.len());
            let read = file.take(HEADER_BYTES as u64).read_to_end(&mut header);
            read.and(len).map_err(|error| fault::of_io(path, &error))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(fault::of_io(path, &error)),
    };
    if bytes == 0 && wal.pages.is_some() {
        return damaged("there is nothing in it, though its -wal file has what was written last");
    }
    if bytes == 0 {
        return Ok(0);
    }
    if header.len() < HEADER_BYTES || !header.starts_with(b"SQLite format 3\0") {
        return damaged("it does not begin like a database");
    }
    let missing = missing_pages(&header, bytes, wal);
    if missing > 0 {
        return damaged(&format!("{missing} pages at its end are missing"));
    }
    Ok(bytes)
}

/// How many pages lie neither in the file nor in its log.
fn missing_pages(header: &[u8], bytes: u64, wal: &Wal) -> usize {
    let word = |at: usize| {
        u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes are four bytes"))
    };
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes.max(512)),
    };
    // The count in the header holds only where the two numbers of changes agree.
    let counted = if word(24) == word(92) { word(28) } else { 0 };
    let pages = wal.pages.unwrap_or(counted);
    let there = u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX);
    (there.saturating_add(1)..=pages).filter(|page| !wal.written.contains(page)).count()
}

/// Refuses a file of another program or of a later version of this one. Returns its version.
fn check_origin(path: &Path, db: &Connection) -> Result<i32, Fault> {
    let failed = |error: rusqlite::Error| fault::of(path, &error);
    let origin: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let version = schema::version(db).map_err(failed)?;
    let is_empty: bool = db
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if origin != schema::APPLICATION_ID && !(origin == 0 && version == 0 && is_empty) {
        let detail = "it is a database of another program: choose another file";
        return Err(fault::explain(path, FaultKind::Other, detail));
    }
    if version > schema::VERSION {
        let detail = format!(
            "it was written by a later version of runwire (its schema is {version}, this one knows \
             {}): start that version, or choose another file",
            schema::VERSION
        );
        return Err(fault::explain(path, FaultKind::Newer, &detail));
    }
    Ok(version.max(0))
}

/// Refuses a file with damaged pages, as far as that can be told in the time a start may take.
fn check_pages(path: &Path, db: &Connection, bytes: u64) -> Result<(), Fault> {
    let found = if bytes <= CHECKED_BYTES_MAX { quick_check(db) } else { touch(db) };
    match found.map_err(|error| fault::of(path, &error))? {
        None => Ok(()),
        Some(detail) => Err(fault::explain(path, FaultKind::Damaged, &detail)),
    }
}

fn quick_check(db: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then(|| found.replace('\n', " ")))
}

/// Reads the schema, and each table's first and last page.
fn touch(db: &Connection) -> rusqlite::Result<Option<String>> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("freelist_count")? >= number("page_count")? {
        return Ok(Some("it has more free pages than pages".to_owned()));
    }
    // An older file has fewer tables.
    let mut find = db.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID'",
    )?;
    let tables =
        find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for table in tables {
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT * FROM {table} ORDER BY rowid {order} LIMIT 1");
            db.prepare(&sql)?.query([])?.next()?;
        }
    }
    Ok(None)
}
