//! `db check`: whether the file is whole, and holds what this program would have written.
use super::{fault, open, schema};
use crate::record::{Fault, FaultKind};
use rusqlite::Connection;
use std::path::Path;

/// Lines of one kind of problem that are told.
const PROBLEMS_MAX: usize = 100;

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub runs: u64,
    /// Rows of events: an event, or consecutive deltas.
    pub rows: u64,
    /// For people, one line each; none if all is well. At most 100 of a kind.
    pub problems: Vec<String>,
}

/// What must be true of what lies in the tables. Each row that a query finds is a problem.
const RULES: &[&str] = &[
    "SELECT 'run ' || no || ': ' || ifnull(sum, 0) || ' events where there should be ' || next_seq \
     FROM runs LEFT JOIN (SELECT run, sum(last_seq - first_seq + 1) AS sum FROM events GROUP BY run) \
     ON run = no WHERE finished_at IS NOT NULL AND next_seq <> ifnull(sum, 0)",
    "SELECT 'run ' || run || ': a gap or overlap before event ' || first_seq FROM \
     (SELECT run, first_seq, last_seq, lag(last_seq, 1, -1) OVER (PARTITION BY run ORDER BY first_seq) AS before \
     FROM events WHERE run NOT IN (SELECT run FROM leftovers)) \
     WHERE first_seq <> before + 1 OR last_seq < first_seq",
    "SELECT 'run ' || run || ': ' || (length(lines) - length(replace(lines, char(10), ''))) \
     || ' lines for events ' || first_seq || ' to ' || last_seq FROM events \
     WHERE length(lines) - length(replace(lines, char(10), '')) <> last_seq - first_seq + 1",
    "SELECT 'run ' || no || ': its last event is ' || ifnull(event, 'missing') || ', its status ' || status \
     FROM runs LEFT JOIN events ON run = no AND last_seq = next_seq - 1 \
     WHERE finished_at IS NOT NULL AND event IS NOT 'run.' || status",
    "SELECT 'run ' || no || ': its status is ' || status FROM runs WHERE (finished_at IS NULL) \
     <> (status IN ('queued', 'running', 'stopping'))",
    "SELECT 'run ' || no || ': it goes on from run ' || parent || ', which is not there' FROM runs \
     WHERE parent NOT IN (SELECT no FROM runs)",
    "SELECT 'run ' || no || ': what it was asked is missing' FROM runs \
     WHERE no NOT IN (SELECT run FROM requests)",
    "SELECT 'session ' || id || ': its last run ' || head || ' is not there' FROM sessions \
     WHERE head NOT IN (SELECT no FROM runs)",
    "SELECT 'session ' || id || ': it has no runs' FROM sessions AS it WHERE NOT EXISTS \
     (SELECT 1 FROM runs WHERE runs.owner = it.owner AND session_id = it.id)",
    "SELECT 'grant ' || id || ': another one is for the same call' FROM grants AS it WHERE EXISTS \
     (SELECT 1 FROM grants WHERE no < it.no AND owner = it.owner AND session_id IS it.session_id \
     AND tool = it.tool AND arguments = it.arguments)",
    "SELECT DISTINCT 'run ' || run || ': it has events but is not there' FROM events \
     WHERE run NOT IN (SELECT no FROM runs) AND run NOT IN (SELECT run FROM leftovers)",
    // A run that was cleaned up may be gone before all are told of it.
    "SELECT 'delivery ' || id || ': there never was a run ' || run FROM hooks WHERE run > \
     max((SELECT value FROM numbers WHERE name = 'last_no'), ifnull((SELECT max(no) FROM runs), 0))",
    "SELECT 'delivery ' || id || ': it tells of ' || event || ', which no webhook is told of' FROM hooks \
     WHERE event NOT IN ('run.completed', 'run.failed', 'run.cancelled', 'run.interrupted', \
     'approval.request')",
    "SELECT 'delivery ' || id || ': its address is not at ' || origin FROM hooks \
     WHERE substr(url, 1, length(origin)) <> origin",
];

/// Checks the file at `path`, all of it, and writes nothing. A server may be using it.
///
/// # Errors
/// `Newer` if a later version of this program made it; whatever keeps it from being read at all.
pub fn check(path: &Path) -> Result<Report, Fault> {
    let failed = |error: rusqlite::Error| fault::of(path, &error);
    let db = open_known(path)?;
    let mut report = Report { problems: pages(&db).map_err(failed)?, ..Report::default() };
    for (index, rule) in RULES.iter().enumerate() {
        if let Err(error) = ask(&db, rule, &mut report.problems) {
            report.problems.push(format!("rule {} could not be checked: {error}", index + 1));
        }
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table} NOT INDEXED");
        db.query_row(&sql, [], |row| row.get(0)).unwrap_or(0)
    };
    (report.runs, report.rows) = (count("runs"), count("events"));
    Ok(report)
}

/// Opens a file that has the tables this program knows, to read it.
pub fn open_known(path: &Path) -> Result<Connection, Fault> {
    let failed = |error: rusqlite::Error| fault::of(path, &error);
    let db = open::reader(path).map_err(failed)?;
    match schema::version(&db).map_err(failed)? {
        version if version == schema::VERSION => Ok(db),
        version => {
            let detail = format!(
                "its schema is version {version} and this program reads {}: use the program that \
                 wrote it",
                schema::VERSION
            );
            let is_newer = version > schema::VERSION;
            let kind = if is_newer { FaultKind::Newer } else { FaultKind::Other };
            Err(fault::explain(path, kind, &detail))
        }
    }
}

/// What SQLite itself finds wrong.
fn pages(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    match ask(db, "PRAGMA integrity_check(100)", &mut problems) {
        Ok(()) => {}
        Err(error) => problems.push(format!("the check itself ended early: {error}")),
    }
    problems.retain(|problem| problem != "ok");
    Ok(problems)
}

fn ask(db: &Connection, sql: &str, problems: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut rule = db.prepare(sql)?;
    let mut rows = rule.query([])?;
    for _ in 0..PROBLEMS_MAX {
        let Some(row) = rows.next()? else { break };
        problems.push(row.get::<_, String>(0)?.replace('\n', " "));
    }
    Ok(())
}
