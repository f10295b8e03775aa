//! Readers that are not told of everything: their cursors pass over the frames that are left out.
//!
//! They too are lent the log's own bytes, piece by piece: `clear_to` is how far from `at` there is
//! nothing to leave out. Sequence numbers then have gaps, and cursors mean what they always mean.
use super::Machine;
use super::conn::{Phase, Stream};
use super::log::Log;
use crate::id::ConnId;
use crate::limits::SEGMENT_BYTES_MAX;

impl Stream {
    /// Goes on from `at`, the place of a frame.
    pub fn move_to(&mut self, at: u64) {
        (self.cursor.at, self.cursor.behind) = (at, None);
        self.clear_to = if self.redact.is_nothing() { u64::MAX } else { at };
    }

    /// What of the log may be sent now.
    pub fn lent<'a>(&self, log: &'a Log) -> &'a [u8] {
        let bytes = log.slice(self.cursor.at);
        if self.redact.is_nothing() {
            return bytes;
        }
        let count = (bytes.len() as u64).min(self.clear_to - self.cursor.at);
        &bytes[..count as usize]
    }

    /// True if it must look ahead before more can be sent.
    pub fn is_at_limit(&self) -> bool {
        !self.redact.is_nothing() && self.cursor.at == self.clear_to
    }

    /// Passes over what is left out, once all before it has been sent, and finds out how far
    /// nothing is. It looks at a segment's worth at most: where that was all left out there is
    /// nothing to send, although the log has more.
    pub fn look_ahead(&mut self, log: &Log) {
        if !self.is_at_limit() {
            return;
        }
        let end = self.cursor.at + SEGMENT_BYTES_MAX as u64;
        while self.cursor.at < end
            && let Some((frame, next)) = log.frame(self.cursor.at)
            && self.redact.hides_frame(frame)
        {
            self.cursor.at = next;
        }
        let mut at = self.cursor.at;
        self.clear_to = loop {
            match log.frame(at) {
                // What follows the last frame is the end of the body.
                None => break log.end(),
                Some((frame, next)) if at < end && !self.redact.hides_frame(frame) => at = next,
                Some(_) => break at,
            }
        };
    }
}

impl Machine {
    /// Has a reader that may be sent nothing of what it looked through look on in the next turn.
    pub(super) fn skip_on(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Phase::Stream(stream) = &mut conn.phase else { return };
        if !std::mem::replace(&mut stream.is_skipping, true) {
            self.skipping.push(id);
        }
    }

    /// Readers that had more to look through than the last turn had time for go on.
    pub(super) fn skip_all(&mut self) {
        for id in std::mem::take(&mut self.skipping) {
            if let Some(conn) = self.conns.get_mut(id)
                && let Phase::Stream(stream) = &mut conn.phase
                && std::mem::take(&mut stream.is_skipping)
            {
                self.pump(id);
            }
        }
    }
}
