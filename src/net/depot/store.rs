//! The thread that writes: all batches that wait at once, and a clean-up only when none does.
use super::keeper::Keeper;
use super::ledger::wants_sync;
use super::sync::Wish;
use super::{News, Order, Teller};
use crate::config::Retain;
use crate::limits::{STORE_GROUP_BYTES_MAX, STORE_GROUP_WRITES_MAX};
use crate::record::{Batch, Fault, Write};
use crate::time::Wall;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::collections::VecDeque;
use std::sync::Arc;

/// Works until `orders` has ended and is empty.
pub fn serve(keeper: Keeper, orders: Receiver<Order>, wishes: Sender<Wish>, teller: Teller) {
    let (next, prunes) = (None, VecDeque::new());
    let (committed, was_short) = (0, false);
    Writer { keeper, orders, next, prunes, committed, was_short, wishes, teller }.serve();
}

/// The teller comes last, so that it is dropped last: whoever waits for its end waits for the
/// store to be closed.
struct Writer {
    keeper: Keeper,
    orders: Receiver<Order>,
    /// An order that was taken too early.
    next: Option<Order>,
    /// Clean-ups that wait until no batch does.
    prunes: VecDeque<(Retain, Wall)>,
    /// The last batch stored.
    committed: u64,
    /// It lived off its reserve when that was stored.
    was_short: bool,
    wishes: Sender<Wish>,
    teller: Teller,
}

impl Writer {
    fn serve(mut self) {
        while let Some(order) = self.next_order() {
            match order {
                Order::Commit(batch) => self.commit(batch),
                Order::Prune(retain, now) => self.prunes.push_back((retain, now)),
                Order::Unsynced(fault) => self.fail_unsynced(fault),
            }
        }
    }

    fn next_order(&mut self) -> Option<Order> {
        loop {
            if let Some(order) = self.next.take() {
                return Some(order);
            }
            match self.orders.try_recv() {
                Ok(order) => return Some(order),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            let Some((retain, now)) = self.prunes.pop_front() else {
                return self.orders.recv().ok();
            };
            self.teller.tell(News::Pruned(self.keeper.prune(&retain, now)));
        }
    }

    fn commit(&mut self, first: Arc<Batch>) {
        if !self.keeper.admits(&first) {
            return;
        }
        let first_number = first.number;
        let batch = self.gather(first);
        if let Err(fault) = self.keeper.commit(&batch) {
            // A store that failed is well after the next retry, unless it is told anew.
            self.was_short = false;
            return self.teller.tell(News::Unstored { number: first_number, fault });
        }
        let number = batch.number;
        self.committed = number;
        let is_short = self.keeper.is_short();
        if is_short != std::mem::replace(&mut self.was_short, is_short) {
            self.teller.tell(News::Short(is_short));
        }
        // First, so that it is heard before the disk has it.
        self.teller.tell(News::Committed(number));
        if wants_sync(&batch) {
            // Where the sync thread is gone, the end is told that this is not on the disk.
            let _ = self.wishes.send(Wish { number, is_retry: batch.is_retry });
        }
    }

    /// Adds to `batch` all that wait behind it, as far as they fit into one.
    fn gather(&mut self, mut batch: Arc<Batch>) -> Arc<Batch> {
        let mut room = Room::default().after(&batch);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Prune(retain, now) => self.prunes.push_back((retain, now)),
                Order::Commit(next) if room.has_place_for(&next) => {
                    room = room.after(&next);
                    merge(&mut batch, next);
                }
                order => {
                    self.next = Some(order);
                    break;
                }
            }
        }
        batch
    }

    fn fail_unsynced(&mut self, fault: Fault) {
        // Whoever has been told of a fault already will retry, and with it comes a sync.
        if self.keeper.shut() {
            self.teller.tell(News::Unstored { number: self.committed + 1, fault });
        }
    }
}

/// Costs a copy only where the machine has kept a batch.
fn merge(batch: &mut Arc<Batch>, next: Arc<Batch>) {
    let batch = Arc::make_mut(batch);
    let next = Arc::unwrap_or_clone(next);
    batch.number = next.number;
    batch.sync |= next.sync;
    batch.is_retry |= next.is_retry;
    batch.writes.extend(next.writes);
}

/// What one transaction may still take in.
#[derive(Clone, Copy)]
struct Room {
    writes: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { writes: STORE_GROUP_WRITES_MAX, bytes: STORE_GROUP_BYTES_MAX }
    }
}

impl Room {
    fn has_place_for(self, batch: &Batch) -> bool {
        let (writes, bytes) = weight(batch);
        writes <= self.writes && bytes <= self.bytes
    }

    fn after(self, batch: &Batch) -> Room {
        let (writes, bytes) = weight(batch);
        Room { writes: self.writes.saturating_sub(writes), bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// How many things are written, and their bytes.
pub fn weight(batch: &Batch) -> (usize, usize) {
    let weights = batch.writes.iter().map(|write| match write {
        Write::Create { request, .. } => (1, request.len()),
        Write::Events { rows, .. } => (rows.len(), rows.iter().map(|row| row.lines.len()).sum()),
        Write::Finish { outcome, .. } => (1, outcome.len()),
        Write::Grant(grant) => (1, grant.arguments.len()),
        Write::Hook(delivery) => (1, delivery.len()),
        Write::Begin { .. }
        | Write::Delete { .. }
        | Write::DeleteSession { .. }
        | Write::Revoke { .. }
        | Write::HookLater { .. }
        | Write::HookDone { .. }
        | Write::Probe => (1, 0),
    });
    weights.fold((0, 0), |sum, weight| (sum.0 + weight.0, sum.1 + weight.1))
}
