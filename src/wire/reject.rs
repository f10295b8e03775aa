//! Why a request is refused: each reason has one status, one stable code and one plain sentence.
use super::TokenFlaw;
use serde::Serialize;
use std::borrow::Cow;

/// A peer's mistake, or a reason of ours to send it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Not HTTP as RFC 9112 has it. Says what is wrong and what to send instead.
    Malformed(&'static str),
    /// A header that may appear once appears twice.
    HeaderTwice(&'static str),
    /// The body is not JSON; says why and where.
    InvalidJson(String),
    /// The body is JSON, but not an object.
    InvalidBody,
    MissingInput,
    /// Nothing in `input` for the agent to answer.
    NoUserText,
    /// Element `index` of a list `input` is not a message.
    InputEntry {
        index: usize,
        lacks: Lacks,
    },
    HistoryNotList,
    /// Entry `index` of `conversation_history` is not a message.
    HistoryEntry {
        index: usize,
        lacks: Lacks,
    },
    /// A field of the body has the wrong type; `wants` is what it must be.
    FieldType {
        field: &'static str,
        wants: &'static str,
    },
    UnknownProvider(String),
    InvalidIdempotencyKey,
    /// A session key or id, from a header or the body; carries the name of the field.
    InvalidSessionKey(&'static str),
    InvalidCursor,
    InvalidSteerInput,
    /// Over `STEER_BYTES_MAX` bytes.
    SteerTooLong,
    InvalidApprovalChoice,
    /// The leave was to be remembered, and this one cannot be.
    ApprovalNotPermanent,
    InvalidApprovalRequest,
    /// Carries what is wrong with `webhook`.
    InvalidWebhook(&'static str),
    AuthFailed,
    RunToken(TokenFlaw),
    /// Carries the origin that was refused.
    OriginNotAllowed(String),
    /// Carries the scope the key would need.
    InsufficientScope(&'static str),
    /// No such path.
    NotFound,
    RunNotFound(String),
    SessionNotFound(String),
    GrantNotFound(String),
    /// A parameter of the query; `wants` is what it must be.
    Parameter {
        name: &'static str,
        wants: &'static str,
    },
    PreviousResponseNotFound(String),
    MethodNotAllowed {
        allow: &'static str,
    },
    RequestTimeout,
    IdempotencyKeyConflict,
    RunNotAcceptingSteer,
    /// Only what has ended can be deleted.
    RunNotFinished,
    /// A session of which a run has not ended cannot be deleted.
    SessionInUse,
    ApprovalNotPending,
    ApprovalNotActive,
    /// `max` is the limit in bytes.
    BodyTooLarge {
        max: usize,
    },
    UnsupportedMediaType,
    /// Carries the host that was asked for.
    HostNotAllowed(String),
    UriTooLong,
    HeadersTooLarge,
    TooManyRuns {
        retry_after_s: u64,
    },
    /// The key named has as many unfinished runs as it may.
    KeyRuns {
        key: String,
        max: u32,
        retry_after_s: u64,
    },
    /// The key named has asked as often as it may.
    KeyRequests {
        key: String,
        per_minute: u32,
        retry_after_s: u64,
    },
    /// As many steers wait for the run's next turn as may.
    TooManySteers {
        retry_after_s: u64,
    },
    Draining {
        retry_after_s: u64,
    },
    /// The budget for memory is used up.
    MemoryExhausted {
        retry_after_s: u64,
    },
    /// What was asked for could not be read from the store.
    StoreUnreadable,
    StoreUnavailable,
}

/// What keeps a list element from being a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// It is not an object.
    Object,
    Role,
    Content,
    /// Its content holds a part that is neither text nor an image.
    Part(usize),
    /// Its `tool_calls` is not a list.
    Calls,
    /// Its `tool_calls` holds something that is not the call of a function.
    Call(usize),
    /// Its `tool_call_id` is not a string.
    CallId,
}

impl Reject {
    pub fn status(&self) -> u16 {
        match self {
            Reject::Malformed(_)
            | Reject::HeaderTwice(_)
            | Reject::InvalidJson(_)
            | Reject::InvalidBody
            | Reject::MissingInput
            | Reject::NoUserText
            | Reject::InputEntry { .. }
            | Reject::HistoryNotList
            | Reject::HistoryEntry { .. }
            | Reject::FieldType { .. }
            | Reject::Parameter { .. }
            | Reject::UnknownProvider(_)
            | Reject::InvalidIdempotencyKey
            | Reject::InvalidSessionKey(_)
            | Reject::InvalidCursor
            | Reject::InvalidSteerInput
            | Reject::SteerTooLong
            | Reject::InvalidApprovalChoice
            | Reject::ApprovalNotPermanent
            | Reject::InvalidApprovalRequest
            | Reject::InvalidWebhook(_) => 400,
            Reject::AuthFailed => 401,
            Reject::RunToken(flaw) => flaw.status(),
            Reject::OriginNotAllowed(_) | Reject::InsufficientScope(_) => 403,
            Reject::NotFound
            | Reject::RunNotFound(_)
            | Reject::SessionNotFound(_)
            | Reject::GrantNotFound(_)
            | Reject::PreviousResponseNotFound(_) => 404,
            Reject::MethodNotAllowed { .. } => 405,
            Reject::RequestTimeout => 408,
            Reject::IdempotencyKeyConflict
            | Reject::RunNotAcceptingSteer
            | Reject::RunNotFinished
            | Reject::SessionInUse
            | Reject::ApprovalNotPending
            | Reject::ApprovalNotActive => 409,
            Reject::BodyTooLarge { .. } => 413,
            Reject::UriTooLong => 414,
            Reject::UnsupportedMediaType => 415,
            Reject::HostNotAllowed(_) => 421,
            Reject::TooManyRuns { .. }
            | Reject::KeyRuns { .. }
            | Reject::KeyRequests { .. }
            | Reject::TooManySteers { .. } => 429,
            Reject::HeadersTooLarge => 431,
            Reject::Draining { .. } | Reject::MemoryExhausted { .. } => 503,
            Reject::StoreUnreadable => 500,
            Reject::StoreUnavailable => 507,
        }
    }

    /// The stable code for programs; some old refusals have none.
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Reject::InvalidJson(_)
            | Reject::MissingInput
            | Reject::NoUserText
            | Reject::InputEntry { .. }
            | Reject::HistoryNotList
            | Reject::HistoryEntry { .. }
            | Reject::FieldType { .. } => return None,
            Reject::RunToken(flaw) => return flaw.code(),
            Reject::Malformed(_) | Reject::HeaderTwice(_) => "bad_request",
            Reject::InvalidBody => "invalid_body",
            Reject::Parameter { .. } => "invalid_parameter",
            Reject::UnknownProvider(_) => "unknown_provider",
            Reject::InvalidIdempotencyKey => "invalid_idempotency_key",
            Reject::InvalidSessionKey(_) => "invalid_session_key",
            Reject::InvalidCursor => "invalid_cursor",
            Reject::InvalidSteerInput | Reject::SteerTooLong => "invalid_steer_input",
            Reject::InvalidApprovalChoice | Reject::ApprovalNotPermanent => {
                "invalid_approval_choice"
            }
            Reject::InvalidApprovalRequest => "invalid_approval_request",
            Reject::InvalidWebhook(_) => "invalid_webhook",
            Reject::AuthFailed => "gateway_auth_failed",
            Reject::OriginNotAllowed(_) => "origin_not_allowed",
            Reject::InsufficientScope(_) => "insufficient_scope",
            Reject::NotFound => "not_found",
            Reject::RunNotFound(_) => "run_not_found",
            Reject::SessionNotFound(_) => "session_not_found",
            Reject::GrantNotFound(_) => "grant_not_found",
            Reject::PreviousResponseNotFound(_) => "previous_response_not_found",
            Reject::MethodNotAllowed { .. } => "method_not_allowed",
            Reject::RequestTimeout => "request_timeout",
            Reject::IdempotencyKeyConflict => "idempotency_key_conflict",
            Reject::RunNotAcceptingSteer => "run_not_accepting_steer",
            Reject::RunNotFinished => "run_not_finished",
            Reject::SessionInUse => "session_in_use",
            Reject::ApprovalNotPending => "approval_not_pending",
            Reject::ApprovalNotActive => "approval_not_active",
            Reject::BodyTooLarge { .. } => "body_too_large",
            Reject::UriTooLong => "uri_too_long",
            Reject::UnsupportedMediaType => "unsupported_media_type",
            Reject::HostNotAllowed(_) => "host_not_allowed",
            Reject::TooManyRuns { .. }
            | Reject::KeyRuns { .. }
            | Reject::KeyRequests { .. }
            | Reject::TooManySteers { .. } => "rate_limit_exceeded",
            Reject::HeadersTooLarge => "headers_too_large",
            Reject::Draining { .. } => "gateway_draining",
            Reject::MemoryExhausted { .. } => "memory_exhausted",
            Reject::StoreUnreadable => "store_unreadable",
            Reject::StoreUnavailable => "store_unavailable",
        })
    }

    /// The family of the error, as clients of this API know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Reject::AuthFailed | Reject::RunToken(TokenFlaw::Refused(_)) => "gateway_auth_error",
            Reject::TooManyRuns { .. }
            | Reject::KeyRuns { .. }
            | Reject::KeyRequests { .. }
            | Reject::TooManySteers { .. } => "rate_limit_error",
            Reject::MemoryExhausted { .. } | Reject::StoreUnreadable | Reject::StoreUnavailable => {
                "server_error"
            }
            _ => "invalid_request_error",
        }
    }

    /// The field of the body that is to blame.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Reject::MissingInput | Reject::NoUserText | Reject::InputEntry { .. } => Some("input"),
            Reject::HistoryNotList | Reject::HistoryEntry { .. } => Some("conversation_history"),
            Reject::FieldType { field, .. } => Some(field),
            Reject::Parameter { name, .. } => Some(name),
            Reject::UnknownProvider(_) => Some("provider"),
            Reject::InvalidWebhook(_) => Some("webhook"),
            Reject::PreviousResponseNotFound(_) => Some("previous_response_id"),
            _ => None,
        }
    }

    /// For people: what is wrong, and what to change.
    pub fn message(&self) -> Cow<'static, str> {
        super::reject_text::message(self)
    }

    /// True if nothing after this request can be trusted to be one, or if what is left of it is
    /// not worth reading: the connection ends with this reply.
    pub fn closes(&self) -> bool {
        matches!(
            self,
            Reject::Malformed(_)
                | Reject::HeaderTwice(_)
                | Reject::RequestTimeout
                | Reject::BodyTooLarge { .. }
                | Reject::UriTooLong
                | Reject::HeadersTooLarge
        )
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Reject::TooManyRuns { retry_after_s }
            | Reject::KeyRuns { retry_after_s, .. }
            | Reject::KeyRequests { retry_after_s, .. }
            | Reject::TooManySteers { retry_after_s }
            | Reject::Draining { retry_after_s }
            | Reject::MemoryExhausted { retry_after_s } => Some(*retry_after_s),
            _ => None,
        }
    }

    /// The error object of the wire.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: Option<&'a str>,
        }
        let error = Error {
            message: &self.message(),
            r#type: self.kind(),
            param: self.param(),
            code: self.code(),
        };
        serde_json::to_vec(&Body { error }).expect("strings are always JSON")
    }
}
