//! DNS questions and answers as bytes (RFC 1035 section 4).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A = 1,
    Aaaa = 28,
}

/// What a name server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The name's addresses; a name may well have none of the kind asked for.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// There is more than fits a datagram: ask again over TCP.
    Truncated,
    /// The server cannot or will not answer.
    Refused,
}

/// The bytes of a question, or `None` for what cannot be a host's name.
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + name.len() + 6);
    bytes.extend(id.to_be_bytes());
    // Recursion desired; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, kind as u8, 0, 1]);
    Some(bytes)
}

/// Reads a reply to `question`; `None` if it answers something else, or makes no sense.
///
/// The question must come back unchanged: a forger would have to guess its id and our port.
pub fn reply(bytes: &[u8], question: &[u8]) -> Option<Reply> {
    let asked = bytes.get(HEADER_BYTES..question.len())?;
    let is_reply = bytes[2] & 0x80 != 0;
    let same = bytes[..2] == question[..2] && asked.eq_ignore_ascii_case(&question[HEADER_BYTES..]);
    if !is_reply || !same {
        return None;
    }
    if bytes[2] & 0x02 != 0 {
        return Some(Reply::Truncated);
    }
    match bytes[3] & 0x0f {
        0 => addresses(bytes, question.len()).map(Reply::Addresses),
        3 => Some(Reply::NoSuchName),
        _ => Some(Reply::Refused),
    }
}

/// The addresses among the answers, whatever aliases lead to them.
fn addresses(bytes: &[u8], mut at: usize) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for _ in 0..number(bytes, 6)? {
        at = skip_name(bytes, at)?;
        let kind = number(bytes, at)?;
        let start = at + 10;
        at = start + usize::from(number(bytes, at + 8)?);
        let data = bytes.get(start..at)?;
        if kind == Kind::A as u16 {
            found.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into());
        } else if kind == Kind::Aaaa as u16 {
            found.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into());
        }
    }
    Some(found)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Where a name ends: at its empty label, or at a pointer to the rest of it.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Vec<u8> {
        question(0x1234, "model.example.", Kind::A).expect("a good name")
    }

    /// A reply with an alias and two addresses, its names pointing back at the question.
    fn answered() -> Vec<u8> {
        let mut bytes = asked();
        bytes[2] = 0x81;
        bytes[7] = 3;
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
        for last in [1, 2] {
            bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
        }
        bytes
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let expected = vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        assert_eq!(reply(&answered(), &asked()), Some(Reply::Addresses(expected)));
    }

    #[test]
    fn a_reply_cut_anywhere_is_no_reply() {
        let whole = answered();
        for end in 0..whole.len() {
            assert_eq!(reply(&whole[..end], &asked()), None, "cut at {end}");
        }
    }

    #[test]
    fn a_reply_to_another_question_is_no_reply() {
        for at in [0, 1, 2, 13, asked().len() - 3] {
            let mut bytes = answered();
            bytes[at] = bytes[at].wrapping_add(0x80);
            assert_eq!(reply(&bytes, &asked()), None, "byte {at} changed");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let with = |flags: u8, code: u8| {
            let mut bytes = asked();
            (bytes[2], bytes[3]) = (flags, code);
            reply(&bytes, &asked())
        };
        assert_eq!(with(0x83, 0), Some(Reply::Truncated));
        assert_eq!(with(0x81, 3), Some(Reply::NoSuchName));
        assert_eq!(with(0x81, 2), Some(Reply::Refused));
    }

    #[test]
    fn any_byte_may_be_wrong_without_a_panic() {
        let whole = answered();
        for at in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x7f, 0xc0, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = reply(&bytes, &asked());
            }
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_not_asked_for() {
        for name in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(128), ".a"] {
            assert_eq!(question(1, name, Kind::A), None, "{name:?}");
        }
        assert!(question(1, &"x".repeat(63), Kind::Aaaa).is_some());
    }
}
