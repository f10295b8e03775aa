//! `GET /v1/events`: many runs on one stream, each at its own cursor, and what becomes of all runs.
//!
//! A feed takes turns. In a turn one run is lent from its log, a segment at most, or is told a page
//! from the store; only between turns, where frames are whole, may anything else be said. So each
//! run's frames stay the log's own bytes, none waits for ever, and a reader that reads nothing holds
//! a few cursors and the names of runs that have changed meanwhile.
use super::admit::Admitted;
use super::conn::{Conn, Cursor, Phase};
use super::keyring::Pass;
use super::stream::{comment, seq_after};
use super::waiting::{Done, Found, Halt};
use super::{Asker, Drain, Machine};
use crate::id::{ConnId, RunId, RunKey};
use crate::limits::{FEED_CHANGES_MAX, FEED_RUNS_MAX};
use crate::record::{Listed, Query};
use crate::wire::head::{Version, decoded, query_value};
use crate::wire::{Reject, body, reply, sse};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;

const RUNS: &str = "1 to 32 different runs, each RUN or RUN:SEQ, with commas between them";
const _: () = assert!(FEED_RUNS_MAX == 32);

/// A reader of many runs.
#[derive(Debug)]
pub struct Feed {
    /// Its runs that are not over, the one whose turn it is first.
    pub cursors: Vec<Cursor>,
    /// How far the first run is lent in this turn: to the end of a frame. None between turns.
    until: Option<u64>,
    /// The run about which the store has been asked. It may have left since.
    asked: Option<RunKey>,
    /// What runs of this owner become is told too.
    watched: Option<Arc<str>>,
    changes: Changes,
    /// Listed to be told of `changes`.
    is_listed: bool,
    /// By what right it reads.
    pub pass: Pass,
    /// False for HTTP/1.0, which gets bare frames through the outbox.
    pub chunked: bool,
}

/// Runs of which there is something to tell, each once, the longest waiting first.
#[derive(Debug, Default)]
struct Changes {
    /// At most `FEED_CHANGES_MAX`.
    runs: Vec<Change>,
    /// There were more: the reader must look at all of them again.
    are_too_many: bool,
}

#[derive(Debug)]
struct Change {
    run: RunId,
    is_deleted: bool,
}

impl Changes {
    fn note(&mut self, change: Change) {
        if self.are_too_many {
            return;
        }
        let is_full = self.runs.len() == FEED_CHANGES_MAX;
        match self.runs.iter_mut().find(|known| known.run == change.run) {
            Some(known) => known.is_deleted |= change.is_deleted,
            None if is_full => self.lose(),
            None => self.runs.push(change),
        }
    }

    fn lose(&mut self) {
        *self = Changes { runs: Vec::new(), are_too_many: true };
    }

    fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.are_too_many
    }
}

impl Feed {
    /// Bytes it holds.
    pub fn held(&self) -> usize {
        let changes = self.changes.runs.capacity() * size_of::<Change>();
        size_of::<Feed>() + self.cursors.capacity() * size_of::<Cursor>() + changes
    }

    /// The socket took so many bytes of what was lent.
    pub fn took(&mut self, count: u64) {
        if let Some(first) = self.cursors.first_mut().filter(|_| count > 0) {
            first.at += count;
        }
    }

    /// The answer of the store is here: the cursor it is for, if its run is still read.
    pub fn told_cursor(&mut self) -> Option<&mut Cursor> {
        let asked = self.asked.take()?;
        self.cursors.iter_mut().find(|cursor| cursor.run == asked)
    }

    /// Nothing more of this run is lent in this turn.
    pub fn cut(&mut self, run: RunKey) {
        if self.cursors.first().is_some_and(|first| first.run == run) {
            self.until = None;
        }
    }

    fn is_lent(&self) -> bool {
        let first = self.cursors.first();
        first.is_some_and(|first| self.until.is_some_and(|until| first.at < until))
    }

    fn end_turn(&mut self) {
        if self.until.take().is_some() {
            self.cursors.rotate_left(1);
        }
    }

    pub fn check(&self) {
        assert!(self.cursors.len() <= FEED_RUNS_MAX);
        assert!(self.changes.runs.len() <= FEED_CHANGES_MAX);
        assert!(self.until.is_none() || self.asked.is_none(), "two turns at once");
        if let Some(until) = self.until {
            let first = self.cursors.first().expect("a turn is somebody's");
            assert!(first.behind.is_none() && first.at <= until);
        }
        for (index, cursor) in self.cursors.iter().enumerate() {
            let others = &self.cursors[index + 1..];
            assert!(others.iter().all(|other| other.run != cursor.run), "it reads a run twice");
        }
    }
}

/// What a request wants to read.
struct Wanted {
    /// The runs as the client wrote them, with their cursors.
    runs: Vec<(String, Option<String>)>,
    watches: bool,
}

impl Wanted {
    fn of(admitted: &Admitted) -> Result<Wanted, Reject> {
        let value = |name| query_value(admitted.query.as_deref(), name);
        let watch = Reject::Parameter { name: "watch", wants: "runs" };
        let watches = match value("watch") {
            None | Some("") => false,
            Some("runs") => true,
            Some(_) => return Err(watch),
        };
        let wrong = || Reject::Parameter { name: "runs", wants: RUNS };
        let text = value("runs").map_or(Some(Cow::Borrowed("")), decoded).ok_or_else(wrong)?;
        let mut runs: Vec<(String, Option<String>)> = Vec::new();
        for piece in text.split(',').filter(|_| !text.is_empty()) {
            let (run, cursor) = piece.split_once(':').map_or((piece, None), |(r, c)| (r, Some(c)));
            let is_known = runs.iter().any(|(known, _)| known == run);
            if run.is_empty() || is_known || runs.len() == FEED_RUNS_MAX {
                return Err(wrong());
            }
            runs.push((run.to_owned(), cursor.map(str::to_owned)));
        }
        if runs.is_empty() && !watches { Err(wrong()) } else { Ok(Wanted { runs, watches }) }
    }
}

impl Machine {
    /// `GET /v1/events?runs=&watch=`.
    pub(super) fn follow_many(
        &mut self,
        id: ConnId,
        admitted: &Admitted,
        found: &Found,
    ) -> Result<Done, Halt> {
        self.check_all_memory(0)?;
        let Wanted { runs, watches } = Wanted::of(admitted)?;
        let places = self.find_places(id, admitted, &runs, found)?;
        let manner = &admitted.manner;
        let chunked = manner.version == Version::Http11;
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        reply::stream_head(&mut conn.outbox, &manner.meta(&self.date));
        self.replied(id, 200);
        if manner.head_only {
            self.give_back(&places);
            return Ok(Done::Answered);
        }
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        comment(&mut conn.outbox, chunked, sse::OPEN);
        let mut cursors = Vec::with_capacity(places.len());
        for (run, next_seq, index) in places {
            cursors.push(self.place_at(id, run, next_seq, index, chunked));
        }
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        conn.phase = Phase::Feed(Box::new(Feed {
            cursors,
            until: None,
            asked: None,
            watched: watches.then(|| admitted.who.owner.clone()),
            changes: Changes::default(),
            is_listed: false,
            pass: admitted.who.pass,
            chunked,
        }));
        conn.due = self.now.tick.after_duration(self.config.keepalive);
        if watches {
            self.watchers.push(id);
        }
        self.arm_conn(id);
        self.pump(id);
        Ok(Done::Streams)
    }

    /// Subscribes to each of the runs as soon as it is found, so that none is forgotten while the
    /// next is brought back; to none of them if one cannot be read. Each with its first event, and
    /// its index among the run's subscribers.
    fn find_places(
        &mut self,
        id: ConnId,
        admitted: &Admitted,
        runs: &[(String, Option<String>)],
        found: &Found,
    ) -> Result<Vec<(RunKey, u64, u32)>, Halt> {
        let mut places: Vec<(RunKey, u64, u32)> = Vec::with_capacity(runs.len());
        for (name, cursor) in runs {
            let run = self.find_run(&admitted.who, name, found);
            let place = run.and_then(|run| {
                let shown_seq = self.runs.get(run).expect("it was just found").log.shown_seq();
                Ok((run, seq_after(cursor.as_deref(), shown_seq)?))
            });
            match place {
                // Two ways to write one run.
                Ok((run, _)) if places.iter().any(|(known, ..)| *known == run) => {
                    self.give_back(&places);
                    return Err(Reject::Parameter { name: "runs", wants: RUNS }.into());
                }
                Ok((run, next_seq)) => places.push((run, next_seq, self.take_place(id, run))),
                Err(halt) => {
                    self.give_back(&places);
                    return Err(halt);
                }
            }
        }
        Ok(places)
    }

    /// Backwards, as each is still the last on its list.
    fn give_back(&mut self, places: &[(RunKey, u64, u32)]) {
        places.iter().rev().for_each(|(run, _, index)| self.leave_run(*run, *index));
    }

    /// The part of its first run's log that is due to a feed in this turn.
    pub(super) fn lent_to_feed(&self, feed: &Feed) -> &[u8] {
        let (Some(first), Some(until)) = (feed.cursors.first(), feed.until) else { return &[] };
        let run = self.runs.get(first.run).expect("a subscriber of a forgotten run");
        &run.log.slice(first.at)[..(until - first.at) as usize]
    }

    /// Brings a feed on: lists it if something is due, and begins its next turn if not.
    pub(super) fn pump_feed(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Feed(feed) = &mut conn.phase else { return };
        if feed.is_lent() {
            return self.list(id);
        }
        feed.end_turn();
        let is_asking = feed.asked.is_some();
        if conn.outbox.is_empty() && !is_asking {
            self.tell_changes(id);
            self.begin_turn(id);
        }
        let conn = self.conns.get(id).expect("it was there a moment ago");
        let Phase::Feed(feed) = &conn.phase else { return };
        if !conn.outbox.is_empty() || feed.is_lent() {
            self.list(id);
        } else if feed.asked.is_none() && matches!(self.drain, Drain::Flush { .. }) {
            self.end_feed(id);
        }
    }

    /// Finds the next of its runs that has something to say. Runs that have said all are left.
    fn begin_turn(&mut self, id: ConnId) {
        let mut looks = self.conns.get(id).map_or(0, |conn| conn.cursors().len());
        while looks > 0 {
            looks -= 1;
            let Machine { conns, runs, .. } = self;
            let conn = conns.get_mut(id).expect("the caller just used it");
            let Phase::Feed(feed) = &mut conn.phase else { return };
            let cursor = feed.cursors.first_mut().expect("as many as there are looks");
            let run = runs.get(cursor.run).expect("a subscriber of a forgotten run");
            if let Some(from_seq) = cursor.behind {
                if from_seq < run.log.oldest_seq() {
                    feed.asked = Some(cursor.run);
                    let (no, bytes_max) = (run.record.no, self.shares.page);
                    return self.ask(Asker::Conn(id), Query::Events { no, from_seq, bytes_max });
                }
                (cursor.at, cursor.behind) = (run.log.place_of(from_seq), None);
            }
            let until = run.log.piece_end(cursor.at);
            if cursor.at < until {
                feed.until = Some(until);
                return self.copy_lent(id);
            }
            if run.log.is_over() {
                let Cursor { run, index, .. } = feed.cursors.remove(0);
                self.leave_run(run, index);
            } else {
                feed.cursors.rotate_left(1);
            }
        }
    }

    /// Where there are no chunks, frames go through the outbox.
    fn copy_lent(&mut self, id: ConnId) {
        let Machine { conns, runs, shares, .. } = self;
        let conn = conns.get_mut(id).expect("the caller just used it");
        let Phase::Feed(feed) = &mut conn.phase else { return };
        let Some(until) = feed.until.filter(|_| !feed.chunked) else { return };
        let cursor = feed.cursors.first_mut().expect("a turn is somebody's");
        let run = runs.get(cursor.run).expect("a subscriber of a forgotten run");
        while cursor.at < until
            && conn.outbox.len() < shares.segment
            && let Some((frame, next)) = run.log.frame(cursor.at)
        {
            conn.outbox.extend_from_slice(frame);
            cursor.at = next;
        }
        feed.until = None;
        feed.cursors.rotate_left(1);
    }

    /// Says what has become of runs. Only between turns, into an empty outbox.
    fn tell_changes(&mut self, id: ConnId) {
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let Phase::Feed(feed) = &mut conn.phase else { return };
        if feed.changes.is_empty() {
            return;
        }
        let chunked = feed.chunked;
        let Changes { runs, mut are_too_many } = std::mem::take(&mut feed.changes);
        let mut said = Vec::new();
        for change in runs {
            let frame = self.change_frame(&change);
            // It came to its end and left memory: a store has the rest.
            are_too_many |= frame.is_none();
            frame.into_iter().for_each(|frame| comment(&mut said, chunked, &frame));
        }
        if are_too_many {
            comment(&mut said, chunked, b"data: {\"event\":\"runs.changed\"}\n\n");
        }
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        conn.outbox.extend_from_slice(&said);
    }

    fn change_frame(&self, change: &Change) -> Option<Vec<u8>> {
        let page = if change.is_deleted {
            json!({ "run_id": change.run.to_string(), "status": "deleted" })
        } else {
            let run = self.runs.get(self.runs.by_id(change.run)?)?;
            let outcome = run.outcome.as_deref();
            let mut page = self.run_json(&Listed {
                id: change.run,
                status: run.status,
                created: run.record.created,
                updated: run.updated,
                waited: run.waited,
                session_id: run.record.session_id.clone(),
                model: run.record.model.clone(),
                preview: run.preview.clone(),
                usage: outcome.and_then(|outcome| outcome.usage),
                error: outcome.and_then(|outcome| outcome.error.as_deref().map(Box::from)),
            });
            if let Some(last_event) = run.last_event() {
                page["last_event"] = json!(last_event);
            }
            page
        };
        let mut page = page;
        page["event"] = json!("run.status");
        Some(format!("data: {page}\n\n").into_bytes())
    }

    /// Takes note of a run's status, and has those who watch told if it is another one. Until the
    /// store has it, a run may never have been.
    pub(super) fn announce(&mut self, key: RunKey) {
        let Some(run) = self.runs.get(key) else { return };
        let status = Some(run.status);
        if run.announced == status || self.keep.is_creating(key) {
            return;
        }
        let (run, owner) = (run.id(), run.record.owner.clone());
        self.runs.get_mut(key).expect("it was there a moment ago").announced = status;
        self.tell_watchers(Some(&owner), || Some(Change { run, is_deleted: false }));
    }

    pub(super) fn announce_deleted(&mut self, run: RunId, owner: &str) {
        self.tell_watchers(Some(owner), || Some(Change { run, is_deleted: true }));
    }

    /// Runs are gone that were not in memory: of this owner, or of anybody.
    pub(super) fn announce_unknown(&mut self, owner: Option<&str>) {
        self.tell_watchers(owner, || None);
    }

    fn tell_watchers(&mut self, owner: Option<&str>, change: impl Fn() -> Option<Change>) {
        for index in 0..self.watchers.len() {
            let id = self.watchers[index];
            let Some(conn) = self.conns.get(id) else { continue };
            let Phase::Feed(feed) = &conn.phase else { continue };
            if owner.is_none() || feed.watched.as_deref() == owner {
                self.note_change(id, change());
            }
        }
    }

    fn note_change(&mut self, id: ConnId, change: Option<Change>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Feed(feed) = &mut conn.phase else { return };
        match change {
            Some(change) => feed.changes.note(change),
            None => feed.changes.lose(),
        }
        if !std::mem::replace(&mut feed.is_listed, true) {
            self.told.push(id);
        }
    }

    /// Brings on all feeds that have something to tell beside events.
    pub(super) fn spread_changes(&mut self) {
        for id in std::mem::take(&mut self.told) {
            if let Some(conn) = self.conns.get_mut(id)
                && let Phase::Feed(feed) = &mut conn.phase
            {
                feed.is_listed = false;
                self.pump(id);
            }
        }
    }

    /// A run this connection reads was deleted: that ends a stream, and a feed goes on without it.
    pub(super) fn run_is_gone(&mut self, id: ConnId, key: RunKey) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Feed(feed) = &mut conn.phase else { return self.close(id) };
        let is_first = feed.cursors.first().is_some_and(|first| first.run == key);
        if is_first && feed.is_lent() {
            self.cut_lent(id, key);
        }
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        let Phase::Feed(feed) = &mut conn.phase else { return };
        if is_first {
            feed.until = None;
        }
        let Some(place) = feed.cursors.iter().position(|cursor| cursor.run == key) else { return };
        let Cursor { index, .. } = feed.cursors.remove(place);
        let run = self.runs.get(key).expect("a subscriber of a forgotten run").id();
        self.leave_run(key, index);
        self.note_change(id, Some(Change { run, is_deleted: true }));
    }

    /// The server ends, and has nothing more to tell.
    fn end_feed(&mut self, id: ConnId) {
        self.leave(id);
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let Phase::Feed(feed) = &conn.phase else { return };
        comment(&mut conn.outbox, feed.chunked, sse::CLOSED);
        if feed.chunked {
            conn.outbox.extend_from_slice(body::LAST_CHUNK);
        }
        self.answered(id, true);
    }

    /// All feeds look whether the server, which is about to end, still has something for them.
    pub(super) fn wake_feeds(&mut self) {
        let feeds = self.conns.iter().filter(|(_, conn)| matches!(conn.phase, Phase::Feed(_)));
        let feeds: Vec<ConnId> = feeds.map(|(id, _)| id).collect();
        self.told.extend(feeds);
    }

    /// True if a feed between turns could begin one.
    pub(super) fn feed_lags(&self, conn: &Conn) -> bool {
        let Phase::Feed(feed) = &conn.phase else { return false };
        let has_more = |cursor: &Cursor| {
            let run = self.runs.get(cursor.run).expect("a subscriber of a forgotten run");
            cursor.behind.is_some() || cursor.at < run.log.piece_end(cursor.at)
        };
        feed.asked.is_none() && (!feed.changes.is_empty() || feed.cursors.iter().any(has_more))
    }

    pub(super) fn has_changes(&self, conn: &Conn) -> bool {
        matches!(&conn.phase, Phase::Feed(feed) if feed.is_listed)
    }
}
