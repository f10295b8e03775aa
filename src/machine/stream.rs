//! Subscribers: cursors into a run's log, each at its own pace.
use super::admit::Admitted;
use super::conn::{Conn, Cursor, Phase, Stream};
use super::log::Place;
use super::metrics::Evicted;
use super::waiting::{Done, Halt};
use super::{Asker, Machine, Output};
use crate::id::{ConnId, RunKey};
use crate::limits::LINGER_MS;
use crate::record::{EventsPage, Query};
use crate::time::Wall;
use crate::wire::head::Version;
use crate::wire::redact::Redact;
use crate::wire::{Reject, body, reply, sse};

impl Machine {
    /// Answers with the run's events after the cursor, those to come included.
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        key: RunKey,
        admitted: &Admitted,
    ) -> Result<Done, Halt> {
        // A run is kept in memory for its readers.
        self.check_all_memory(0)?;
        let (cursor, manner) = (admitted.cursor.as_deref(), &admitted.manner);
        let now = self.now;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = now.tick;
        let next_seq = seq_after(cursor, run.log.shown_seq())?;
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        if run.log.is_over() && next_seq == run.log.shown_seq() {
            reply::empty(&mut conn.outbox, &manner.meta(&self.date), 204, &[]);
            self.replied(id, 204);
            return Ok(Done::Answered);
        }
        let chunked = manner.version == Version::Http11;
        reply::stream_head(&mut conn.outbox, &manner.meta(&self.date));
        self.replied(id, 200);
        if manner.head_only {
            return Ok(Done::Answered);
        }
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        comment(&mut conn.outbox, chunked, sse::OPEN);
        let index = self.take_place(id, key);
        let cursor = self.place_at(id, key, next_seq, index, chunked);
        let at = cursor.at;
        let redact = admitted.redact;
        let (pass, close) = (admitted.who.pass, manner.close);
        let clear_to = if redact.is_nothing() { u64::MAX } else { at };
        let conn = self.conns.get_mut(id).expect("it was there a moment ago");
        conn.phase = Phase::Stream(Stream {
            cursor,
            is_asking: false,
            pass,
            redact,
            clear_to,
            is_skipping: false,
            chunked,
            close,
        });
        conn.due = now.tick.after_duration(self.config.keepalive);
        self.arm_conn(id);
        self.pump(id);
        Ok(Done::Streams)
    }

    /// Makes a connection a subscriber of a run. Returns its index on the list of those.
    pub(super) fn take_place(&mut self, id: ConnId, key: RunKey) -> u32 {
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = self.now.tick;
        run.log.unpack(run.record.id);
        run.subscribers.push(id);
        let index = run.subscribers.len() as u32 - 1;
        self.runs.subscribed();
        index
    }

    /// The place in a run's log where a subscriber goes on with event `next_seq`. What is lost for
    /// good it is told at once.
    pub(super) fn place_at(
        &mut self,
        id: ConnId,
        key: RunKey,
        next_seq: u64,
        index: u32,
        chunked: bool,
    ) -> Cursor {
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let run = self.runs.get(key).expect("a run that is read is not forgotten");
        let oldest = run.log.oldest_seq();
        let is_behind = next_seq < oldest && self.keep.is_durable;
        if next_seq < oldest && !is_behind {
            self.scratch.clear();
            sse::truncated(&mut self.scratch, run.id(), self.now.wall, oldest, next_seq);
            comment(&mut conn.outbox, chunked, &self.scratch);
        }
        let at = run.log.place_of(next_seq.max(oldest));
        Cursor { run: key, at, behind: is_behind.then_some(next_seq), index }
    }

    /// The part of a run's log that is due to this connection.
    pub(super) fn lent(&self, conn: &Conn) -> &[u8] {
        match &conn.phase {
            Phase::Stream(stream) if stream.chunked && stream.cursor.behind.is_none() => {
                let run =
                    self.runs.get(stream.cursor.run).expect("a subscriber of a forgotten run");
                stream.lent(&run.log)
            }
            Phase::Feed(feed) => self.lent_to_feed(feed),
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
                if let Some(reader) = run.subscribers.get(index) {
                    self.pump(*reader);
                }
            }
        }
        self.spread_changes();
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
        self.metrics.bytes_sent += count as u64;
        if let Phase::Stream(stream) = &mut conn.phase {
            stream.cursor.at += (count - of_outbox) as u64;
            if stream.is_at_limit() && stream.cursor.behind.is_none() {
                let run =
                    self.runs.get(stream.cursor.run).expect("a subscriber of a forgotten run");
                stream.look_ahead(&run.log);
            }
            conn.due = now.after_duration(self.config.keepalive);
        } else if let Phase::Feed(feed) = &mut conn.phase {
            feed.took((count - of_outbox) as u64);
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
            Phase::Stream(_) | Phase::Feed(_) => self.pump(id),
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
        self.note_holder(id);
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
        let chunked = match &conn.phase {
            Phase::Stream(stream) => stream.chunked,
            Phase::Feed(feed) => feed.chunked,
            _ => return,
        };
        conn.due = now.after_duration(self.config.keepalive);
        if idle {
            comment(&mut conn.outbox, chunked, sse::KEEPALIVE);
            self.list(id);
        }
        self.arm_conn(id);
    }

    /// Brings a stream on: lists it if something is due, ends it if all has been sent.
    pub(super) fn pump(&mut self, id: ConnId) {
        if matches!(self.conns.get(id).map(|conn| &conn.phase), Some(Phase::Feed(_))) {
            return self.pump_feed(id);
        }
        if !self.catch_up(id) {
            return;
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Stream(stream) = &mut conn.phase else { return };
        let run = self.runs.get(stream.cursor.run).expect("a subscriber of a forgotten run");
        let log = &run.log;
        stream.look_ahead(log);
        if !stream.chunked && conn.outbox.is_empty() {
            while conn.outbox.len() < self.shares.segment
                && stream.cursor.at < stream.clear_to
                && let Some((frame, next)) = log.frame(stream.cursor.at)
            {
                conn.outbox.extend_from_slice(frame);
                stream.cursor.at = next;
            }
        }
        let is_due = stream.chunked && !stream.lent(log).is_empty();
        if !conn.outbox.is_empty() || is_due {
            return self.list(id);
        }
        if stream.is_at_limit() && log.frame(stream.cursor.at).is_some() {
            return self.skip_on(id);
        }
        if log.is_over() && (stream.cursor.at == log.end() || log.frame(stream.cursor.at).is_none())
        {
            self.end_stream(id);
        }
    }

    /// Brings a stream that is told from the store nearer to what is in memory. Returns true once
    /// it is there.
    fn catch_up(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let Phase::Stream(stream) = &mut conn.phase else { return false };
        let Some(from_seq) = stream.cursor.behind else { return true };
        let run = self.runs.get(stream.cursor.run).expect("a subscriber of a forgotten run");
        if from_seq >= run.log.oldest_seq() {
            let at = run.log.place_of(from_seq);
            stream.move_to(at);
            return true;
        }
        if !conn.outbox.is_empty() {
            self.list(id);
        } else if !std::mem::replace(&mut stream.is_asking, true) {
            let no = run.record.no;
            let query = Query::Events { no, from_seq, bytes_max: self.shares.page };
            self.ask(Asker::Conn(id), query);
        }
        false
    }

    /// What the store has for a stream. A run that is no longer there was deleted.
    pub(super) fn page_told(&mut self, id: ConnId, page: &EventsPage) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let (cursor, redact, chunked) = match &mut conn.phase {
            Phase::Stream(stream) => {
                stream.is_asking = false;
                (Some(&mut stream.cursor), stream.redact, stream.chunked)
            }
            Phase::Feed(feed) => {
                let chunked = feed.chunked;
                (feed.told_cursor(), Redact::NOTHING, chunked)
            }
            _ => return,
        };
        self.metrics.store_pages += 1;
        if let Some(cursor) = cursor
            && let Some(next_seq) = &mut cursor.behind
        {
            if page.lines.is_empty() || page.first_seq != *next_seq {
                let run = cursor.run;
                return self.run_is_gone(id, run);
            }
            let run = self.runs.get(cursor.run).expect("a subscriber of a forgotten run");
            // The store may have more already than what may be shown.
            let count = run.log.shown_seq() - *next_seq;
            for line in page.lines.lines().take(count as usize) {
                self.scratch.clear();
                if !redact.hides(line.as_bytes()) {
                    sse::frame_of_json(&mut self.scratch, *next_seq, line);
                    comment(&mut conn.outbox, chunked, &self.scratch);
                }
                *next_seq += 1;
            }
        }
        self.pump(id);
    }

    /// Lets readers see what a run has said up to `written`, of which the last was event `name`.
    pub(super) fn show(&mut self, key: RunKey, written: Place, name: &'static str, at: Wall) {
        let Some(run) = self.runs.get_mut(key) else { return };
        run.show(written, name, at);
        self.list_news(key);
        self.announce(key);
        self.shorten_log(key);
    }

    /// Has the subscribers of a run looked at before the turn ends.
    fn list_news(&mut self, key: RunKey) {
        let Some(run) = self.runs.get_mut(key) else { return };
        if !run.listed {
            run.listed = true;
            self.news.push_back(key);
        }
    }

    /// Has a log keep no more than what it may at the moment.
    pub(super) fn shorten_log(&mut self, key: RunKey) {
        let bytes_max = match self.keep.is_durable {
            _ if self.is_tight() => self.shares.window_tight,
            true => self.shares.window,
            false => self.shares.history,
        };
        let Some(run) = self.runs.get(key) else { return };
        let start = run.log.start_within(bytes_max);
        if start > run.log.start() {
            self.leave_behind(key, start);
            let run = self.runs.get_mut(key).expect("a working run is not forgotten");
            run.log.forget_before(start);
            self.metrics.evict(Evicted::Log);
            // Who was to be sent what is gone now must ask for it.
            self.list_news(key);
        }
    }

    /// What lies before `start` is about to leave memory: readers that are not beyond it are told
    /// from the store from now on. Where nothing else has it they are cut off; they may come again
    /// and be told what they have missed.
    fn leave_behind(&mut self, key: RunKey, start: u64) {
        let Some(run) = self.runs.get(key) else { return };
        let is_late = |id: &ConnId| {
            let cursors = self.conns.get(*id).map_or(&[][..], Conn::cursors);
            let mut of_run = cursors.iter().filter(|cursor| cursor.run == key);
            of_run.any(|cursor| cursor.behind.is_none() && cursor.at < start)
        };
        let late: Vec<ConnId> = run.subscribers.iter().copied().filter(is_late).collect();
        for id in late {
            if self.keep.is_durable {
                self.fall_behind(id, key);
            } else {
                self.metrics.evict(Evicted::Reader);
                self.close(id);
            }
        }
    }

    fn fall_behind(&mut self, id: ConnId, key: RunKey) {
        let next_seq = self.cut_lent(id, key);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(cursor) = conn.cursor_mut(key) {
            cursor.behind = Some(next_seq);
        }
    }

    /// Puts what is left of the frame a reader is in into its outbox, where it outlives the log.
    /// Returns the event after that.
    pub(super) fn cut_lent(&mut self, id: ConnId, key: RunKey) -> u64 {
        let conn = self.conns.get_mut(id).expect("a subscriber is there");
        let at = conn.cursor_mut(key).expect("a subscriber has its place").at;
        let run = self.runs.get(key).expect("a subscriber of a forgotten run");
        let (rest, next_seq) = run.log.rest_of_frame(at);
        conn.outbox.extend_from_slice(rest);
        if let Phase::Feed(feed) = &mut conn.phase {
            feed.cut(key);
        }
        next_seq
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

    /// Takes a connection off all lists of those who read.
    pub(super) fn leave(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        let places: Vec<(RunKey, u32)> =
            conn.cursors().iter().map(|it| (it.run, it.index)).collect();
        if matches!(conn.phase, Phase::Feed(_)) {
            self.watchers.retain(|watcher| *watcher != id);
        }
        for (run, index) in places {
            self.leave_run(run, index);
        }
    }

    /// Takes the subscriber at `index` off a run's list.
    pub(super) fn leave_run(&mut self, key: RunKey, index: u32) {
        let run = self.runs.get_mut(key).expect("a subscriber of a forgotten run");
        run.subscribers.swap_remove(index as usize);
        run.touched = self.now.tick;
        let moved = run.subscribers.get(index as usize).copied();
        run.fold(&mut self.scratch);
        self.runs.unsubscribed();
        if let Some(moved) = moved.and_then(|moved| self.conns.get_mut(moved))
            && let Some(cursor) = moved.cursor_mut(key)
        {
            cursor.index = index;
        }
        self.arm_run(key);
    }
}

/// The first event a cursor has not seen. `N` means that it has seen all up to `N`, `-1` none.
pub(super) fn seq_after(cursor: Option<&str>, next_seq: u64) -> Result<u64, Reject> {
    let Some(cursor) = cursor.filter(|cursor| *cursor != "-1") else { return Ok(0) };
    // `parse` alone would also take a sign.
    let digits = cursor.bytes().all(|byte| byte.is_ascii_digit());
    match cursor.parse::<u64>() {
        Ok(seen) if digits && seen < next_seq => Ok(seen + 1),
        _ => Err(Reject::InvalidCursor),
    }
}

/// Appends a frame or a comment.
pub(super) fn comment(outbox: &mut Vec<u8>, chunked: bool, bytes: &[u8]) {
    if chunked { body::chunk(outbox, bytes) } else { outbox.extend_from_slice(bytes) }
}
