//! The sentences of `Reject`: what is wrong, and what to change.
use super::{Lacks, Reject};
use crate::limits::{STEER_BYTES_MAX, STEERS_WAITING_MAX};
use std::borrow::Cow;

pub(super) fn message(reject: &Reject) -> Cow<'static, str> {
    if let Reject::RunToken(flaw) = reject {
        return flaw.message();
    }
    with_data(reject).map_or_else(|| Cow::Borrowed(plain(reject)), Cow::Owned)
}

/// The sentences that name something of the request or of the settings.
fn with_data(reject: &Reject) -> Option<String> {
    Some(match reject {
        Reject::Malformed(what) => format!("Malformed HTTP request: {what}"),
        Reject::HeaderTwice(name) => {
            format!("Malformed HTTP request: the header {name} appears twice; send it once")
        }
        Reject::InvalidJson(why) => format!("Invalid JSON: {why}"),
        Reject::InputEntry { index, lacks } => entry("input", *index, *lacks),
        Reject::HistoryEntry { index, lacks } => entry("conversation_history", *index, *lacks),
        Reject::FieldType { field, wants } => format!("'{field}' must be {wants}"),
        Reject::UnknownProvider(name) => {
            format!("Unknown provider: {name}. Leave 'provider' out, or see GET /v1/models")
        }
        Reject::InvalidWebhook(why) => format!("'webhook' {why}"),
        Reject::InvalidSessionKey(field) => {
            format!("{field} must have at most 256 bytes and no control characters")
        }
        Reject::OriginNotAllowed(origin) => format!(
            "Origin not allowed: {origin}. Start the server with this origin in --cors-origins"
        ),
        Reject::InsufficientScope(scope) => {
            format!("This key lacks the scope '{scope}'; use a key that has it")
        }
        Reject::Parameter { name, wants } => format!("The parameter '{name}' must be {wants}"),
        Reject::RunNotFound(id) => format!("Run not found: {id}"),
        Reject::SessionNotFound(id) => format!("Session not found: {id}"),
        Reject::GrantNotFound(id) => format!("Grant not found: {id}"),
        Reject::PreviousResponseNotFound(id) => format!("Previous response not found: {id}"),
        Reject::MethodNotAllowed { allow } => {
            format!("Method not allowed; this path knows {allow}")
        }
        Reject::BodyTooLarge { max } => {
            format!("Request body too large; the limit is {max} bytes (--max-body)")
        }
        Reject::HostNotAllowed(host) => format!(
            "Host not allowed: {host}. Use a loopback name, or start the server with this host \
             in --allowed-hosts"
        ),
        Reject::TooManyRuns { retry_after_s } => {
            format!("Too many runs are working and waiting; try again in {retry_after_s} s")
        }
        Reject::KeyRuns { key, max, retry_after_s } => format!(
            "The key '{key}' has {max} unfinished runs, which is its limit; stop one, or try again \
             in {retry_after_s} s"
        ),
        Reject::KeyRequests { key, per_minute, retry_after_s } => format!(
            "The key '{key}' may ask {per_minute} times a minute; try again in {retry_after_s} s"
        ),
        Reject::SteerTooLong => {
            format!("The text is too long; the limit for a steer is {STEER_BYTES_MAX} bytes")
        }
        Reject::TooManySteers { retry_after_s } => format!(
            "{STEERS_WAITING_MAX} steers already wait for the run's next turn; try again in \
             {retry_after_s} s"
        ),
        Reject::Draining { retry_after_s } => {
            format!("The server is shutting down; try again in {retry_after_s} s")
        }
        Reject::MemoryExhausted { retry_after_s } => format!(
            "The server's memory (--memory) is used up for now; try again in {retry_after_s} s"
        ),
        _ => return None,
    })
}

fn entry(field: &str, index: usize, lacks: Lacks) -> String {
    match lacks {
        Lacks::Object => {
            format!("{field}[{index}] must be an object with 'role' and 'content'")
        }
        Lacks::Role => format!("{field}[{index}] must have 'role' and 'content': no role string"),
        Lacks::Content => format!(
            "{field}[{index}] must have 'role' and 'content': content is neither a string nor a \
             list of parts"
        ),
        Lacks::Part(part) => format!(
            "{field}[{index}].content[{part}] must be {{\"type\":\"text\",\"text\":...}} or \
             {{\"type\":\"image_url\",\"image_url\":{{\"url\":...}}}} with an http, https or \
             data:image address"
        ),
        Lacks::Calls => format!("{field}[{index}].tool_calls must be a list of calls"),
        Lacks::Call(call) => format!(
            "{field}[{index}].tool_calls[{call}] must be {{\"id\":...,\"type\":\"function\",\
             \"function\":{{\"name\":...,\"arguments\":...}}}} with id, name and arguments as \
             strings"
        ),
        Lacks::CallId => format!("{field}[{index}].tool_call_id must be a string"),
    }
}

/// The sentences that are always the same.
fn plain(reject: &Reject) -> &'static str {
    match reject {
        Reject::InvalidBody => "The request body must be a JSON object",
        Reject::MissingInput => "Missing 'input' field: send the user's turn as a string or a list",
        Reject::NoUserText => {
            "No user message found in 'input': its last element must be the user's turn and have \
             text or an image"
        }
        Reject::HistoryNotList => "'conversation_history' must be a list of messages",
        Reject::InvalidIdempotencyKey => INVALID_IDEMPOTENCY_KEY,
        Reject::InvalidCursor => {
            "Invalid cursor: Last-Event-ID or last_seq must be -1 or the seq of an event this run \
             has sent"
        }
        Reject::InvalidSteerInput => "Missing text: send 'input', 'message' or 'text' as a string",
        Reject::InvalidApprovalChoice => "'choice' must be once, session, always or deny",
        Reject::ApprovalNotPermanent => APPROVAL_NOT_PERMANENT,
        Reject::InvalidApprovalRequest => INVALID_APPROVAL_REQUEST,
        Reject::AuthFailed => {
            "Invalid or missing key: send 'Authorization: Bearer <key>' (see `runwire key`)"
        }
        Reject::NotFound => "Not found: GET /v1/capabilities lists the endpoints",
        Reject::RequestTimeout => "The request took too long to arrive; send it again, faster",
        Reject::IdempotencyKeyConflict => {
            "This Idempotency-Key was used with another request; use a new one"
        }
        Reject::RunNotAcceptingSteer => "The run is not running, so it cannot be steered",
        Reject::RunNotFinished => "The run has not ended; stop it before you delete it",
        Reject::SessionInUse => SESSION_IN_USE,
        Reject::ApprovalNotPending => "No approval is waiting on this run",
        Reject::ApprovalNotActive => "That approval has long been decided or has expired",
        Reject::UnsupportedMediaType => {
            "Unsupported media type: send the body with 'Content-Type: application/json'"
        }
        Reject::UriTooLong => "The request line is too long; the limit is 8192 bytes",
        Reject::HeadersTooLarge => HEADERS_TOO_LARGE,
        Reject::StoreUnreadable => STORE_UNREADABLE,
        Reject::StoreUnavailable => STORE_UNAVAILABLE,
        Reject::Malformed(_)
        | Reject::HeaderTwice(_)
        | Reject::InvalidJson(_)
        | Reject::InputEntry { .. }
        | Reject::HistoryEntry { .. }
        | Reject::FieldType { .. }
        | Reject::Parameter { .. }
        | Reject::SessionNotFound(_)
        | Reject::GrantNotFound(_)
        | Reject::UnknownProvider(_)
        | Reject::InvalidSessionKey(_)
        | Reject::InvalidWebhook(_)
        | Reject::OriginNotAllowed(_)
        | Reject::RunToken(_)
        | Reject::InsufficientScope(_)
        | Reject::RunNotFound(_)
        | Reject::PreviousResponseNotFound(_)
        | Reject::MethodNotAllowed { .. }
        | Reject::BodyTooLarge { .. }
        | Reject::HostNotAllowed(_)
        | Reject::SteerTooLong
        | Reject::TooManyRuns { .. }
        | Reject::KeyRuns { .. }
        | Reject::KeyRequests { .. }
        | Reject::TooManySteers { .. }
        | Reject::Draining { .. }
        | Reject::MemoryExhausted { .. } => unreachable!("`with_data` has its sentence"),
    }
}

const HEADERS_TOO_LARGE: &str =
    "The headers are too large; the limits are 16384 bytes with the request line, and 64 headers";
const INVALID_IDEMPOTENCY_KEY: &str = "Idempotency-Key must have 1 to 255 visible ASCII characters";
const APPROVAL_NOT_PERMANENT: &str =
    "This leave cannot be remembered, so 'choice' must be once or deny";
const INVALID_APPROVAL_REQUEST: &str = "'request_id' must be the id of an approval.request event";
const SESSION_IN_USE: &str =
    "A run of the session has not ended; stop it, or wait, before you delete the session";
const STORE_UNREADABLE: &str =
    "What you asked for could not be read from the store; `runwire db check` tells more";
const STORE_UNAVAILABLE: &str =
    "The store cannot take new work now (is the disk full?); free some space and try again";
