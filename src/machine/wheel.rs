//! A hierarchical timer wheel: it reminds, and owners check their own deadlines.
//!
//! Postponing and cancelling are done by the owner, by changing its deadline and nothing else.
//! The stale entry fires, the owner looks, and arms again if it must. Each level has 64 slots, each
//! as wide as the whole level below; an entry moves down as its time comes near, so that every
//! operation costs at most one step a level, however many entries wait.
use crate::time::Tick;

const LEVELS: usize = 8;
const SLOTS: usize = 64;
const SLOT_BITS: usize = SLOTS.ilog2() as usize;
/// Past every deadline that can be meant: 8,900 years.
const TICK_MAX: u64 = (1 << (LEVELS * SLOT_BITS)) - 1;

pub struct Wheel<K> {
    /// Every entry is due at or after this.
    now: u64,
    /// Entries there are.
    len: usize,
    /// `LEVELS` of them, 12 KiB: boxed, as whoever holds a wheel is moved.
    levels: Box<[Level<K>]>,
}

struct Level<K> {
    /// Bit `s` is set exactly when slot `s` holds an entry.
    occupied: u64,
    slots: [Vec<(Tick, K)>; SLOTS],
}

impl<K> Wheel<K> {
    pub fn new(now: Tick) -> Wheel<K> {
        let level = || Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Wheel { now: now.0, len: 0, levels: (0..LEVELS).map(|_| level()).collect() }
    }

    pub fn insert(&mut self, due: Tick, key: K) {
        let due = due.0.clamp(self.now, TICK_MAX);
        // The highest bit in which the two differ tells the level: below it, the slots of `due`
        // and of `now` are the same one.
        let level = (due ^ self.now).checked_ilog2().unwrap_or(0) as usize / SLOT_BITS;
        let slot = slot_of(due, level);
        self.levels[level].slots[slot].push((Tick(due), key));
        self.levels[level].occupied |= 1 << slot;
        self.len += 1;
    }

    /// Bytes its entries take.
    pub fn weight(&self) -> usize {
        self.len * size_of::<(Tick, K)>()
    }

    /// Moves every entry due by `now` into `fired`, in no particular order.
    pub fn advance(&mut self, now: Tick, fired: &mut Vec<K>) {
        assert!(self.now <= now.0, "time ran backwards");
        while let Some((level, slot, start)) = self.first()
            && start <= now.0
        {
            self.now = start;
            self.levels[level].occupied &= !(1 << slot);
            let entries = std::mem::take(&mut self.levels[level].slots[slot]);
            self.len -= entries.len();
            for (due, key) in entries {
                if due <= now { fired.push(key) } else { self.insert(due, key) }
            }
        }
        self.now = now.0;
    }

    /// When to call `advance` next: never later than the earliest entry.
    pub fn next(&self) -> Option<Tick> {
        self.first().map(|(_, _, start)| Tick(start))
    }

    /// The earliest occupied slot: its level, its place, and when it begins.
    ///
    /// Entries of a lower level share more of their time with `now`, so they come first.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        let width = level * SLOT_BITS;
        let before = self.now >> (width + SLOT_BITS) << (width + SLOT_BITS);
        Some((level, slot, (before | (slot as u64) << width).max(self.now)))
    }
}

fn slot_of(due: u64, level: usize) -> usize {
    (due >> (level * SLOT_BITS)) as usize % SLOTS
}
