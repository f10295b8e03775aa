//! Subscribers: cursors into a run's log, each at its own pace.
use super::admit::Manner;
use super::conn::{Behind, Conn, Phase, Stream};
use super::log::Place;
use super::waiting::{Done, Halt};
use super::{Asker, Machine, Output};
use crate::id::{ConnId, RunKey};
use crate::limits::{HISTORY_BYTES_MAX, LINGER_MS, LOG_WINDOW_BYTES_MAX, PAGE_BYTES_MAX};
use crate::record::{EventsPage, Query};
use crate::time::Wall;
use crate::wire::head::Version;
use crate::wire::{Reject, body, reply, sse};

impl Machine {
    /// Answers with the run's events after `cursor`, those to come included.
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        key: RunKey,
        cursor: Option<&str>,
        manner: &Manner,
    ) -> Result<Done, Halt> {
        let now = self.now;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = now.tick;
        let next_seq = seq_after(cursor, run.log.shown_seq())?;
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        if run.log.is_over() && next_seq == run.log.shown_seq() {
            reply::empty(&mut conn.outbox, &manner.meta(&self.date), 204, &[]);
            return Ok(Done::Answered);
        }
        let chunked = manner.version == Version::Http11;
        reply::stream_head(&mut conn.outbox, &manner.meta(&self.date));
        if manner.head_only {
            return Ok(Done::Answered);
        }
        comment(&mut conn.outbox, chunked, sse::OPEN);
        let oldest = run.log.oldest_seq();
        let is_behind = next_seq < oldest && self.keep.is_durable;
        if next_seq < oldest && !is_behind {
            self.scratch.clear();
            sse::truncated(&mut self.scratch, run.id(), now.wall, oldest, next_seq);
            comment(&mut conn.outbox, chunked, &self.scratch);
        }
        let at = run.log.place_of(next_seq.max(oldest));
        let behind = is_behind.then_some(Behind { next_seq, is_asking: false });
        let index = run.subscribers.len() as u32;
        run.subscribers.push(id);
        self.runs.subscribed();
        let close = manner.close;
        conn.phase = Phase::Stream(Stream { run: key, at, behind, index, chunked, close });
        conn.due = now.tick.after_duration(self.config.keepalive);
        self.arm_conn(id);
        self.pump(id);
        Ok(Done::Streams)
    }

    /// The part of a run's log that is due to this connection.
    pub(super) fn lent(&self, conn: &Conn) -> &[u8] {
        match &conn.phase {
            Phase::Stream(stream) if stream.chunked && stream.behind.is_none() => {
                let run = self.runs.get(stream.run).expect("a subscriber of a forgotten run");
                run.log.slice(stream.at)
            }
            _ => &[],
        }
    }

    /// Lists every subscriber of every run that has said something. A stream that ends thereby may
    /// have a request behind it that makes more news.
    pub(super) fn spread_news(&mut self) {
        while let Some(key) = self.news.pop_front() {
            let Some(run) = self.runs.get_mut(key) else { continue };
            run.listed = false;
            // Backwards, because a subscriber that leaves is replaced by the last one.
            for index in (0..run.subscribers.len()).rev() {
                let run = self.runs.get(key).expect("a run with subscribers is not forgotten");
                self.pump(run.subscribers[index]);
            }
        }
    }

    /// Lists a connection to be written, if it has something due and its socket takes it.
    pub(super) fn list(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !conn.blocked && !conn.listed {
            conn.listed = true;
            self.writable.push_back(id);
        }
    }

    /// Takes note that the socket took `count` bytes, and goes on with whatever waited for it.
    pub(super) fn sent(&mut self, id: ConnId, count: usize) {
        let now = self.now.tick;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let of_outbox = count.min(conn.unsent().len());
        conn.outbox_sent(of_outbox);
        if let Phase::Stream(stream) = &mut conn.phase {
            stream.at += (count - of_outbox) as u64;
            conn.due = now.after_duration(self.config.keepalive);
        }
        let conn = self.conns.get(id).expect("it was there a moment ago");
        let all = conn.unsent().is_empty() && self.lent(conn).is_empty();
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        conn.ease_stall(now, count, all);
        if count > 0 {
            self.prolong_flush();
        }
        if all {
            self.all_sent(id);
        }
    }

    /// Nothing more is due: a stream may be at its end, a closing connection closes.
    fn all_sent(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match &conn.phase {
            Phase::Stream(_) => self.pump(id),
            Phase::Closing if conn.ended => self.close(id),
            Phase::Closing => {
                conn.phase = Phase::Linger { left: crate::limits::LINGER_BYTES_MAX };
                conn.due = self.now.tick.after(LINGER_MS);
                self.outputs.push_back(Output::HalfClose(id));
                self.arm_conn(id);
                self.resume_reading(id);
            }
            Phase::Head { .. } | Phase::Body(_) => self.go_on(id),
            Phase::Linger { .. } | Phase::Waiting(_) => {}
        }
    }

    pub(super) fn blocked(&mut self, id: ConnId) {
        let now = self.now.tick;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.blocked = true;
        conn.begin_stall(now);
        self.arm_conn(id);
    }

    pub(super) fn unblocked(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if std::mem::take(&mut conn.blocked) {
            self.list(id);
        }
    }

    /// A stream's time has come: break the silence, unless it is the peer that does not read.
    pub(super) fn keep_alive(&mut self, id: ConnId) {
        let now = self.now.tick;
        let Some(conn) = self.conns.get(id) else { return };
        let idle = conn.unsent().is_empty() && self.lent(conn).is_empty();
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        let Phase::Stream(stream) = &conn.phase else { return };
        conn.due = now.after_duration(self.config.keepalive);
        if idle {
            comment(&mut conn.outbox, stream.chunked, sse::KEEPALIVE);
            self.list(id);
        }
        self.arm_conn(id);
    }

    /// Brings a stream on: lists it if something is due, ends it if all has been sent.
    fn pump(&mut self, id: ConnId) {
        if !self.catch_up(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Stream(stream) = &mut conn.phase else { return };
        let run = self.runs.get(stream.run).expect("a subscriber of a forgotten run");
        let log = &run.log;
        if !stream.chunked && conn.outbox.is_empty() {
            while conn.outbox.len() < crate::limits::SEGMENT_BYTES_MAX
                && let Some((frame, next)) = log.frame(stream.at)
            {
                conn.outbox.extend_from_slice(frame);
                stream.at = next;
            }
        }
        let unread = if stream.chunked { log.end() } else { stream.at };
        if !conn.outbox.is_empty() || stream.at < unread {
            return self.list(id);
        }
        if log.is_over() && (stream.at == log.end() || log.frame(stream.at).is_none()) {
            self.end_stream(id);
        }
    }

    /// Brings a stream that is told from the store nearer to what is in memory. Returns true once
    /// it is there.
    fn catch_up(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let Phase::Stream(stream) = &mut conn.phase else { return false };
        let Some(behind) = &mut stream.behind else { return true };
        let run = self.runs.get(stream.run).expect("a subscriber of a forgotten run");
        if behind.next_seq >= run.log.oldest_seq() {
            stream.at = run.log.place_of(behind.next_seq);
            stream.behind = None;
            return true;
        }
        if !conn.outbox.is_empty() {
            self.list(id);
        } else if !behind.is_asking {
            behind.is_asking = true;
            let (no, from_seq) = (run.record.no, behind.next_seq);
            let query = Query::Events { no, from_seq, bytes_max: PAGE_BYTES_MAX };
            self.ask(Asker::Conn(id), query);
        }
        false
    }

    /// What the store has for a stream. A run that is no longer there was deleted.
    pub(super) fn page_told(&mut self, id: ConnId, page: &EventsPage) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Stream(stream) = &mut conn.phase else { return };
        let Some(behind) = &mut stream.behind else { return };
        behind.is_asking = false;
        if page.lines.is_empty() || page.first_seq != behind.next_seq {
            return self.close(id);
        }
        let run = self.runs.get(stream.run).expect("a subscriber of a forgotten run");
        // The store may have more already than what may be shown.
        let count = run.log.shown_seq() - behind.next_seq;
        for line in page.lines.lines().take(count as usize) {
            self.scratch.clear();
            sse::frame_of_json(&mut self.scratch, behind.next_seq, line);
            comment(&mut conn.outbox, stream.chunked, &self.scratch);
            behind.next_seq += 1;
        }
        self.pump(id);
    }

    /// Lets readers see what a run has said up to `written`, of which the last was event `name`.
    pub(super) fn show(&mut self, key: RunKey, written: Place, name: &'static str, at: Wall) {
        let Some(run) = self.runs.get_mut(key) else { return };
        run.show(written, name, at);
        if !run.listed {
            run.listed = true;
            self.news.push_back(key);
        }
        let bytes_max = if self.keep.is_durable { LOG_WINDOW_BYTES_MAX } else { HISTORY_BYTES_MAX };
        let run = self.runs.get(key).expect("it was there a moment ago");
        let start = run.log.start_within(bytes_max);
        if start > run.log.start() {
            self.leave_behind(key, start);
            let run = self.runs.get_mut(key).expect("a working run is not forgotten");
            run.log.forget_before(start);
        }
    }

    /// What lies before `start` is about to leave memory: readers that are not beyond it are told
    /// from the store from now on. Where nothing else has it they are cut off; they may come again
    /// and be told what they have missed.
    fn leave_behind(&mut self, key: RunKey, start: u64) {
        let Some(run) = self.runs.get(key) else { return };
        let is_late = |id: &ConnId| match self.conns.get(*id).map(|conn| &conn.phase) {
            Some(Phase::Stream(stream)) => stream.behind.is_none() && stream.at < start,
            _ => false,
        };
        let late: Vec<ConnId> = run.subscribers.iter().copied().filter(is_late).collect();
        for id in late {
            if self.keep.is_durable {
                self.fall_behind(id);
            } else {
                self.close(id);
            }
        }
    }

    fn fall_behind(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Stream(stream) = &mut conn.phase else { return };
        let run = self.runs.get(stream.run).expect("a subscriber of a forgotten run");
        let (rest, next_seq) = run.log.rest_of_frame(stream.at);
        conn.outbox.extend_from_slice(rest);
        stream.behind = Some(Behind { next_seq, is_asking: false });
    }

    fn end_stream(&mut self, id: ConnId) {
        self.leave(id);
        let close = match self.conns.get_mut(id).map(|conn| &conn.phase) {
            Some(Phase::Stream(stream)) => stream.close || self.is_draining(),
            _ => return,
        };
        self.answered(id, close);
        self.go_on(id);
    }

    /// Takes a connection off its run's list of subscribers.
    pub(super) fn leave(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let Phase::Stream(stream) = &conn.phase else { return };
        let (key, index) = (stream.run, stream.index);
        let run = self.runs.get_mut(key).expect("a subscriber of a forgotten run");
        run.subscribers.swap_remove(index as usize);
        run.touched = self.now.tick;
        let moved = run.subscribers.get(index as usize).copied();
        self.runs.unsubscribed();
        if let Some(moved) = moved.and_then(|moved| self.conns.get_mut(moved))
            && let Phase::Stream(stream) = &mut moved.phase
        {
            stream.index = index;
        }
        self.arm_run(key);
    }
}

/// The first event a cursor has not seen. `N` means that it has seen all up to `N`, `-1` none.
fn seq_after(cursor: Option<&str>, next_seq: u64) -> Result<u64, Reject> {
    let Some(cursor) = cursor.filter(|cursor| *cursor != "-1") else { return Ok(0) };
    // `parse` alone would also take a sign.
    let digits = cursor.bytes().all(|byte| byte.is_ascii_digit());
    match cursor.parse::<u64>() {
        Ok(seen) if digits && seen < next_seq => Ok(seen + 1),
        _ => Err(Reject::InvalidCursor),
    }
}

fn comment(outbox: &mut Vec<u8>, chunked: bool, bytes: &[u8]) {
    if chunked { body::chunk(outbox, bytes) } else { outbox.extend_from_slice(bytes) }
}
