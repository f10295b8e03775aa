//! What a command prints, bounded: its head and its tail, and how much is missing between.
use crate::limits::TOOL_ENTRY_BYTES_MAX;
use std::collections::VecDeque;

/// Half of the cap each; what is left of it is for the notes.
const PART_BYTES_MAX: usize = TOOL_ENTRY_BYTES_MAX / 2 - 512;

/// Never more than `TOOL_ENTRY_BYTES_MAX`, however much is printed.
#[derive(Default)]
pub(super) struct Output {
    head: Vec<u8>,
    /// What was printed last, filled once the head is full.
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Output {
    pub fn push(&mut self, printed: &[u8]) {
        let room = PART_BYTES_MAX - self.head.len();
        let (head, rest) = printed.split_at(room.min(printed.len()));
        self.head.extend_from_slice(head);
        // Of one piece at most as much can stay as the tail holds.
        let (gone, rest) = rest.split_at(rest.len().saturating_sub(PART_BYTES_MAX));
        let over = (self.tail.len() + rest.len()).saturating_sub(PART_BYTES_MAX);
        self.tail.drain(..over);
        self.tail.extend(rest);
        self.left_out += (gone.len() + over) as u64;
    }

    /// The text, ending with a line end unless it is empty. What is not UTF-8 is shown as `�`.
    pub fn told(self) -> String {
        let tail = Vec::from(self.tail);
        let mut text = if self.left_out == 0 {
            // Together, so that a character across the seam stays whole.
            lossy(&[self.head, tail].concat())
        } else {
            let (head, tail) = (without_cut_end(&self.head), without_cut_start(&tail));
            let cut = 2 * PART_BYTES_MAX - head.len() - tail.len();
            let missing = self.left_out + cut as u64;
            let (head, tail) = (lossy(head), lossy(tail));
            // At the end once more, for readers who get only the ends of this.
            format!(
                "{head}\n[... {missing} bytes left out ...]\n{tail}\n[{} bytes printed in all]",
                self.left_out + 2 * PART_BYTES_MAX as u64
            )
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `bytes` without a character at its end that was cut in two.
fn without_cut_end(bytes: &[u8]) -> &[u8] {
    let last_start = bytes.iter().rposition(|byte| !is_continuation(*byte)).unwrap_or(0);
    match std::str::from_utf8(&bytes[last_start..]) {
        // No length of the error: the end came too early, nothing else is wrong.
        Err(why) if why.error_len().is_none() => &bytes[..last_start],
        _ => bytes,
    }
}

/// `bytes` without the rest of a character that began before it.
fn without_cut_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().take(3).take_while(|byte| is_continuation(**byte)).count();
    &bytes[start..]
}

/// True for the second and later bytes of a character in UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
