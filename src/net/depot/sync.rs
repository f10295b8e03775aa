//! The thread that waits for the disk: once for all who wait.
use super::keeper::guarded;
use super::{News, Teller};
use crate::net::measures::StoreTimes;
use crate::store::Syncer;
use crossbeam_channel::Receiver;
use std::time::Instant;

/// All batches up to this one are to be on the disk.
pub struct Wish {
    pub number: u64,
    pub is_retry: bool,
}

/// Works until `wishes` has ended and is empty.
pub fn serve(
    mut syncer: Box<dyn Syncer>,
    wishes: Receiver<Wish>,
    teller: Teller,
    times: &StoreTimes,
) {
    let mut has_failed = false;
    while let Ok(mut wish) = wishes.recv() {
        for later in wishes.try_iter() {
            wish.number = later.number;
            wish.is_retry |= later.is_retry;
        }
        has_failed &= !wish.is_retry;
        if has_failed {
            continue;
        }
        let begun = Instant::now();
        let done = guarded(|| syncer.sync());
        times.syncs.note(begun.elapsed());
        has_failed = done.is_err();
        teller.tell(match done {
            Ok(()) => News::Synced(wish.number),
            Err(fault) => News::Unsynced(fault),
        });
    }
    // Before `teller`: whoever waits for its end waits for the store to be closed.
    drop(syncer);
}
