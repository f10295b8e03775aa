//! Names for things, as types that cannot be mixed up.
use std::fmt;

/// A place in a table, and which tenant of that place is meant.
///
/// A late message for a tenant that has left carries the old generation and finds nothing.
/// Index and generation share 64 bits; `to_token` packs them for a poll on a 64-bit host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub slot: u32,
    pub generation: u32,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub Key);

/// A run, as the threads and tables inside the server call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunKey(pub Key);

/// A run's place in the order in which a store took them in, from 1 on. Never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNo(pub u64);

impl From<Key> for ConnId {
    fn from(key: Key) -> ConnId {
        ConnId(key)
    }
}

impl From<ConnId> for Key {
    fn from(id: ConnId) -> Key {
        id.0
    }
}

impl From<Key> for RunKey {
    fn from(key: Key) -> RunKey {
        RunKey(key)
    }
}

impl From<RunKey> for Key {
    fn from(key: RunKey) -> Key {
        key.0
    }
}

/// A leave that is remembered: `grant_` and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantId(pub u128);

impl GrantId {
    pub fn parse(text: &str) -> Option<GrantId> {
        hex(text.strip_prefix("grant_")?).map(GrantId)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, "grant_", self.0)
    }
}

/// A delivery to a webhook: `msg_` and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HookId(pub u128);

impl HookId {
    pub fn parse(text: &str) -> Option<HookId> {
        hex(text.strip_prefix("msg_")?).map(HookId)
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, "msg_", self.0)
    }
}

/// A run, as the world calls it: `run_` and 32 hexadecimal digits nobody can guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(pub u128);

impl RunId {
    /// Reads `run_<32 hex>`, or the response id `resp_<32 hex>` of the same run.
    pub fn parse(text: &str) -> Option<RunId> {
        let digits = text.strip_prefix("run_").or_else(|| text.strip_prefix("resp_"))?;
        hex(digits).map(RunId)
    }

    /// The name under which a later run may continue from this one.
    pub fn response_id(self) -> String {
        self.behind("resp_")
    }

    /// The run's name behind `start`, which says what is meant by it.
    pub fn behind(self, start: &str) -> String {
        let digits = hex_digits(self.0);
        let digits = std::str::from_utf8(&digits).expect("digits are ASCII");
        [start, digits].concat()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, "run_", self.0)
    }
}

/// `n` as 32 hexadecimal digits in lower case.
pub fn hex_digits(n: u128) -> [u8; 32] {
    let mut text = [0; 32];
    // Eight digits at a time, each in a byte of its own: a step for each would cost four times that.
    for (word, eight) in text.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&hex_8((n >> (96 - 32 * eight)) as u32).to_be_bytes());
    }
    text
}

/// `n` as eight digits, the first of them in the highest byte.
fn hex_8(n: u32) -> u64 {
    let n = u64::from(n);
    let n = (n | n << 16) & 0x0000_ffff_0000_ffff;
    let n = (n | n << 8) & 0x00ff_00ff_00ff_00ff;
    let n = (n | n << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One in each byte whose digit is a letter: those lie 39 behind where they would follow `9`.
    let letters = (n + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    n + 0x3030_3030_3030_3030 + letters * 39
}

/// Not by `{:032x}`, which costs several times as much: each run's name is written more than once.
fn write_name(f: &mut fmt::Formatter<'_>, kind: &str, n: u128) -> fmt::Result {
    f.write_str(kind)?;
    f.write_str(std::str::from_utf8(&hex_digits(n)).expect("digits are ASCII"))
}

/// Exactly 32 hexadecimal digits, in lower case.
fn hex(digits: &str) -> Option<u128> {
    let (high, low) = digits.as_bytes().split_at_checked(16).filter(|(_, low)| low.len() == 16)?;
    Some(u128::from(hex_16(high)?) << 64 | u128::from(hex_16(low)?))
}

/// Half of one: by halves, since each step on 128 bits costs several of the machine's.
fn hex_16(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}
