//! From bytes to answers: heads and bodies out of what was received, replies into the outbox.
use super::admit::{Admitted, Manner, admit};
use super::conn::{Body, Conn, Phase};
use super::metrics::Evicted;
use super::route::Route;
use super::waiting::{Done, Found, Halt};
use super::{Machine, Output};
use crate::id::{ConnId, RunKey};
use crate::limits::{DRAIN_IDLE_MS, OUTBOX_BYTES_MAX};
use crate::time::Tick;
use crate::wire::head::{self, Framing, Head, Method};
use crate::wire::{Reject, reply};

const ENDS_EARLY: &str = "The request ends before its end; send all of it.";

/// What a step with the received bytes came to.
enum Step {
    /// This many bytes were used up, and there may be more in the rest.
    Used(usize),
    /// The rest is too little to go on with.
    Wait,
}

impl Machine {
    pub(super) fn received(&mut self, id: ConnId, bytes: &[u8]) {
        self.metrics.bytes_received += bytes.len() as u64;
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.inbox.is_empty() {
            let used = self.drive(id, bytes);
            if let Some(conn) = self.conns.get_mut(id) {
                conn.inbox.extend_from_slice(&bytes[used..]);
            }
        } else {
            conn.inbox.extend_from_slice(bytes);
            self.drive_inbox(id);
        }
        self.note_holder(id);
    }

    /// Goes on after an answer has been sent: with the next request, or to the end.
    pub(super) fn go_on(&mut self, id: ConnId) {
        self.drive_inbox(id);
        self.resume_reading(id);
        self.close_if_over(id);
    }

    pub(super) fn ended(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.ended = true;
        match conn.phase {
            Phase::Linger { .. } => self.close(id),
            // A client that is gone looks like one that has only finished asking. Saying
            // something tells: a socket that nobody holds answers with a reset.
            Phase::Stream(_) | Phase::Feed(_) => self.keep_alive(id),
            Phase::Closing | Phase::Waiting(_) => {}
            Phase::Head { .. } | Phase::Body(_) => self.close_if_over(id),
        }
    }

    pub(super) fn resume_reading(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if std::mem::take(&mut conn.full) {
            self.outputs.push_back(Output::Resume(id));
        }
    }

    fn drive_inbox(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut inbox = std::mem::take(&mut conn.inbox);
        let used = self.drive(id, &inbox);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if used < inbox.len() {
            inbox.drain(..used);
            if inbox.len() < inbox.capacity() / 4 {
                inbox.shrink_to_fit();
            }
            conn.inbox = inbox;
        }
    }

    /// Answers requests until one must wait, or no whole one is left. Returns the bytes used up.
    fn drive(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len()
            && let Step::Used(count) = self.step(id, &bytes[used..])
        {
            used += count;
        }
        used
    }

    fn step(&mut self, id: ConnId, bytes: &[u8]) -> Step {
        // Where memory is short, one answer must be on its way before the next is made.
        let outbox_max = if self.is_pressed() { 1 } else { OUTBOX_BYTES_MAX };
        let Some(conn) = self.conns.get_mut(id) else { return Step::Used(bytes.len()) };
        let takes_requests = conn.takes_requests(outbox_max);
        match &mut conn.phase {
            Phase::Linger { left } if bytes.len() < *left => {
                *left -= bytes.len();
                Step::Used(bytes.len())
            }
            Phase::Linger { .. } => {
                self.close(id);
                Step::Used(bytes.len())
            }
            Phase::Closing => Step::Used(bytes.len()),
            _ if !takes_requests => Step::Wait,
            Phase::Head { .. } => self.read_head(id, bytes),
            Phase::Body(_) => self.read_body(id, bytes),
            Phase::Stream(_) | Phase::Feed(_) | Phase::Waiting(_) => Step::Wait,
        }
    }

    fn read_head(&mut self, id: ConnId, bytes: &[u8]) -> Step {
        let now = self.now.tick;
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        match head::parse(bytes, conn.seen as usize) {
            Ok(Some((head, used))) => {
                conn.seen = 0;
                Step::Used(used + self.admit(id, &head, &bytes[used..]))
            }
            Ok(None) => {
                conn.seen = bytes.len() as u32;
                if let Phase::Head { begun: begun @ false } = &mut conn.phase {
                    *begun = true;
                    conn.due = now.after_duration(self.config.head_timeout);
                    self.arm_conn(id);
                }
                Step::Wait
            }
            Err(reject) => {
                self.refuse(id, Manner::unknown(), &reject);
                Step::Used(bytes.len())
            }
        }
    }

    /// Decides on a head, and answers at once if its whole body is here. Returns the bytes of
    /// body used up.
    fn admit(&mut self, id: ConnId, head: &Head<'_>, rest: &[u8]) -> usize {
        self.heard(id, head);
        let (manner, wall) = (Manner::of(head, &self.access), self.now.wall);
        let admitted = admit(head, &self.access, self.config.max_body, manner.clone(), wall);
        let admitted = admitted.and_then(|admitted| {
            self.access.keys.spend(&admitted.who, self.now.tick)?;
            self.check_new_work(admitted, head)
        });
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(reject) => {
                // The body of a refused request is not worth reading.
                let close = manner.close || head.framing != Framing::None;
                self.refuse(id, Manner { close, ..manner }, &reject);
                return 0;
            }
        };
        match head.framing {
            Framing::None | Framing::Sized(0) => {
                self.attempt(id, admitted, &[], Found::default());
                0
            }
            Framing::Sized(size) if size <= rest.len() as u64 => {
                self.attempt(id, admitted, &rest[..size as usize], Found::default());
                size as usize
            }
            Framing::Sized(size) => {
                self.await_body(id, Body::sized(admitted, size as usize), head, rest)
            }
            Framing::Chunked => self.await_body(id, Body::chunked(admitted), head, rest),
        }
    }

    /// The body of new work is not read where there is no memory for it.
    fn check_new_work(&self, admitted: Admitted, head: &Head<'_>) -> Result<Admitted, Reject> {
        if matches!(admitted.route, Route::Runs) && admitted.method == Method::Post {
            let bytes = if let Framing::Sized(size) = head.framing { size as usize } else { 0 };
            self.check_memory(bytes)?;
        }
        Ok(admitted)
    }

    fn await_body(&mut self, id: ConnId, body: Body, head: &Head<'_>, rest: &[u8]) -> usize {
        let due = self.now.tick.after_duration(self.config.body_timeout);
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        conn.phase = Phase::Body(Box::new(body));
        conn.due = due;
        if head.expects_continue && rest.is_empty() {
            conn.outbox.extend_from_slice(reply::CONTINUE);
            self.list(id);
        }
        self.arm_conn(id);
        0
    }

    fn read_body(&mut self, id: ConnId, bytes: &[u8]) -> Step {
        let body_due = self.now.tick.after_duration(self.config.body_timeout);
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let Phase::Body(body) = &mut conn.phase else { return Step::Wait };
        let fed = body.feed(bytes, self.config.max_body);
        let fed = fed.and_then(|used| match body.bytes() {
            [_, ..] if !body.admitted.is_json => Err(Reject::UnsupportedMediaType),
            _ => Ok(used),
        });
        match fed {
            Ok(used) if body.is_complete() => {
                let phase = std::mem::replace(&mut conn.phase, Phase::Head { begun: false });
                let Phase::Body(body) = phase else { unreachable!("the phase was Body") };
                let (admitted, bytes) = body.into_parts();
                self.attempt(id, admitted, &bytes, Found::default());
                Step::Used(used)
            }
            Ok(used) => {
                if body.earns_time(used) {
                    conn.due = body_due;
                }
                Step::Used(used)
            }
            Err(reject) => {
                let manner = Manner { close: true, ..body.admitted.manner.clone() };
                self.refuse(id, manner, &reject);
                Step::Used(bytes.len())
            }
        }
    }

    /// Puts the answer to a request into the outbox, or says what must be known first.
    pub(super) fn dispatch(
        &mut self,
        id: ConnId,
        admitted: &Admitted,
        body: &[u8],
        found: &Found,
    ) -> Result<Done, Halt> {
        if admitted.method == Method::Options {
            return Ok(self.allow(id, admitted));
        }
        let page = match &admitted.route {
            #[cfg(feature = "page")]
            Route::Index => {
                self.index(id, admitted);
                return Ok(Done::Answered);
            }
            #[cfg(not(feature = "page"))]
            Route::Index => self.pages.index.clone(),
            #[cfg(feature = "openapi")]
            Route::OpenApi => crate::packed::unpack(crate::openapi::PACKED),
            Route::Health => self.pages.health.clone(),
            Route::HealthDetailed => self.health_detailed(),
            Route::Metrics => return Ok(self.measure(id)),
            Route::Capabilities => self.pages.capabilities.clone(),
            Route::Models => self.pages.models.clone(),
            Route::Toolsets => self.pages.toolsets.clone(),
            Route::Skills => self.pages.skills.clone(),
            Route::Runs if admitted.method == Method::Post => {
                return self.submit(admitted, body, found);
            }
            Route::Runs => self.list_runs(admitted, found)?,
            Route::Run(name) => {
                let run = self.find_run(&admitted.who, name, found)?;
                if admitted.method == Method::Delete {
                    return self.delete_run(id, run);
                }
                self.status_of(run, admitted.redact)
            }
            Route::Events(name) => {
                let run = self.find_run(&admitted.who, name, found)?;
                return self.subscribe(id, run, admitted);
            }
            Route::Feed => return self.follow_many(id, admitted, found),
            Route::Stop(name) | Route::Steer(name) | Route::Approval(name) => {
                let run = self.find_run(&admitted.who, name, found)?;
                self.control(run, admitted, body)?
            }
            #[cfg(feature = "tokens")]
            Route::Token(name) => {
                let run = self.find_run(&admitted.who, name, found)?;
                self.mint_token(&admitted.who, run, body)?
            }
            Route::Approvals => self.list_approvals(&admitted.who),
            Route::Grants => self.list_grants(&admitted.who),
            Route::Grant(name) => return self.revoke(id, &admitted.who, name),
            Route::Sessions => self.list_sessions(admitted, found)?,
            Route::Session(name) if admitted.method == Method::Delete => {
                return self.delete_session(id, &admitted.who, name, found);
            }
            Route::Session(name) => self.session(&admitted.who, name, found)?,
            Route::Messages(name) => self.messages(name, admitted, found)?,
            Route::Server => unreachable!("it has no method but OPTIONS"),
        };
        self.reply(id, &admitted.manner, 200, &[], &page);
        Ok(Done::Answered)
    }

    /// Puts the methods of a path into the outbox.
    fn allow(&mut self, id: ConnId, admitted: &Admitted) -> Done {
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let meta = admitted.manner.meta(&self.date);
        reply::options(&mut conn.outbox, &meta, admitted.route.allow());
        self.replied(id, 200);
        Done::Answered
    }

    /// Does to a run what somebody wants of it.
    fn control(
        &mut self,
        run: RunKey,
        admitted: &Admitted,
        body: &[u8],
    ) -> Result<Vec<u8>, Reject> {
        match &admitted.route {
            Route::Stop(_) => Ok(self.stop(run)),
            Route::Steer(_) => self.steer(run, body),
            Route::Approval(_) => self.decide(run, body, admitted.redact.decides),
            _ => unreachable!("no other route controls a run"),
        }
    }

    pub(super) fn reply(
        &mut self,
        id: ConnId,
        manner: &Manner,
        status: u16,
        extra: &[(&str, &str)],
        body: &[u8],
    ) {
        let close = manner.close || self.is_draining();
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let meta = reply::Meta { close, ..manner.meta(&self.date) };
        reply::json(&mut conn.outbox, &meta, status, extra, body);
        self.replied(id, status);
    }

    /// A page that is no JSON.
    pub(super) fn reply_text(
        &mut self,
        id: ConnId,
        manner: &Manner,
        kind: &'static str,
        body: &[u8],
    ) {
        let close = manner.close || self.is_draining();
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let meta = reply::Meta { close, ..manner.meta(&self.date) };
        reply::whole(&mut conn.outbox, &meta, 200, kind, &[], body);
        self.replied(id, 200);
    }

    /// Refuses a request. Where its end cannot be known or is not waited for, the connection
    /// closes, but not before the client could read why.
    pub(super) fn refuse(&mut self, id: ConnId, manner: Manner, reject: &Reject) {
        let close = manner.close || reject.closes() || self.is_draining();
        let manner = Manner { close, ..manner };
        let Some(conn) = self.conns.get_mut(id) else { return };
        reply::reject(&mut conn.outbox, &manner.meta(&self.date), reject);
        self.replied(id, reject.status());
        self.answered(id, close);
    }

    /// Whatever there was to say is in the outbox: await the next request, or close after it.
    pub(super) fn answered(&mut self, id: ConnId, close: bool) {
        let idle = self.now.tick.after_duration(self.config.idle_timeout);
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        conn.phase = if close { Phase::Closing } else { Phase::Head { begun: false } };
        conn.seen = 0;
        conn.due = if close { Tick(u64::MAX) } else { idle };
        self.arm_conn(id);
        if self.conns.get(id).is_some_and(|conn| !conn.unsent().is_empty()) {
            self.list(id);
        } else {
            self.settle(id);
        }
    }

    /// A closing connection with nothing to send has no `Sent` to wait for.
    fn settle(&mut self, id: ConnId) {
        let closing = |conn: &Conn| matches!(conn.phase, Phase::Closing);
        if self.conns.get(id).is_some_and(closing) {
            self.sent(id, 0);
        }
    }

    /// A peer that has finished asking and has got its answers needs us no more.
    fn close_if_over(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        if !conn.ended || !conn.unsent().is_empty() {
            return;
        }
        match conn.phase {
            Phase::Head { begun: false } => self.close(id),
            Phase::Head { .. } | Phase::Body(_) => {
                let manner = conn.manner();
                self.refuse(id, manner, &Reject::Malformed(ENDS_EARLY));
            }
            _ => {}
        }
    }

    /// The time has come of whichever connection is in this place.
    pub(super) fn conn_due(&mut self, slot: u32) {
        let now = self.now.tick;
        let reminder = &mut self.reminders[slot as usize];
        if *reminder <= now {
            *reminder = Tick(u64::MAX);
        }
        let Some(id) = self.conns.key_at(slot) else { return };
        let conn = self.conns.get_mut(id).expect("it is in that place");
        if conn.is_stalled(now) {
            self.metrics.evict(Evicted::Reader);
            return self.close(id);
        }
        if now < conn.due {
            return self.arm_conn(id);
        }
        match conn.phase {
            Phase::Stream(_) | Phase::Feed(_) => self.keep_alive(id),
            Phase::Head { begun: true } | Phase::Body(_) => {
                let manner = conn.manner();
                self.refuse(id, manner, &Reject::RequestTimeout);
            }
            Phase::Head { begun: false } if !conn.unsent().is_empty() => {
                conn.due = now.after_duration(self.config.idle_timeout);
                self.arm_conn(id);
            }
            Phase::Head { begun: false } | Phase::Linger { .. } => self.close(id),
            Phase::Closing | Phase::Waiting(_) => self.arm_conn(id),
        }
    }

    /// Has every connection that waits for a next request close, unless one is on its way.
    pub(super) fn close_idle(&mut self) {
        let due = self.now.tick.after(DRAIN_IDLE_MS);
        let idle = |conn: &Conn| {
            matches!(conn.phase, Phase::Head { begun: false }) && conn.unsent().is_empty()
        };
        let ids: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| idle(conn)).map(|(id, _)| id).collect();
        for id in ids {
            let conn = self.conns.get_mut(id).expect("it was there a moment ago");
            conn.due = conn.due.min(due);
            self.arm_conn(id);
        }
    }

    pub(super) fn close(&mut self, id: ConnId) {
        self.leave(id);
        if self.conns.remove(id).is_some() {
            self.outputs.push_back(Output::Close(id));
            self.drain_on();
        }
    }
}
