//! Webhooks as JSON and as bytes on their way: what a run asks for, what is told, and its signature
//! by the scheme of Standard Webhooks (symmetric, `v1`).
use super::Reject;
use crate::config::{HOOK_EVENTS, Webhook};
use crate::id::RunId;
use crate::limits::HOOK_TEXT_BYTES_MAX;
use crate::text::shorten;
use crate::time::{Wall, civil};
use serde_json::{Map, Value, json};

const SHAPE: &str = "must be an object with 'url' and, if not all events are wanted, 'events'";
const EVENTS: &str = "has 'events' that are no list of any of run.completed, run.failed, \
                      run.cancelled, run.interrupted and approval.request";

/// Reads a run's `webhook`.
///
/// # Errors
/// `InvalidWebhook`. What is not known is refused, too: it would not hold.
pub fn parse(value: &Value) -> Result<Webhook, Reject> {
    let fields = value.as_object().ok_or(Reject::InvalidWebhook(SHAPE))?;
    let is_known = |name: &String| name == "url" || name == "events";
    let url = fields.get("url").and_then(Value::as_str);
    let Some(url) = url.filter(|_| fields.keys().all(is_known)) else {
        return Err(Reject::InvalidWebhook(SHAPE));
    };
    let webhook = Webhook::new(url).map_err(Reject::InvalidWebhook)?;
    match fields.get("events") {
        None | Some(Value::Null) => Ok(webhook),
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().unwrap_or_default());
            webhook.only(names).ok_or(Reject::InvalidWebhook(EVENTS))
        }
        Some(_) => Err(Reject::InvalidWebhook(EVENTS)),
    }
}

/// As `parse` reads it.
pub fn to_json(webhook: &Webhook) -> Value {
    json!({ "url": webhook.url, "events": webhook.events().collect::<Vec<_>>() })
}

/// What of an event stands beside it once more.
const COPIED: [&str; 3] = ["output", "usage", "error"];
/// What tells of a request for leave.
const APPROVAL: [&str; 7] =
    ["request_id", "approval_id", "tool", "command", "description", "choices", "allow_permanent"];

/// What is told of an event: `event` is its JSON as readers are sent it. A text of more than
/// `HOOK_TEXT_BYTES_MAX` bytes is shortened, and its name listed in `data.shortened`.
pub fn body(event: &str, name: &str, run: RunId, session: &str, status: &str, at: Wall) -> String {
    debug_assert!(HOOK_EVENTS.contains(&name));
    let parsed: Result<Map<String, Value>, _> = serde_json::from_str(event);
    let mut fields = parsed.expect("an event is a JSON object");
    let mut shortened = Vec::new();
    for (name, value) in &mut fields {
        if let Value::String(text) = value
            && text.len() > HOOK_TEXT_BYTES_MAX
        {
            *text = shorten(text, HOOK_TEXT_BYTES_MAX);
            shortened.push(name.clone());
        }
    }
    let mut data = Map::new();
    data.insert("run_id".to_owned(), run.to_string().into());
    data.insert("session_id".to_owned(), session.into());
    data.insert("status".to_owned(), status.into());
    let copied = |name: &&str| Some(((*name).to_owned(), fields.get(*name)?.clone()));
    if name == "approval.request" {
        let approval: Map<String, Value> = APPROVAL.iter().filter_map(copied).collect();
        data.insert("approval".to_owned(), approval.into());
    }
    data.extend(COPIED.iter().filter_map(copied));
    let as_it_was = shortened.is_empty();
    if !as_it_was {
        data.insert("shortened".to_owned(), shortened.into());
    }
    let event = if as_it_was { event.to_owned() } else { Value::Object(fields).to_string() };
    let (data, at) = (Value::Object(data).to_string(), iso(at));
    let rest = data.strip_prefix('{').expect("an object begins with a brace");
    format!("{{\"type\":\"{name}\",\"timestamp\":\"{at}\",\"data\":{{\"event\":{event},{rest}}}")
}

/// A moment as RFC 3339 writes it.
fn iso(at: Wall) -> String {
    let (days, seconds) = (at.seconds() / 86_400, at.seconds() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second, us) =
        (seconds / 3600, seconds / 60 % 60, seconds % 60, at.0 % 1_000_000);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(feature = "webhooks")]
pub use signing::{secrets, sign};

#[cfg(feature = "webhooks")]
mod signing {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD as BASE64;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    /// Secrets that can be in use at once: one and the one it takes the place of are enough.
    const SECRETS_MAX: usize = 4;

    /// The bytes of `whsec_` secrets with spaces between them; `None` unless each is 24 to 64 bytes
    /// in base64, and they are 1 to 4.
    pub fn secrets(text: &str) -> Option<Vec<Vec<u8>>> {
        let secrets: Option<Vec<Vec<u8>>> = text.split_ascii_whitespace().map(secret).collect();
        secrets.filter(|secrets| (1..=SECRETS_MAX).contains(&secrets.len()))
    }

    fn secret(text: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(bytes)
    }

    /// The value of `webhook-signature`: a signature by each secret.
    pub fn sign(secrets: &[Vec<u8>], id: &str, timestamp: u64, body: &str) -> String {
        let by = |secret: &Vec<u8>| sign_by(secret, id, timestamp, body);
        secrets.iter().map(by).collect::<Vec<_>>().join(" ")
    }

    fn sign_by(secret: &[u8], id: &str, timestamp: u64, body: &str) -> String {
        let mut tag =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        tag.update(format!("{id}.{timestamp}.").as_bytes());
        tag.update(body.as_bytes());
        format!("v1,{}", BASE64.encode(tag.finalize().into_bytes()))
    }
}
