//! The refusals, row by row as the contract has them.
use runwire::wire::{Lacks, Reject, TokenFlaw};
use serde_json::{Value, json};

const REQUEST: &str = "invalid_request_error";

/// Reject, status, code, type, whether the connection closes.
type Row = (Reject, u16, Option<&'static str>, &'static str, bool);

fn table() -> Vec<Row> {
    let gone = |id: &str| id.to_owned();
    let rows = [
        (Reject::Malformed("x"), 400, "bad_request", true),
        (Reject::HeaderTwice("Host"), 400, "bad_request", true),
        (Reject::InvalidJson("x".to_owned()), 400, "", false),
        (Reject::InvalidBody, 400, "invalid_body", false),
        (Reject::MissingInput, 400, "", false),
        (Reject::NoUserText, 400, "", false),
        (Reject::InputEntry { index: 3, lacks: Lacks::Object }, 400, "", false),
        (Reject::HistoryNotList, 400, "", false),
        (Reject::HistoryEntry { index: 3, lacks: Lacks::Content }, 400, "", false),
        (Reject::FieldType { field: "model", wants: "a string" }, 400, "", false),
        (Reject::UnknownProvider(gone("x")), 400, "unknown_provider", false),
        (Reject::InvalidIdempotencyKey, 400, "invalid_idempotency_key", false),
        (Reject::InvalidSessionKey("session_id"), 400, "invalid_session_key", false),
        (Reject::InvalidCursor, 400, "invalid_cursor", false),
        (Reject::InvalidSteerInput, 400, "invalid_steer_input", false),
        (Reject::SteerTooLong, 400, "invalid_steer_input", false),
        (Reject::InvalidApprovalChoice, 400, "invalid_approval_choice", false),
        (Reject::InvalidWebhook("must"), 400, "invalid_webhook", false),
        (Reject::ApprovalNotPermanent, 400, "invalid_approval_choice", false),
        (Reject::GrantNotFound("grant_0".into()), 404, "grant_not_found", false),
        (Reject::InvalidApprovalRequest, 400, "invalid_approval_request", false),
        (Reject::AuthFailed, 401, "gateway_auth_failed", false),
        (Reject::RunToken(TokenFlaw::Refused("is late")), 401, "gateway_auth_failed", false),
        (Reject::RunToken(TokenFlaw::LacksVerb(Some("stop"))), 403, "insufficient_scope", false),
        (Reject::RunToken(TokenFlaw::LacksVerb(None)), 403, "insufficient_scope", false),
        (Reject::RunToken(TokenFlaw::Field(gone("verb"))), 400, "", false),
        (Reject::OriginNotAllowed(gone("x")), 403, "origin_not_allowed", false),
        (Reject::InsufficientScope("runs"), 403, "insufficient_scope", false),
        (Reject::NotFound, 404, "not_found", false),
        (Reject::RunNotFound(gone("run_x")), 404, "run_not_found", false),
        (Reject::PreviousResponseNotFound(gone("x")), 404, "previous_response_not_found", false),
        (Reject::MethodNotAllowed { allow: "GET" }, 405, "method_not_allowed", false),
        (Reject::RequestTimeout, 408, "request_timeout", true),
        (Reject::IdempotencyKeyConflict, 409, "idempotency_key_conflict", false),
        (Reject::RunNotAcceptingSteer, 409, "run_not_accepting_steer", false),
        (Reject::ApprovalNotPending, 409, "approval_not_pending", false),
        (Reject::ApprovalNotActive, 409, "approval_not_active", false),
        (Reject::BodyTooLarge { max: 10 }, 413, "body_too_large", true),
        (Reject::UriTooLong, 414, "uri_too_long", true),
        (Reject::UnsupportedMediaType, 415, "unsupported_media_type", false),
        (Reject::HostNotAllowed(gone("evil")), 421, "host_not_allowed", false),
        (Reject::TooManyRuns { retry_after_s: 5 }, 429, "rate_limit_exceeded", false),
        (Reject::TooManySteers { retry_after_s: 5 }, 429, "rate_limit_exceeded", false),
        (Reject::HeadersTooLarge, 431, "headers_too_large", true),
        (Reject::Draining { retry_after_s: 5 }, 503, "gateway_draining", false),
        (Reject::MemoryExhausted { retry_after_s: 2 }, 503, "memory_exhausted", false),
        (Reject::StoreUnavailable, 507, "store_unavailable", false),
    ];
    let kind = |reject: &Reject| match reject {
        Reject::AuthFailed | Reject::RunToken(TokenFlaw::Refused(_)) => "gateway_auth_error",
        Reject::TooManyRuns { .. } | Reject::TooManySteers { .. } => "rate_limit_error",
        Reject::MemoryExhausted { .. } | Reject::StoreUnavailable => "server_error",
        _ => REQUEST,
    };
    let complete = |(reject, status, code, closes): (Reject, u16, &'static str, bool)| {
        let kind = kind(&reject);
        (reject, status, Some(code).filter(|code| !code.is_empty()), kind, closes)
    };
    rows.into_iter().map(complete).collect()
}

#[test]
fn every_refusal_is_that_of_the_contract() {
    for (reject, status, code, kind, closes) in table() {
        assert_eq!(reject.status(), status, "{reject:?}");
        assert_eq!(reject.code(), code, "{reject:?}");
        assert_eq!(reject.kind(), kind, "{reject:?}");
        assert_eq!(reject.closes(), closes, "{reject:?}");
        let body: Value = serde_json::from_slice(&reject.body()).unwrap();
        let error = json!({
            "message": reject.message(), "type": kind, "param": reject.param(), "code": code,
        });
        assert_eq!(body, json!({ "error": error }));
        assert!(reject.message().len() > 10, "{reject:?} says too little");
    }
}

#[test]
fn the_error_object_has_its_keys_in_order() {
    let body = Reject::RunNotFound("run_nope\"\n".to_owned()).body();
    let expected = r#"{"error":{"message":"Run not found: run_nope\"\n","type":"invalid_request_error","param":null,"code":"run_not_found"}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn messages_name_what_is_to_blame() {
    for (reject, words) in [
        (Reject::InvalidJson("at line 1".to_owned()), &["Invalid JSON", "at line 1"][..]),
        (Reject::MissingInput, &["Missing 'input' field"]),
        (
            Reject::HistoryEntry { index: 2, lacks: Lacks::Role },
            &["conversation_history[2]", "'role' and 'content'"],
        ),
        (Reject::InputEntry { index: 1, lacks: Lacks::Part(4) }, &["input[1].content[4]"]),
        (Reject::FieldType { field: "model", wants: "a string" }, &["'model'", "a string"]),
        (Reject::RunNotFound("run_x".to_owned()), &["Run not found: run_x"]),
        (Reject::HostNotAllowed("evil.example".to_owned()), &["evil.example", "--allowed-hosts"]),
        (Reject::OriginNotAllowed("https://a".to_owned()), &["https://a", "--cors-origins"]),
        (Reject::MethodNotAllowed { allow: "GET, POST" }, &["GET, POST"]),
        (Reject::BodyTooLarge { max: 77 }, &["77 bytes", "--max-body"]),
        (Reject::TooManyRuns { retry_after_s: 9 }, &["9 s"]),
        (Reject::InvalidSessionKey("session_id"), &["session_id", "256"]),
    ] {
        for word in words {
            assert!(reject.message().contains(word), "{reject:?}: {}", reject.message());
        }
    }
}
