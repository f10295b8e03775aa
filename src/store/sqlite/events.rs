//! What a run said, page by page.
use super::int;
use crate::id::RunNo;
use crate::record::{Answer, EventsPage};
use rusqlite::{Connection, params};

/// Events from `from_seq` on: as many as fit into `bytes_max`, and at least one.
pub fn page(
    db: &Connection,
    no: RunNo,
    from_seq: u64,
    bytes_max: usize,
) -> rusqlite::Result<Answer> {
    let mut find = db.prepare_cached(
        "SELECT first_seq, last_seq, lines FROM events WHERE run = ?1 AND first_seq >= \
         ifnull((SELECT max(first_seq) FROM events WHERE run = ?1 AND first_seq <= ?2), ?2) \
         AND EXISTS (SELECT 1 FROM runs WHERE no = ?1) ORDER BY first_seq",
    )?;
    let mut rows = find.query(params![int(no.0), int(from_seq)])?;
    let mut page = EventsPage { first_seq: from_seq, lines: String::new() };
    let mut next_seq = from_seq;
    while let Some(row) = rows.next()? {
        let (first_seq, last_seq): (u64, u64) = (row.get(0)?, row.get(1)?);
        if !(first_seq..=last_seq).contains(&next_seq) {
            break;
        }
        let lines = behind(row.get_ref(2)?.as_str()?, next_seq - first_seq);
        let fitting = fitting(lines, bytes_max.saturating_sub(page.lines.len()));
        let taken = if page.lines.is_empty() { fitting.max(first_line(lines)) } else { fitting };
        page.lines.push_str(&lines[..taken]);
        if taken < lines.len() {
            break;
        }
        next_seq = last_seq + 1;
    }
    Ok(Answer::Events(page))
}

/// `lines` without the first `skipped` ones.
fn behind(lines: &str, skipped: u64) -> &str {
    (0..skipped).fold(lines, |rest, _| &rest[first_line(rest)..])
}

/// Bytes of the whole lines at the beginning of `lines` that are at most `room` bytes long.
fn fitting(lines: &str, room: usize) -> usize {
    match lines.as_bytes().get(..room) {
        Some(start) => start.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        None => lines.len(),
    }
}

fn first_line(lines: &str) -> usize {
    lines.find('\n').map_or(lines.len(), |at| at + 1)
}
