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
        write!(f, "grant_{:032x}", self.0)
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
        write!(f, "msg_{:032x}", self.0)
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
        format!("resp_{:032x}", self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_{:032x}", self.0)
    }
}

/// Exactly 32 hexadecimal digits, in lower case.
fn hex(digits: &str) -> Option<u128> {
    let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 32 || !digits.bytes().all(lower_hex) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}
