//! Short logs of finished runs, packed: what most of them say alike takes one byte.
//!
//! There are many more finished runs than are read again, and nearly all that a short log says is
//! the framing of its events and the run's own id. Each phrase of a fixed list becomes a control
//! character, which no log has: JSON escapes them. Rejected: a general compressor, whose tables
//! weigh more than such a log.
use crate::id::RunId;
use std::iter::once;

/// Stands for the first phrase, the next character for the second, and so on.
const FIRST_CODE: u8 = 0x0e;
/// In the order in which a log has them, those last that few have.
const PHRASES: [&str; 15] = [
    "\r\nid: ",
    "\ndata: {\"event\":\"run.completed\",\"run_id\":\"run_",
    // Here comes the run's id.
    "\",\"timestamp\":",
    ",\"seq\":",
    ",\"output\":\"",
    "\",\"usage\":{\"input_tokens\":",
    ",\"output_tokens\":",
    ",\"total_tokens\":",
    ",\"cache_read_tokens\":0,\"cache_write_tokens\":0",
    "},\"runtime\":{\"provider\":\"",
    "\",\"model\":\"",
    "\"}}\n\n\r\n11\r\n: stream closed\n\n\r\n0\r\n\r\n",
    "\ndata: {\"event\":\"message.delta\",\"run_id\":\"run_",
    ",\"cache_read_tokens\":",
    ",\"cache_write_tokens\":",
];
const ID_CODE: u8 = FIRST_CODE + PHRASES.len() as u8;

// The code after the last one is that of a space, which logs do have.
const _: () = assert!(ID_CODE < b' ');

/// Appends what stands for `bytes`, the log of this run, to `out`. Returns false if that cannot be.
pub fn pack(bytes: &[u8], run: RunId, out: &mut Vec<u8>) -> bool {
    let id = crate::id::hex_digits(run.0);
    let mut rest = bytes;
    let mut next = 0;
    while let Some(first) = rest.first() {
        if let Some(index) = phrase_at(rest, *first, next) {
            out.push(FIRST_CODE + index as u8);
            rest = &rest[PHRASES[index].len()..];
            next = (index + 1) % PHRASES.len();
            if let Some(behind) = rest.strip_prefix(&id) {
                out.push(ID_CODE);
                rest = behind;
            }
        } else if (FIRST_CODE..=ID_CODE).contains(first) {
            return false;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    true
}

/// The phrase that `rest` begins with; most likely it is `next`.
fn phrase_at(rest: &[u8], first: u8, next: usize) -> Option<usize> {
    if !matches!(first, b'\r' | b'\n' | b',' | b'"' | b'}') {
        return None;
    }
    once(next).chain(0..PHRASES.len()).find(|index| rest.starts_with(PHRASES[*index].as_bytes()))
}

/// What `packed` stands for in the log of this run, which has `len` bytes.
pub fn unpack(packed: &[u8], run: RunId, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    for byte in packed {
        match *byte {
            ID_CODE => bytes.extend_from_slice(&crate::id::hex_digits(run.0)),
            code @ FIRST_CODE..ID_CODE => {
                bytes.extend_from_slice(PHRASES[usize::from(code - FIRST_CODE)].as_bytes());
            }
            byte => bytes.push(byte),
        }
    }
    assert_eq!(bytes.len(), len, "a log came back with another length");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

    fn there_and_back(bytes: &[u8]) -> usize {
        let mut packed = Vec::new();
        assert!(pack(bytes, RUN, &mut packed));
        assert_eq!(unpack(&packed, RUN, bytes.len()), bytes);
        packed.len()
    }

    #[test]
    fn whatever_is_packed_comes_back() {
        there_and_back(b"");
        there_and_back(RUN.to_string().as_bytes());
        let all = PHRASES.concat();
        for cut in 0..all.len() {
            there_and_back(&all.as_bytes()[cut..]);
            there_and_back(&all.as_bytes()[..cut]);
        }
        let doubled: String = PHRASES.iter().rev().map(|phrase| format!("{phrase}{RUN}")).collect();
        there_and_back(doubled.as_bytes());
        there_and_back("\t\u{7f}äöü\u{10ffff}".as_bytes());
    }

    #[test]
    fn what_has_a_code_in_it_is_not_packed() {
        for code in FIRST_CODE..=ID_CODE {
            assert!(!pack(&[b'a', code], RUN, &mut Vec::new()));
        }
        there_and_back(&[FIRST_CODE - 1, ID_CODE + 1]);
    }
}
