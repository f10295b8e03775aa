//! `db export`: all that can be read, also from a damaged file, as JSON.
use super::check::open_known;
use super::fault;
use crate::record::{Fault, FaultKind};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

/// What an export came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub runs: u64,
    pub events: u64,
    pub grants: u64,
    /// Deliveries to webhooks that have not been made.
    pub deliveries: u64,
    /// Runs of which only the events could be read, or nothing but that they were there.
    pub unread_runs: u64,
    /// Events that should be there and could not be read.
    pub unread_events: u64,
}

/// Each names every run, as long as it is not damaged itself.
const NUMBERS: &[&str] = &[
    "SELECT no FROM runs NOT INDEXED ORDER BY no",
    "SELECT no FROM runs NOT INDEXED ORDER BY no DESC",
    "SELECT run FROM requests ORDER BY run",
    "SELECT run FROM requests ORDER BY run DESC",
    "SELECT DISTINCT run FROM events INDEXED BY events_seq ORDER BY run",
];

/// The columns of a run's line; those named in `JSON` hold JSON.
const RUN: &str = "\
    SELECT id AS run_id, status, owner, session_id, created_at, updated_at, started_at, finished_at, lineage, \
    (SELECT id FROM runs AS it WHERE it.no = runs.parent) AS parent, model, instructions, \
    idempotency_key, usage, output, error, pending_steer, next_seq AS event_count FROM runs WHERE no = ?1";
const REQUEST: &str =
    "SELECT provider, model_options, budget, input, history FROM requests WHERE run = ?1";
const GRANT: &str = "SELECT id AS grant_id, owner, session_id, tool, arguments, created_at FROM grants \
                     WHERE no = ?1";
/// Of the address only whose it is: the rest may be as good as a key.
const DELIVERY: &str = "SELECT id AS delivery_id, run AS no, (SELECT runs.id FROM runs WHERE runs.no = run) \
                        AS run_id, origin, event, tries, due_at, body FROM hooks WHERE rowid = ?1";
const JSON: [&str; 6] = ["usage", "model_options", "budget", "input", "history", "body"];
/// Microseconds in the file, float seconds in the export, as clients are told them.
const TIMES: [&str; 5] = ["created_at", "updated_at", "started_at", "finished_at", "due_at"];

/// Writes what can be read of the file at `path` to `out`, one JSON object a line: a run, what it
/// was asked, what came of it, and all its events as clients were sent them; then the grants, and the deliveries that wait, without
/// their addresses.
///
/// # Errors
/// Whatever keeps the file from being read at all, and `Other` if `out` fails.
pub fn export(path: &Path, out: &mut dyn Write) -> Result<Exported, Fault> {
    let db = open_known(path)?;
    let mut export = Export { db: &db, done: Exported::default(), scattered: None };
    let goes = numbers(&db).into_iter().try_for_each(|no| export.run(no, out));
    let goes = goes.and_then(|()| export.grants(out)).and_then(|()| export.deliveries(out));
    goes.and_then(|()| out.flush()).map_err(|error| {
        let message = format!("the export could not be written: {error}");
        Fault { kind: FaultKind::Other, message }
    })?;
    match export.done {
        done if done == Exported::default() => is_readable(path, &db).map(|()| done),
        done => Ok(done),
    }
}

struct Export<'a> {
    db: &'a Connection,
    done: Exported,
    /// Where the events of each run lie, found without their index; `None` until that is needed.
    scattered: Option<BTreeMap<i64, BTreeMap<i64, i64>>>,
}

impl Export<'_> {
    fn run(&mut self, no: i64, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("no".to_owned(), no.into());
        let run = columns(self.db, RUN, no, &mut line);
        let request = columns(self.db, REQUEST, no, &mut line);
        let places = self.places(no);
        match (&run, &request) {
            (Ok(true), Ok(true)) => self.done.runs += 1,
            // Left over from a run that is gone, or a row that was never there.
            (Ok(false), Ok(false)) => return Ok(()),
            _ => self.done.unread_runs += 1,
        }
        let expected = line.get("event_count").and_then(Value::as_u64).unwrap_or(0);
        let mut text = Value::Object(line).to_string();
        text.truncate(text.len() - 1);
        out.write_all(text.as_bytes())?;
        out.write_all(b",\"events\":[")?;
        self.events(&places, expected, out)?;
        out.write_all(b"]}\n")
    }

    fn grants(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.done.grants = self.lines_of(GRANT, "SELECT no FROM grants ORDER BY no", out)?;
        Ok(())
    }

    fn deliveries(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let all = "SELECT rowid FROM hooks ORDER BY rowid";
        self.done.deliveries = self.lines_of(DELIVERY, all, out)?;
        Ok(())
    }

    /// Writes a line for each row that `all` numbers and `one` finds. Returns how many those are.
    fn lines_of(&self, one: &str, all: &str, out: &mut dyn Write) -> io::Result<u64> {
        let (mut numbers, mut count) = (Vec::new(), 0);
        // Where it ends early, so does what is left of them.
        each(self.db, all, |row| {
            numbers.push(row.get(0)?);
            Ok(())
        });
        for no in numbers {
            let mut line = Map::new();
            if let Ok(true) = columns(self.db, one, no, &mut line) {
                writeln!(out, "{}", Value::Object(line))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn events(
        &mut self,
        places: &BTreeMap<i64, i64>,
        expected: u64,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (mut written, mut next_seq) = (0, 0);
        for (first_seq, rowid) in places {
            let found = self.lines(*rowid);
            let lines = found.as_deref().unwrap_or_default();
            for (line, seq) in lines.lines().zip(*first_seq as u64..) {
                next_seq = seq + 1;
                if serde_json::from_str::<IgnoredAny>(line).is_err() {
                    continue;
                }
                out.write_all(if written == 0 { b"" } else { b"," })?;
                out.write_all(line.as_bytes())?;
                written += 1;
            }
            next_seq = next_seq.max(*first_seq as u64 + u64::from(lines.is_empty()));
        }
        self.done.events += written;
        self.done.unread_events += expected.max(next_seq).saturating_sub(written);
        Ok(())
    }

    /// What lies in a row of events, as far as it is text.
    fn lines(&self, rowid: i64) -> Option<String> {
        let mut find = self.db.prepare_cached("SELECT lines FROM events WHERE rowid = ?1").ok()?;
        let lines = find.query_row([rowid], |row| {
            Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned())
        });
        lines.ok()
    }

    /// The first event of each row of a run's events, and its rowid.
    fn places(&mut self, no: i64) -> BTreeMap<i64, i64> {
        let mut places = BTreeMap::new();
        let is_whole = ["ASC", "DESC"].into_iter().all(|order| {
            let sql = format!(
                "SELECT first_seq, rowid FROM events INDEXED BY events_seq WHERE run = {no} \
                 ORDER BY first_seq {order}"
            );
            each(self.db, &sql, |row| {
                places.insert(row.get(0)?, row.get(1)?);
                Ok(())
            })
        });
        if !is_whole {
            let found = self.scattered.get_or_insert_with(|| scattered(self.db)).get(&no);
            places.extend(found.into_iter().flatten());
        }
        places
    }
}

/// The numbers of all runs that anything tells of.
fn numbers(db: &Connection) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    for sql in NUMBERS {
        // What ends early ends at a damaged page; another way may lead around it.
        let _ = each(db, sql, |row| {
            numbers.insert(row.get(0)?);
            Ok(())
        });
    }
    numbers
}

/// Where events lie, by run and first event, found from both ends of their table.
fn scattered(db: &Connection) -> BTreeMap<i64, BTreeMap<i64, i64>> {
    let mut found: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for order in ["ASC", "DESC"] {
        let sql =
            format!("SELECT run, first_seq, rowid FROM events NOT INDEXED ORDER BY rowid {order}");
        let is_whole = each(db, &sql, |row| {
            found.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        });
        if is_whole {
            break;
        }
    }
    found
}

/// Visits each row until one cannot be read. True if all could be.
fn each(
    db: &Connection,
    sql: &str,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> bool {
    let visited = db.prepare_cached(sql).and_then(|mut find| {
        let mut rows = find.query([])?;
        while let Some(row) = rows.next()? {
            visit(row)?;
        }
        Ok(())
    });
    visited.is_ok()
}

/// Adds the columns of the one row that `sql` finds to `line`. False if there is none.
fn columns(
    db: &Connection,
    sql: &str,
    no: i64,
    line: &mut Map<String, Value>,
) -> rusqlite::Result<bool> {
    let mut find = db.prepare_cached(sql)?;
    let names: Vec<_> = find.column_names().into_iter().map(str::to_owned).collect();
    let found = find.query_row([no], |row| {
        let read =
            |(index, name): (usize, &String)| Ok((name.clone(), value(name, row.get_ref(index)?)));
        names.iter().enumerate().map(read).collect::<rusqlite::Result<Vec<_>>>()
    });
    let found = found.optional()?;
    let is_there = found.is_some();
    let is_given = |(_, value): &(String, Value)| !value.is_null();
    line.extend(found.into_iter().flatten().filter(is_given));
    Ok(is_there)
}

fn value(name: &str, column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(micros) if TIMES.contains(&name) => (micros as f64 / 1e6).into(),
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let parsed = JSON.contains(&name).then(|| serde_json::from_str(&text).ok()).flatten();
            parsed.unwrap_or_else(|| Value::String(text.into_owned()))
        }
    }
}

/// Tells an empty file from one of which nothing can be read.
fn is_readable(path: &Path, db: &Connection) -> Result<(), Fault> {
    let count = db.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0));
    count.map(|_| ()).map_err(|error| fault::of(path, &error))
}
