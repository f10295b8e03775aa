//! The thread that reads: one question after the other.
use super::keeper::guarded;
use super::{News, Question, Teller};
use crate::net::measures::StoreTimes;
use crate::store::Reader;
use crossbeam_channel::Receiver;
use std::time::Instant;

/// Works until `questions` has ended and is empty.
pub fn serve(
    mut reader: Box<dyn Reader>,
    questions: Receiver<Question>,
    teller: Teller,
    times: &StoreTimes,
) {
    for (asker, query) in questions {
        let begun = Instant::now();
        let answer = guarded(|| reader.answer(&query));
        times.reads.note(begun.elapsed());
        teller.tell(News::Answered { asker, answer });
    }
    // Before `teller`: whoever waits for its end waits for the store to be closed.
    drop(reader);
}
