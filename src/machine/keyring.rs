//! The keys in force: who shows which, what each allows, and how much of it.
use crate::config::{FIRST_KEY, Key, Scope};
use crate::time::Tick;
use crate::wire::Reject;
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    /// The name of the key: whose runs, sessions and idempotency keys are meant.
    pub owner: Arc<str>,
    pub pass: Pass,
}

impl Who {
    /// Refuses who may not do this.
    pub fn check(&self, scope: Scope) -> Result<(), Reject> {
        let is_allowed = self.pass.scopes.covers(Scopes::of(&[scope]));
        if is_allowed { Ok(()) } else { Err(Reject::InsufficientScope(scope.name())) }
    }
}

/// By what right somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The number of the secret that was shown; 0 for who needs none.
    secret: u32,
    scopes: Scopes,
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scopes(u8);

impl Scopes {
    fn of(scopes: &[Scope]) -> Scopes {
        Scopes(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u8))
    }

    /// True if whoever has these may do all that `others` allow.
    fn covers(self, others: Scopes) -> bool {
        self.0 & 1 << Scope::Admin as u8 != 0 || self.0 & others.0 == others.0
    }
}

#[derive(Debug)]
pub struct Keyring {
    /// Without any, everyone is `anyone`.
    slots: Vec<Slot>,
    anyone: Who,
    nobody: Who,
    /// The number of the youngest secret.
    last_secret: u32,
}

/// A key in force.
#[derive(Debug)]
struct Slot {
    secret: Box<str>,
    who: Who,
    runs_max: Option<u32>,
    requests_per_minute: Option<u32>,
    bucket: Bucket,
}

impl Keyring {
    pub fn new(keys: &[Key], now: Tick) -> Keyring {
        let who = |name: &str, scopes: &[Scope]| {
            let pass = Pass { secret: 0, scopes: Scopes::of(scopes) };
            Who { owner: name.into(), pass }
        };
        let (anyone, nobody) = (who(FIRST_KEY, &[Scope::Admin]), who("", &[]));
        let mut keyring = Keyring { slots: Vec::new(), anyone, nobody, last_secret: 0 };
        keyring.change(keys, now);
        keyring
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Has other keys be in force. Who goes on with the same secret keeps its pass, and who goes on
    /// with the same name keeps what it has asked for so far.
    pub fn change(&mut self, keys: &[Key], now: Tick) {
        let old = std::mem::take(&mut self.slots);
        for key in keys {
            let known = old.iter().find(|slot| *slot.who.owner == *key.name);
            let same = known.filter(|slot| *slot.secret == *key.secret);
            let secret = same.map_or_else(|| self.new_secret(), |slot| slot.who.pass.secret);
            let owner =
                known.map_or_else(|| key.name.as_str().into(), |slot| slot.who.owner.clone());
            self.slots.push(Slot {
                secret: key.secret.as_str().into(),
                who: Who { owner, pass: Pass { secret, scopes: Scopes::of(&key.scopes) } },
                runs_max: key.runs_max,
                requests_per_minute: key.requests_per_minute,
                bucket: known.map_or(Bucket { level: u64::MAX, at: now }, |slot| slot.bucket),
            });
        }
    }

    fn new_secret(&mut self) -> u32 {
        self.last_secret += 1;
        self.last_secret
    }

    /// Who shows this. It is compared with every key, whichever it is, so that the time tells
    /// nothing.
    pub fn who(&self, shown: &str) -> Option<Who> {
        if self.slots.is_empty() {
            return Some(self.anyone.clone());
        }
        let found = self.slots.iter().fold(None, |found, slot| {
            let is_it = same_bytes(slot.secret.as_bytes(), shown.as_bytes());
            if is_it { Some(slot) } else { found }
        });
        found.map(|slot| slot.who.clone())
    }

    /// What the key of that name signs with, and who shows what it has signed.
    #[cfg(feature = "tokens")]
    pub fn signer(&self, name: &str) -> Option<(&[u8], &Who)> {
        let slot = self.slots.iter().find(|slot| *slot.who.owner == *name)?;
        Some((slot.secret.as_bytes(), &slot.who))
    }

    /// Who asks where no key is needed: one that owns nothing.
    pub fn nobody(&self) -> Who {
        self.nobody.clone()
    }

    /// True while what this pass allows is allowed.
    pub fn honours(&self, pass: Pass) -> bool {
        let same = |slot: &&Slot| slot.who.pass.secret == pass.secret;
        let allowed = self.slots.iter().find(same).map_or(Scopes(0), |slot| slot.who.pass.scopes);
        allowed.covers(pass.scopes)
    }

    /// Counts a request of this key, or says when it may ask again.
    pub fn spend(&mut self, who: &Who, now: Tick) -> Result<(), Reject> {
        let same = |slot: &&mut Slot| slot.who.pass.secret == who.pass.secret;
        let Some(slot) = self.slots.iter_mut().find(same) else { return Ok(()) };
        let Some(per_minute) = slot.requests_per_minute else { return Ok(()) };
        let refuse = |retry_after_s| {
            let key = who.owner.to_string();
            Reject::KeyRequests { key, per_minute, retry_after_s }
        };
        slot.bucket.take(per_minute.into(), now).map_err(refuse)
    }

    /// How many unfinished runs this key may have.
    pub fn runs_max(&self, who: &Who) -> Option<u32> {
        let same = |slot: &&Slot| slot.who.pass.secret == who.pass.secret;
        self.slots.iter().find(same)?.runs_max
    }
}

/// What one request takes out of a bucket, into which a minute pours this for each request allowed:
/// as many units a millisecond as there are requests a minute.
const REQUEST: u64 = 60_000;

/// What a key may still ask for. A full one is a minute's worth.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    at: Tick,
}

impl Bucket {
    /// Takes one request out, or says in how many seconds there will be one.
    fn take(&mut self, per_minute: u64, now: Tick) -> Result<(), u64> {
        let poured = now.0.saturating_sub(self.at.0).saturating_mul(per_minute);
        self.level = self.level.saturating_add(poured).min(per_minute * REQUEST);
        self.at = now;
        match self.level.checked_sub(REQUEST) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err((REQUEST - self.level).div_ceil(per_minute * 1_000)),
        }
    }
}

/// Compares in a time that does not tell how much of a guess was right.
fn same_bytes(key: &[u8], guess: &[u8]) -> bool {
    let mut difference = key.len() ^ guess.len();
    for (byte, other) in guess.iter().zip(key.iter().chain(std::iter::repeat(&0))) {
        difference |= usize::from(byte ^ other);
    }
    std::hint::black_box(difference) == 0
}
