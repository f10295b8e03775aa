//! A bounded table whose slots are reused under a new generation.
use crate::id::Key;
use std::marker::PhantomData;

/// Values of type `T` under keys of type `K`.
#[derive(Debug)]
pub struct Slab<K, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: usize,
    keys: PhantomData<K>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<K: From<Key> + Into<Key>, T> Slab<K, T> {
    pub fn new(limit: usize) -> Slab<K, T> {
        assert!(limit > 0 && limit <= u32::MAX as usize);
        Slab { slots: Vec::new(), free: Vec::new(), limit, keys: PhantomData }
    }

    /// Returns `None` when the table is full: the caller refuses the newcomer.
    pub fn insert(&mut self, value: T) -> Option<K> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.limit => {
                self.slots.push(Slot { generation: 0, value: None });
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        let entry = &mut self.slots[slot as usize];
        assert!(entry.value.is_none(), "a free slot had a tenant");
        entry.value = Some(value);
        Some(Key { slot, generation: entry.generation }.into())
    }

    pub fn get(&self, key: K) -> Option<&T> {
        let key = key.into();
        let entry = self.slots.get(key.slot as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let key = key.into();
        let entry = self.slots.get_mut(key.slot as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: K) -> Option<T> {
        let key = key.into();
        let entry = self.slots.get_mut(key.slot as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(value)
    }

    /// The key of whoever is in this place now.
    pub fn key_at(&self, slot: u32) -> Option<K> {
        let entry = self.slots.get(slot as usize)?;
        entry.value.is_some().then(|| Key { slot, generation: entry.generation }.into())
    }

    /// Every tenant with its key, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let key = Key { slot: slot as u32, generation: entry.generation };
            Some((key.into(), entry.value.as_ref()?))
        })
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() == self.limit
    }
}
