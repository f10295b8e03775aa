//! The body of `POST /v1/runs/{id}/approval`: what somebody has decided, and about what.
use super::{Reject, json};
use crate::approval::Choice;
use serde_json::{Map, Value};

/// Clients in the field name the request by either; the first that is given counts.
const ID_FIELDS: [&str; 2] = ["request_id", "approval_id"];
/// Likewise for "whatever waits".
const ALL_FIELDS: [&str; 2] = ["all", "resolve_all"];

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub choice: Choice,
    /// The request it is about; `None` for the one that waits.
    pub request_id: Option<Box<str>>,
}

/// Reads the body of a decision. `null` and `""` count as not given; unknown fields are ignored.
///
/// # Errors
/// The first that applies: `InvalidJson`, `InvalidBody`, `InvalidApprovalChoice`, `FieldType` where
/// `all` or `resolve_all` is neither true nor false, `InvalidApprovalRequest` where the id is not
/// one that this server gives.
pub fn parse(body: &[u8]) -> Result<Decision, Reject> {
    if body.is_empty() {
        return Err(Reject::InvalidApprovalChoice);
    }
    let value = json::parse(body).map_err(|error| Reject::InvalidJson(error.to_string()))?;
    let Value::Object(body) = value else { return Err(Reject::InvalidBody) };
    let choice = choice(&body)?;
    let all = is_for_all(&body)?;
    let request_id = request_id(&body)?.filter(|_| !all);
    Ok(Decision { choice, request_id })
}

fn choice(body: &Map<String, Value>) -> Result<Choice, Reject> {
    let name = body.get("choice").and_then(Value::as_str).unwrap_or_default();
    Choice::parse(&name.trim().to_ascii_lowercase()).ok_or(Reject::InvalidApprovalChoice)
}

/// True if the decision is about all that waits, whatever `request_id` says.
fn is_for_all(body: &Map<String, Value>) -> Result<bool, Reject> {
    let mut is_for_all = false;
    for field in ALL_FIELDS {
        is_for_all |= match body.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(value)) => *value,
            // Some clients send what stood in a form.
            Some(Value::String(text)) if matches!(text.as_str(), "" | "false") => false,
            Some(Value::String(text)) if text == "true" => true,
            Some(_) => return Err(Reject::FieldType { field, wants: "true or false" }),
        };
    }
    Ok(is_for_all)
}

fn request_id(body: &Map<String, Value>) -> Result<Option<Box<str>>, Reject> {
    let is_given = |value: &&Value| !value.is_null() && **value != "";
    match ID_FIELDS.iter().filter_map(|name| body.get(*name)).find(is_given) {
        None => Ok(None),
        Some(Value::String(id)) if is_request_id(id) => Ok(Some(id.as_str().into())),
        Some(_) => Err(Reject::InvalidApprovalRequest),
    }
}

/// `approval_<32 hex>_<number>`, as `Context::approve` makes it.
fn is_request_id(id: &str) -> bool {
    let parts = id.strip_prefix("approval_").and_then(|rest| rest.split_once('_'));
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    parts.is_some_and(|(run, number)| {
        let is_number = (1..=20).contains(&number.len());
        run.len() == 32
            && run.bytes().all(lower_hex)
            && is_number
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Nothing panics, what is taken is JSON, and what it holds keeps its promises.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let answer = parse(bytes);
    assert_eq!(answer, parse(bytes));
    match answer {
        Ok(decision) => {
            let plain: Value = serde_json::from_slice(bytes).expect("what is taken is JSON");
            assert!(plain["choice"].is_string());
            if let Some(id) = &decision.request_id {
                assert!(ID_FIELDS.iter().any(|name| plain[name] == **id));
                assert!(ALL_FIELDS.iter().all(|name| plain[name] != true && plain[name] != "true"));
                assert!(is_request_id(id));
            }
        }
        Err(reject) => assert_eq!(reject.status(), 400),
    }
}
