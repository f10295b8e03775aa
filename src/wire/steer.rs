//! The body of `POST /v1/runs/{id}/steer`: what a client says to a run that works.
use super::{Reject, json};
use crate::limits::STEER_BYTES_MAX;
use crate::request::Steer;
use serde_json::{Map, Value};

/// Clients in the field say it in any of these; the first that is given counts.
const TEXT_FIELDS: [&str; 3] = ["input", "message", "text"];

/// Reads the body of a steer. `null` and `""` count as not given; unknown fields are ignored.
///
/// # Errors
/// The first that applies: `InvalidJson`, `InvalidBody`, `InvalidSteerInput` where there is no
/// text, `SteerTooLong`, `FieldType` where `interrupt` is no bool.
pub fn parse(body: &[u8]) -> Result<Steer, Reject> {
    if body.is_empty() {
        return Err(Reject::InvalidSteerInput);
    }
    let value = json::parse(body).map_err(|error| Reject::InvalidJson(error.to_string()))?;
    let Value::Object(mut body) = value else { return Err(Reject::InvalidBody) };
    Ok(Steer { text: text(&mut body)?, interrupt: interrupt(&body)? })
}

fn text(body: &mut Map<String, Value>) -> Result<String, Reject> {
    let is_given = |value: &Value| !value.is_null() && value != "";
    let given = TEXT_FIELDS.iter().filter_map(|name| body.remove(*name)).find(is_given);
    match given {
        Some(Value::String(text)) if text.trim().is_empty() => Err(Reject::InvalidSteerInput),
        Some(Value::String(text)) if text.len() > STEER_BYTES_MAX => Err(Reject::SteerTooLong),
        Some(Value::String(text)) => Ok(text),
        _ => Err(Reject::InvalidSteerInput),
    }
}

fn interrupt(body: &Map<String, Value>) -> Result<bool, Reject> {
    match body.get("interrupt") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(interrupt)) => Ok(*interrupt),
        Some(_) => Err(Reject::FieldType { field: "interrupt", wants: "true or false" }),
    }
}

/// Nothing panics, what is taken is JSON, and what it holds keeps its promises.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let answer = parse(bytes);
    assert_eq!(answer, parse(bytes));
    match answer {
        Ok(steer) => {
            let plain: Value = serde_json::from_slice(bytes).expect("what is taken is JSON");
            assert!(TEXT_FIELDS.iter().any(|name| plain[name] == steer.text));
            assert!(!steer.text.trim().is_empty() && steer.text.len() <= STEER_BYTES_MAX);
            assert_eq!(plain["interrupt"] == true, steer.interrupt);
        }
        Err(reject) => assert_eq!(reject.status(), 400),
    }
}
