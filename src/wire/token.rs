//! Run tokens: what a browser shows instead of a key, good for one run, for some acts, for a while.
//!
//! A token is `rwt1.PAYLOAD.TAG`. Both parts are base64url without padding: the payload is a JSON
//! object, the tag HMAC-SHA-256, under the secret of the key it names, of all that stands before
//! the last dot. The version at the front keeps tags apart from those of any other use of the
//! secret. Nothing is kept of a token: whoever holds a key can mint one without asking a server.
//!
//! What a later version may add is a restriction as likely as not, so what is not known here is
//! refused, never passed over.
use super::redact::Redact;
use super::{Reject, TokenFlaw, json};
use crate::id::RunId;
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_S, TOKEN_S_MAX, TOKEN_SKEW_S};
use crate::time::Wall;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// How a token of this version begins.
pub const PREFIX: &str = "rwt1.";

/// What a token lets its bearer do with its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read its events and its status.
    Watch,
    Steer,
    Approve,
    Stop,
}

impl Verb {
    const ALL: [Verb; 4] = [Verb::Watch, Verb::Steer, Verb::Approve, Verb::Stop];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Watch => "watch",
            Verb::Steer => "steer",
            Verb::Approve => "approve",
            Verb::Stop => "stop",
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The name of the key whose secret signs it.
    pub key: String,
    pub run: RunId,
    /// The Unix second in which it is no longer good.
    pub exp: u64,
    /// At least one, none twice.
    pub verbs: Vec<Verb>,
    pub redact: Redact,
}

impl Claims {
    /// # Errors
    /// `TokenFlaw::Refused` if it has expired, or would live longer than a token may.
    pub fn check_time(&self, now: Wall) -> Result<(), Reject> {
        if self.exp <= now.seconds() {
            return Err(refused("has expired; mint another"));
        }
        if self.exp > now.seconds() + TOKEN_S_MAX + TOKEN_SKEW_S {
            return Err(refused("lasts too long; let 'exp' be at most 24 h from now"));
        }
        Ok(())
    }

    pub fn verb_names(&self) -> Vec<&'static str> {
        self.verbs.iter().map(|verb| verb.name()).collect()
    }
}

/// Signs a token with the secret of the key that `claims` names.
pub fn mint(secret: &[u8], claims: &Claims) -> String {
    let payload = json!({
        "key": claims.key,
        "run": claims.run.to_string(),
        "exp": claims.exp,
        "verbs": claims.verb_names(),
        "redact": claims.redact.names(),
    });
    let mut token = PREFIX.to_owned();
    BASE64.encode_string(payload.to_string(), &mut token);
    let tag = tag(secret, &token).finalize().into_bytes();
    token.push('.');
    BASE64.encode_string(tag, &mut token);
    token
}

/// What a token says, once it is known to be genuine. The time is not looked at.
///
/// `secret_of` knows keys by their names. The tag is compared in constant time, and before it is
/// found to be right nothing of the payload is used but the key's name.
///
/// # Errors
/// `TokenFlaw::Refused`.
pub fn open<'a>(
    token: &str,
    secret_of: impl FnOnce(&str) -> Option<&'a [u8]>,
) -> Result<Claims, Reject> {
    let parts = parts(token).ok_or(refused(NO_TOKEN))?;
    let (signed, payload, shown) = parts;
    let object = || {
        let Value::Object(object) = json::parse(&payload).ok()? else { return None };
        Some(object)
    };
    let payload = object().ok_or(refused(NO_TOKEN))?;
    let secret = payload.get("key").and_then(Value::as_str).and_then(secret_of);
    let secret = secret.ok_or(refused(FORGED))?;
    tag(secret, signed).verify_slice(&shown).map_err(|_| refused(FORGED))?;
    claims(payload).ok_or(refused(UNKNOWN))
}

const NO_TOKEN: &str = "is none of this version: rwt1.PAYLOAD.TAG, as docs/tokens.md has it";
const FORGED: &str = "is not signed with the key it names; was that key changed?";
const UNKNOWN: &str = "says something this server does not know; see docs/tokens.md";

fn refused(why: &'static str) -> Reject {
    Reject::RunToken(TokenFlaw::Refused(why))
}

/// What is signed, the payload, and the tag.
fn parts(token: &str) -> Option<(&str, Vec<u8>, Vec<u8>)> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, shown) = token.rsplit_once('.')?;
    let payload = BASE64.decode(signed.strip_prefix(PREFIX)?).ok()?;
    Some((signed, payload, BASE64.decode(shown).ok()?))
}

fn tag(secret: &[u8], signed: &str) -> Hmac<Sha256> {
    let mut tag = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    tag.update(signed.as_bytes());
    tag
}

fn claims(mut payload: Map<String, Value>) -> Option<Claims> {
    let Value::String(key) = payload.remove("key")? else { return None };
    let run = payload.remove("run")?;
    let run = run.as_str().filter(|id| id.starts_with("run_")).and_then(RunId::parse)?;
    let exp = payload.remove("exp")?.as_u64()?;
    let verbs = verbs(&payload.remove("verbs")?)?;
    let redact = payload.remove("redact").map_or(Some(Redact::NOTHING), |names| redact(&names))?;
    payload.is_empty().then_some(Claims { key, run, exp, verbs, redact })
}

/// What somebody wants a token to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub verbs: Vec<Verb>,
    /// From 1 to `TOKEN_S_MAX`.
    pub lifetime_s: u64,
    pub redact: Redact,
}

impl Wanted {
    /// Reads the body of `POST /v1/runs/{id}/token`, which may be empty; `null` counts as not
    /// given. Unlike in all other bodies, an unknown field is refused: it may have been meant to
    /// restrict the token.
    ///
    /// # Errors
    /// The first that applies: `InvalidJson`, `InvalidBody`, `FieldType`, `TokenFlaw::Field`.
    pub fn parse(body: &[u8]) -> Result<Wanted, Reject> {
        let body = if body.is_empty() { &b"{}"[..] } else { body };
        let value = json::parse(body).map_err(|error| Reject::InvalidJson(error.to_string()))?;
        let Value::Object(mut body) = value else { return Err(Reject::InvalidBody) };
        let mut take = |field| body.remove(field).filter(|value| !value.is_null());
        let field = |field, wants| Reject::FieldType { field, wants };
        let wanted = Wanted {
            verbs: match take("verbs") {
                Some(names) => verbs(&names).ok_or(field("verbs", VERBS))?,
                None => vec![Verb::Watch],
            },
            lifetime_s: match take("lifetime") {
                Some(it) => lifetime(&it).ok_or(field("lifetime", LIFETIME))?,
                None => TOKEN_S,
            },
            redact: match take("redact") {
                Some(names) => redact(&names).ok_or(field("redact", REDACT))?,
                None => Redact::NOTHING,
            },
        };
        match body.into_iter().next() {
            Some((name, _)) => {
                Err(Reject::RunToken(TokenFlaw::Field(name.chars().take(40).collect())))
            }
            None => Ok(wanted),
        }
    }
}

const VERBS: &str = "a list of at least one of \"watch\", \"steer\", \"approve\" and \"stop\"";
const LIFETIME: &str = "a whole number of seconds from 1 to 86400";
const REDACT: &str = "a list of any of \"tools\" and \"reasoning\"";
const _: () = assert!(TOKEN_S_MAX == 86_400);

fn lifetime(value: &Value) -> Option<u64> {
    json::whole(value).filter(|seconds| (1..=TOKEN_S_MAX).contains(seconds))
}

fn verbs(names: &Value) -> Option<Vec<Verb>> {
    let mut verbs = Vec::new();
    for name in names.as_array()? {
        let verb = *Verb::ALL.iter().find(|verb| *name == verb.name())?;
        if !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    (!verbs.is_empty()).then_some(verbs)
}

fn redact(names: &Value) -> Option<Redact> {
    let mut redact = Redact::NOTHING;
    for name in names.as_array()? {
        match name.as_str()? {
            "tools" => redact.tools = true,
            "reasoning" => redact.reasoning = true,
            _ => return None,
        }
    }
    Some(redact)
}
