//! Conversations: what was said in runs, each going on from its parent.
use super::runs::{read, read_optional};
use super::{int, json, wall};
use crate::id::{RunId, RunNo};
use crate::record::{Answer, History, MessagesPage, Said};
use crate::request::Message;
use crate::store::transcript;
use crate::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};

/// A run's events that tell what was said, `transcript::TELLING`: without their own index each delta
/// would be looked at.
const TELLING: &str = "events INDEXED BY events_said WHERE run = ?1 AND event IN \
    ('message.interim', 'tool.started', 'tool.completed', 'run.steered')";

/// Runs of one conversation that are looked at: in a damaged file they could go round in a circle.
const LINKS_MAX: usize = 100_000;

/// How many messages a run adds to its conversation: as many as `transcript::said` makes of it,
/// counted without reading what was said.
pub fn count(db: &Connection, no: RunNo, output: Option<&str>) -> rusqlite::Result<u64> {
    let mut find = db.prepare_cached(&format!(
        "SELECT event, CASE event WHEN 'message.interim' THEN instr(lines, '\"text\":\"\"') END \
         FROM {TELLING} ORDER BY first_seq"
    ))?;
    let mut rows = find.query([int(no.0)])?;
    let mut count = 1;
    // True while the last message is one to which a call may be added.
    let mut is_open = false;
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str()? {
            "message.interim" if row.get::<_, i64>(1)? > 0 => {}
            "message.interim" => (count, is_open) = (count + 1, true),
            "tool.started" if is_open => (count, is_open) = (count + 1, false),
            "tool.started" => count += 2,
            "run.steered" => (count, is_open) = (count + 1, false),
            _ => {}
        }
    }
    Ok(count + u64::from(transcript::answer(output).is_some()))
}

/// What a run goes on with: the newest runs of its conversation that fit into `bytes_max`.
pub fn history(db: &Connection, no: RunNo, bytes_max: usize) -> rusqlite::Result<Answer> {
    let mut links = chain(db, Some(int(no.0)))?.into_iter();
    let Some(own) = links.next() else { return Ok(Answer::History(History::default())) };
    if own.parent.is_none() {
        let messages = given(db, own.no)?;
        return Ok(Answer::History(History { messages, omitted: 0 }));
    }
    let mut newest_first = Vec::new();
    let mut left = bytes_max;
    let mut omitted = 0;
    let mut root = own.no;
    for link in links {
        root = link.no;
        let is_newest = newest_first.is_empty();
        if omitted > 0 || !is_newest && said_bytes(db, link.no)? > left.saturating_mul(8) {
            omitted += link.messages;
            continue;
        }
        let messages = said(db, link.no)?;
        let bytes: usize = messages.iter().map(|said| said.message.len()).sum();
        if bytes > left && !is_newest {
            omitted += messages.len();
            continue;
        }
        left = left.saturating_sub(bytes);
        newest_first.push(messages.into_iter().map(|said| said.message).collect());
    }
    let first = if omitted == 0 { given(db, root)? } else { Vec::new() };
    if omitted > 0 || first.iter().map(Message::len).sum::<usize>() > left {
        omitted += given_count(db, root)?;
    } else {
        newest_first.push(first);
    }
    let messages = newest_first.into_iter().rev().flatten().collect();
    Ok(Answer::History(History { messages, omitted }))
}

/// A page of what was said in a session.
pub fn messages(
    db: &Connection,
    owner: &str,
    id: &str,
    limit: usize,
    offset: usize,
    latest: bool,
) -> rusqlite::Result<Answer> {
    let Some(head) = head(db, owner, id)? else { return Ok(Answer::Messages(None)) };
    let links = chain(db, head)?;
    let given = links.last().map_or(Ok(0), |root| given_count(db, root.no))?;
    let total = given + links.iter().map(|link| link.messages).sum::<usize>();
    let (from, to) = if latest {
        let to = total.saturating_sub(offset);
        (to.saturating_sub(limit), to)
    } else {
        (offset.min(total), offset.saturating_add(limit).min(total))
    };
    let has_more = if latest { from > 0 } else { to < total };
    let mut page = Vec::new();
    let mut at = 0;
    if let Some(root) = links.last() {
        take_part(&mut page, from..to, &mut at, given, || given_said(db, root.no))?;
    }
    for link in links.iter().rev() {
        take_part(&mut page, from..to, &mut at, link.messages, || said(db, link.no))?;
    }
    Ok(Answer::Messages(Some(MessagesPage { messages: page, has_more })))
}

/// Adds those of the next `count` messages that lie in `wanted`; reads them only if there are some.
fn take_part(
    page: &mut Vec<Said>,
    wanted: std::ops::Range<usize>,
    at: &mut usize,
    count: usize,
    read: impl FnOnce() -> rusqlite::Result<Vec<Said>>,
) -> rusqlite::Result<()> {
    let (first, end) = (*at, *at + count);
    *at = end;
    if wanted.start >= end || wanted.end <= first {
        return Ok(());
    }
    let skipped = wanted.start.saturating_sub(first);
    let taken = wanted.end.min(end) - first - skipped;
    page.extend(read()?.into_iter().skip(skipped).take(taken));
    Ok(())
}

/// The run a session has come to; `None` if there is no such session.
///
/// A run that is a session of its own and has not been continued has no row but itself.
fn head(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<Option<Option<i64>>> {
    let mut find = db.prepare_cached(
        "SELECT head FROM sessions WHERE owner = ?1 AND id = ?2 UNION ALL \
         SELECT iif(finished_at IS NOT NULL AND next_seq > 1, no, NULL) FROM runs \
         WHERE id = ?2 AND owner = ?1 AND session_id = ?2 LIMIT 1",
    )?;
    find.query_row([owner, id], |row| row.get(0)).optional()
}

/// A run of a conversation.
struct Link {
    no: i64,
    parent: Option<i64>,
    messages: usize,
}

/// The run `from` and all it goes on from, the newest first.
fn chain(db: &Connection, from: Option<i64>) -> rusqlite::Result<Vec<Link>> {
    let mut find = db.prepare_cached("SELECT parent, messages FROM runs WHERE no = ?1")?;
    let mut links: Vec<Link> = Vec::new();
    let mut next = from;
    while let Some(no) = next.filter(|_| links.len() < LINKS_MAX) {
        let found =
            find.query_row([no], |row| Ok(Link { no, parent: row.get(0)?, messages: row.get(1)? }));
        let Some(link) = found.optional()? else { break };
        next = link.parent;
        links.push(link);
    }
    Ok(links)
}

/// What was said in a run.
fn said(db: &Connection, no: i64) -> rusqlite::Result<Vec<Said>> {
    let mut find = db.prepare_cached(
        "SELECT id, created_at, updated_at, input, output FROM runs JOIN requests ON run = no \
         WHERE no = ?1",
    )?;
    let (run, updated, mut times, mut messages, output) = find.query_row([no], |row| {
        let input = read(row, 3, json::content)?;
        let messages = vec![transcript::question(&input)];
        let output: Option<String> = row.get(4)?;
        Ok((read(row, 0, RunId::parse)?, wall(row, 2)?, vec![wall(row, 1)?], messages, output))
    })?;
    let mut steps =
        db.prepare_cached(&format!("SELECT at, lines FROM {TELLING} ORDER BY first_seq"))?;
    let mut rows = steps.query([no])?;
    while let Some(row) = rows.next()? {
        for line in row.get_ref(1)?.as_str()?.lines() {
            transcript::take_in(&mut messages, line);
        }
        times.resize(messages.len(), wall(row, 0)?);
    }
    messages.extend(transcript::answer(output.as_deref()));
    times.resize(messages.len(), updated);
    let said = |(message, at): (Message, Wall)| Said { run: Some(run), at, message };
    Ok(messages.into_iter().zip(times).map(said).collect())
}

/// Bytes that hold what was said in a run, JSON included.
fn said_bytes(db: &Connection, no: i64) -> rusqlite::Result<usize> {
    let mut sum = db.prepare_cached(&format!(
        "SELECT (SELECT octet_length(input) FROM requests WHERE run = ?1) \
         + (SELECT ifnull(octet_length(output), 0) FROM runs WHERE no = ?1) \
         + ifnull((SELECT sum(octet_length(lines)) FROM {TELLING}), 0)"
    ))?;
    sum.query_row([no], |row| row.get(0))
}

/// The messages the client gave a run as its history.
fn given(db: &Connection, no: i64) -> rusqlite::Result<Vec<Message>> {
    let mut find = db.prepare_cached("SELECT history FROM requests WHERE run = ?1")?;
    let found = find.query_row([no], |row| read_optional(row, 0, json::messages)).optional()?;
    Ok(found.flatten().unwrap_or_default())
}

fn given_said(db: &Connection, no: i64) -> rusqlite::Result<Vec<Said>> {
    let mut find = db.prepare_cached("SELECT created_at FROM runs WHERE no = ?1")?;
    let at = find.query_row(params![no], |row| wall(row, 0))?;
    let said = |message| Said { run: None, at, message };
    Ok(given(db, no)?.into_iter().map(said).collect())
}

fn given_count(db: &Connection, no: i64) -> rusqlite::Result<usize> {
    let mut find = db.prepare_cached("SELECT given FROM requests WHERE run = ?1")?;
    Ok(find.query_row([no], |row| row.get(0)).optional()?.unwrap_or(0))
}
