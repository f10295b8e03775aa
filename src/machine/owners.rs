//! What belongs to one key's name: its Idempotency-Keys, its sessions' lines, how much it has
//! under way. Two keys may choose the same names and never meet.
use crate::id::RunKey;
use crate::record::Record;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Owners by name; one stays listed when it has nothing any more, so that its next run costs less.
#[derive(Default)]
pub struct Owners(BTreeMap<Arc<str>, Owned>);

#[derive(Default)]
struct Owned {
    /// Runs that have not ended.
    unfinished: usize,
    by_idempotency_key: BTreeMap<Box<str>, RunKey>,
    /// Unfinished runs of sessions in which there is more than one, in the order they were asked
    /// for: the first of them is in the queue or works, the others wait for it.
    lines: BTreeMap<Box<str>, VecDeque<RunKey>>,
}

impl Owners {
    /// Takes note of a run that has not ended.
    pub fn note(&mut self, record: &Record, key: RunKey) {
        let owned = self.of(record);
        owned.unfinished += 1;
        if let Some(known) = &record.idempotency {
            owned.by_idempotency_key.insert(known.key.clone(), key);
        }
    }

    pub fn unfinished(&self, owner: &str) -> usize {
        self.0.get(owner).map_or(0, |owned| owned.unfinished)
    }

    /// A run leaves memory.
    pub fn forget(&mut self, record: &Record, key: RunKey) {
        let Some(known) = &record.idempotency else { return };
        let keys = &mut self.of(record).by_idempotency_key;
        if keys.get(&known.key) == Some(&key) {
            keys.remove(&known.key);
        }
    }

    pub fn by_idempotency_key(&self, owner: &str, key: &str) -> Option<RunKey> {
        self.0.get(owner)?.by_idempotency_key.get(key).copied()
    }

    pub fn idempotency_keys(&self) -> usize {
        self.0.values().map(|owned| owned.by_idempotency_key.len()).sum()
    }

    pub fn line(&self, owner: &str, session_id: &str) -> Option<&VecDeque<RunKey>> {
        self.0.get(owner)?.lines.get(session_id)
    }

    pub fn lines(&self) -> impl Iterator<Item = &VecDeque<RunKey>> {
        self.0.values().flat_map(|owned| owned.lines.values())
    }

    /// Has a run stand in its session's line, which `first` begins if nobody stands there yet.
    /// Returns true if there is one before it.
    pub fn join_line(&mut self, key: RunKey, record: &Record, first: Option<RunKey>) -> bool {
        let line = self.of(record).lines.entry(record.session_id.clone()).or_default();
        if line.is_empty() {
            line.extend(first);
        }
        line.push_back(key);
        line.len() > 1
    }

    /// A run has ended: takes it out of its session's line. Returns the one whose turn it is
    /// thereby.
    pub fn leave(&mut self, key: RunKey, record: &Record) -> Option<RunKey> {
        let owned = self.of(record);
        owned.unfinished -= 1;
        let lines = &mut owned.lines;
        let line = lines.get_mut(&record.session_id)?;
        let was_first = line.front() == Some(&key);
        line.retain(|waiting| *waiting != key);
        let next = line.front().copied();
        if next.is_none() {
            lines.remove(&record.session_id);
        }
        next.filter(|_| was_first)
    }

    /// `unfinished` is the owner of each run that has not ended.
    pub fn check<'a>(&self, unfinished: impl Iterator<Item = &'a str>) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        unfinished.for_each(|owner| *counts.entry(owner).or_default() += 1);
        for (owner, owned) in &self.0 {
            let count = counts.remove(&**owner).unwrap_or(0);
            assert_eq!(owned.unfinished, count, "runs of {owner}");
        }
        assert!(counts.is_empty(), "runs of owners that are not listed");
    }

    fn of(&mut self, record: &Record) -> &mut Owned {
        self.0.entry(record.owner.clone()).or_default()
    }
}
