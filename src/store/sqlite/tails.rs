//! The last row of each unfinished run, to which its next deltas are appended.
use crate::id::RunNo;
use crate::record::Row;
use std::collections::BTreeMap;

/// Bytes of `lines` up to which deltas are appended: with the other columns and what SQLite adds,
/// such a row lies in one page of 4,096 bytes.
const APPENDED_BYTES_MAX: usize = 3_800;

#[derive(Debug, Default)]
pub struct Tails(BTreeMap<RunNo, Tail>);

#[derive(Debug)]
struct Tail {
    rowid: i64,
    last_seq: u64,
    event: &'static str,
    bytes: usize,
}

impl Tails {
    /// Takes `row` in behind the run's last one; `None` if it must be a row of its own.
    pub fn take_in(&mut self, no: RunNo, row: &Row) -> Option<i64> {
        let tail = self.0.get_mut(&no)?;
        assert!(row.first_seq == tail.last_seq + 1, "a gap between the events of a run");
        let bytes = tail.bytes + row.lines.len();
        let fits = bytes <= APPENDED_BYTES_MAX && tail.event == row.event;
        if !fits || !row.event.ends_with(".delta") {
            return None;
        }
        (tail.bytes, tail.last_seq) = (bytes, row.last_seq);
        Some(tail.rowid)
    }

    /// `row` has become the run's last one.
    pub fn begin(&mut self, no: RunNo, row: &Row, rowid: i64) {
        let (last_seq, event, bytes) = (row.last_seq, row.event, row.lines.len());
        self.0.insert(no, Tail { rowid, last_seq, event, bytes });
    }

    pub fn forget(&mut self, no: RunNo) {
        self.0.remove(&no);
    }

    /// What was not committed is not there. Each run then begins a new row.
    pub fn forget_all(&mut self) {
        self.0.clear();
    }
}
