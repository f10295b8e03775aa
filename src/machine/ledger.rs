//! What memory is charged with, kept to the byte, and what is done when it runs short.
//!
//! Connections and runs lie in tables that weigh whoever is changed: when the next one is looked
//! up to be changed, the last one is weighed anew. So no change is forgotten, wherever in the
//! machine it is made, and a change costs a few additions. Rejected: charging where bytes are
//! added (three dozen places, each of which can be forgotten).
use super::conn::{Conn, Phase};
use super::run::Run;
use super::{Asker, Machine};
use crate::id::{ConnId, Key, RunKey};
use crate::limits::{CONN_BYTES, RUN_BYTES};
use crate::record::Query;
use crate::request::{Content, Request};
use crate::slab::Slab;
use crate::time::Tick;
use crate::wire::Reject;
use serde_json::Value;
use std::collections::VecDeque;

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u64 = 2;
/// Connections on the list of holders that are not worth a clean-up.
const HOLDERS_STALE_MIN: usize = 64;
/// How often logs are gone over while memory is tight.
const RELIEVE_EVERY_MS: u64 = 100;
/// What an entry of a list, a map or a history takes beside its text: the value itself, its
/// place, and what the allocator adds.
const ENTRY_BYTES: usize = 160;

/// Bytes that something holds. It must not take long to tell.
pub trait Weigh {
    fn weight(&self) -> usize;
}

/// A table that knows what all in it weighs.
pub struct Scale<K, T> {
    slab: Slab<K, T>,
    /// The weight of all, as of when each was last weighed.
    total: usize,
    /// The one that may have changed since, and what it weighed before.
    open: Option<(K, usize)>,
}

impl<K: From<Key> + Into<Key> + Copy + PartialEq, T: Weigh> Scale<K, T> {
    pub fn new(limit: usize) -> Scale<K, T> {
        Scale { slab: Slab::new(limit), total: 0, open: None }
    }

    pub fn insert(&mut self, value: T) -> Option<K> {
        let weight = value.weight();
        let key = self.slab.insert(value)?;
        self.total += weight;
        Some(key)
    }

    pub fn get(&self, key: K) -> Option<&T> {
        self.slab.get(key)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        if self.open.is_none_or(|(open, _)| open != key) {
            self.settle();
            self.open = Some((key, self.slab.get(key)?.weight()));
        }
        self.slab.get_mut(key)
    }

    /// The key of whoever is in this place now.
    pub fn key_at(&self, slot: u32) -> Option<K> {
        self.slab.key_at(slot)
    }

    pub fn remove(&mut self, key: K) -> Option<T> {
        self.settle();
        let value = self.slab.remove(key)?;
        self.total -= value.weight();
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slab.iter()
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.slab.is_full()
    }

    /// The weight of all.
    pub fn weight(&self) -> usize {
        match self.open {
            Some((key, before)) => self.total - before + self.weight_of(key),
            None => self.total,
        }
    }

    pub fn check(&self) {
        let all: usize = self.iter().map(|(_, value)| value.weight()).sum();
        assert_eq!(self.weight(), all, "something changed and was not weighed");
    }

    fn settle(&mut self) {
        self.total = self.weight();
        self.open = None;
    }

    fn weight_of(&self, key: K) -> usize {
        self.slab.get(key).map_or(0, T::weight)
    }
}

impl Weigh for Conn {
    fn weight(&self) -> usize {
        CONN_BYTES + self.held()
    }
}

impl Weigh for Run {
    fn weight(&self) -> usize {
        RUN_BYTES + self.held()
    }
}

/// What of a machine's memory is watched over, beside the tables.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Connections that hold bytes for others to send or to take, the longest first.
    holders: VecDeque<ConnId>,
    /// Questions that wait until others are answered, and how many do not wait.
    questions: VecDeque<(Asker, Query)>,
    asked: usize,
    /// When logs were last gone over.
    relieved: Tick,
}

impl Ledger {
    fn weight(&self) -> usize {
        let holders = self.holders.capacity() * size_of::<ConnId>();
        holders + self.questions.capacity() * size_of::<(Asker, Query)>()
    }
}

impl Machine {
    /// Bytes that all is charged with now.
    pub(super) fn charged(&self) -> usize {
        let asked = self.ledger.asked * self.shares.page;
        let agents = self.runs.working * self.shares.agent;
        let tables = self.conns.weight() + self.runs.table.weight() + self.wheel.weight();
        tables + self.keep.weight() + self.hooks.weight() + self.ledger.weight() + asked + agents
    }

    /// True while connections hold more than their share: what is due to them should be written
    /// before more is made.
    pub fn is_pressed(&self) -> bool {
        self.conns.weight() > self.shares.conns
    }

    pub(super) fn is_tight(&self) -> bool {
        self.shares.memory.is_some() && self.charged() > self.shares.tight
    }

    /// Refuses new work of `bytes` where there is no memory for it. Control is never asked this.
    pub(super) fn check_memory(&self, bytes: usize) -> Result<(), Reject> {
        self.check_charge(bytes, self.shares.work)
    }

    /// Refuses `bytes` that even the share of those in charge has no room for.
    pub(super) fn check_all_memory(&self, bytes: usize) -> Result<(), Reject> {
        self.check_charge(bytes, self.shares.all)
    }

    fn check_charge(&self, bytes: usize, max: usize) -> Result<(), Reject> {
        if self.shares.memory.is_some() && self.charged().saturating_add(bytes) > max {
            return Err(Reject::MemoryExhausted { retry_after_s: RETRY_AFTER_S });
        }
        Ok(())
    }

    /// Notes that a connection may have come to hold bytes for longer than a moment.
    pub(super) fn note_holder(&mut self, id: ConnId) {
        if self.shares.memory.is_none() {
            return;
        }
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.holds
            && conn.held() > 0
        {
            conn.holds = true;
            self.ledger.holders.push_back(id);
            self.forget_holders();
        }
        self.send_holders_away();
    }

    /// Takes those off the list that are gone, so that it cannot outgrow the connections.
    fn forget_holders(&mut self) {
        let Machine { conns, ledger, .. } = self;
        if ledger.holders.len() > 2 * conns.len() + HOLDERS_STALE_MIN {
            ledger.holders.retain(|id| conns.get(*id).is_some());
        }
    }

    /// Keeps connections within their share: who has held bytes the longest goes first, so that
    /// whoever sends and reads at once is never in the way of those who do not.
    fn send_holders_away(&mut self) {
        let mut looks = self.ledger.holders.len();
        while self.is_pressed() && looks > 0 {
            looks -= 1;
            let Some(id) = self.ledger.holders.pop_front() else { return };
            let Some(conn) = self.conns.get_mut(id) else { continue };
            conn.holds = conn.held() > 0;
            if !conn.holds {
                continue;
            }
            match conn.phase {
                // The store is waited for, or the socket takes what there is.
                Phase::Waiting(_) => self.ledger.holders.push_back(id),
                Phase::Body(_) | Phase::Head { begun: true } if !conn.blocked => {
                    conn.inbox = Vec::new();
                    let manner = conn.manner();
                    let retry_after_s = RETRY_AFTER_S;
                    self.refuse(id, manner, &Reject::MemoryExhausted { retry_after_s });
                }
                _ if !conn.blocked && conn.inbox.is_empty() => {
                    self.ledger.holders.push_back(id);
                }
                _ => self.close(id),
            }
        }
    }

    /// Makes a place for a connection where all are taken: the one goes that has been silent for
    /// the longest time, one within a request only where there is no other.
    pub(super) fn make_place(&mut self) {
        if self.shares.memory.is_none() || !self.conns.is_full() {
            return;
        }
        let idle = self.conns.iter().filter_map(|(id, conn)| match conn.phase {
            Phase::Head { begun } => Some((begun, conn.due, id)),
            _ => None,
        });
        if let Some((.., id)) = idle.min_by_key(|(begun, due, _)| (*begun, *due)) {
            self.close(id);
        }
    }

    /// While memory is tight, finished runs are forgotten and logs leave memory, as far as anybody
    /// else has them.
    pub(super) fn relieve(&mut self) {
        let due = self.ledger.relieved.after(RELIEVE_EVERY_MS);
        if !self.is_tight() || self.now.tick < due {
            return;
        }
        self.ledger.relieved = self.now.tick;
        self.forget_for_room();
        let long = |run: &Run| run.log.len() > self.shares.window_tight;
        let runs = self.runs.table.iter().filter(|(_, run)| long(run)).map(|(key, _)| key);
        let runs: Vec<RunKey> = runs.collect();
        for key in runs {
            let before = self.finished_bytes(key);
            self.shorten_log(key);
            self.runs.finished_bytes -= before - self.finished_bytes(key);
        }
    }

    /// What a run adds to what finished ones hold.
    fn finished_bytes(&self, key: RunKey) -> usize {
        let run = self.runs.get(key).filter(|run| run.status.is_finished());
        run.map_or(0, Run::bytes)
    }

    /// True if a question may go to the store now; else it waits for its turn.
    pub(super) fn may_ask(&mut self, asker: Asker, query: &Query) -> bool {
        let may = self.ledger.asked < self.shares.asks;
        if may {
            self.ledger.asked += 1;
        } else {
            self.ledger.questions.push_back((asker, query.clone()));
        }
        may
    }

    /// A question has been answered: the next one that may be asked.
    pub(super) fn next_question(&mut self) -> Option<(Asker, Query)> {
        self.ledger.asked -= 1;
        let next = self.ledger.questions.pop_front();
        self.ledger.asked += usize::from(next.is_some());
        next
    }

    pub(super) fn check_ledger(&self) {
        self.conns.check();
        self.runs.table.check();
        self.keep.check();
        self.hooks.check();
    }
}

/// What a request holds: its texts, and what it takes to keep them apart.
pub fn request_weight(request: &Request) -> usize {
    let parts = |content: &Content| match content {
        Content::Text(_) => 0,
        Content::Parts(parts) => parts.len(),
    };
    let of_message =
        |message: &crate::request::Message| 1 + parts(&message.content) + message.calls.len();
    let entries: usize = request.history.iter().map(of_message).sum();
    let options: usize = request.model_options.values().map(value_count).sum();
    request.len() + ENTRY_BYTES * (1 + parts(&request.input) + entries + options)
}

fn value_count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(value_count).sum(),
        Value::Object(fields) => fields.values().map(value_count).sum(),
        _ => 0,
    }
}
