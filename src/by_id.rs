//! Finds by a run's id what is kept elsewhere under a key, without keeping the id once more.
//!
//! Open addressing with linear probing over slots of a few bytes: the ids are random, so a tree
//! ordered by them costs a cache miss a level and three times the memory. A slot has 32 bits of the
//! id's hash; whoever asks says whether what they lead to is meant.
use crate::id::RunId;
use std::num::NonZeroU32;

const SLOTS_MIN: usize = 16;

/// At most one `T` for an id.
#[derive(Debug)]
pub struct ById<T> {
    /// As many as a power of two, at least an eighth of them empty.
    slots: Vec<Option<(NonZeroU32, T)>>,
    len: usize,
}

impl<T> Default for ById<T> {
    fn default() -> ById<T> {
        ById { slots: Vec::new(), len: 0 }
    }
}

impl<T: Copy> ById<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// What was inserted with this id: of what may be it the one that is.
    pub fn find(&self, id: RunId, is: impl Fn(T) -> bool) -> Option<T> {
        self.place(id, is).and_then(|at| self.slots[at]).map(|(_, value)| value)
    }

    /// Nothing may be there with this id.
    pub fn insert(&mut self, id: RunId, value: T) {
        if self.len >= self.slots.len() / 8 * 7 {
            self.grow();
        }
        self.put((hash(id), value));
        self.len += 1;
    }

    /// Returns what was there.
    pub fn remove(&mut self, id: RunId, is: impl Fn(T) -> bool) -> Option<T> {
        let mut hole = self.place(id, is)?;
        let gone = self.slots[hole].take();
        self.len -= 1;
        // Whoever stands behind moves up, unless that is before the place where it is looked for.
        let mut at = self.after(hole);
        while let Some((hash, _)) = self.slots[at] {
            let from_home = |place: usize| self.after_by(place, self.home(hash));
            if from_home(at) >= from_home(hole) {
                self.slots.swap(at, hole);
                hole = at;
            }
            at = self.after(at);
        }
        gone.map(|(_, value)| value)
    }

    fn place(&self, id: RunId, is: impl Fn(T) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = hash(id);
        let mut at = self.home(hash);
        while let Some((known, value)) = self.slots[at] {
            if known == hash && is(value) {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn put(&mut self, entry: (NonZeroU32, T)) {
        let mut at = self.home(entry.0);
        while self.slots[at].is_some() {
            at = self.after(at);
        }
        self.slots[at] = Some(entry);
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![None; size]);
        old.into_iter().flatten().for_each(|entry| self.put(entry));
    }

    fn home(&self, hash: NonZeroU32) -> usize {
        hash.get() as usize & (self.slots.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// How far `place` is behind `home`.
    fn after_by(&self, place: usize, home: usize) -> usize {
        place.wrapping_sub(home) & (self.slots.len() - 1)
    }
}

/// Ids that count up, as tests have them, must not lie side by side.
fn hash(id: RunId) -> NonZeroU32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (high, low) = ((id.0 >> 64) as u64, id.0 as u64);
    let mixed = (low.wrapping_mul(ODD) ^ high).wrapping_mul(ODD);
    NonZeroU32::new((mixed >> 32) as u32).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Ids that share a few hashes, and others.
    fn id(seed: u64) -> RunId {
        let low = u128::from(seed % 97);
        RunId(if seed.is_multiple_of(3) { low << 64 | low } else { low })
    }

    #[test]
    fn it_finds_what_a_map_finds_whatever_came_and_went() {
        let (mut table, mut map) = (ById::default(), BTreeMap::new());
        let mut seed = 1_u64;
        for step in 0..20_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = id(seed >> 33);
            let is = |value: (u128, u64)| value.0 == id.0;
            assert_eq!(table.find(id, is), map.get(&id).copied());
            match map.remove(&id) {
                Some(known) => assert_eq!(table.remove(id, is), Some(known)),
                None => {
                    table.insert(id, (id.0, step));
                    map.insert(id, (id.0, step));
                }
            }
            assert_eq!(table.len(), map.len());
        }
        assert!(table.slots.len() <= 256, "it has grown without need");
    }

    #[test]
    fn a_slot_of_a_key_takes_twelve_bytes() {
        assert_eq!(size_of::<Option<(NonZeroU32, crate::id::RunKey)>>(), 12);
    }
}
