//! The body of a decision: how a choice may be written, what it is about, and every complaint.
use runwire::approval::Choice;
use runwire::wire::Reject;
use runwire::wire::approval::{Decision, parse};
use serde_json::{Value, json};

const ID: &str = "approval_000102030405060708090a0b0c0d0e0f_12";

fn read(body: &Value) -> Result<Decision, Reject> {
    parse(body.to_string().as_bytes())
}

fn decision(choice: Choice, request_id: Option<&str>) -> Result<Decision, Reject> {
    Ok(Decision { choice, request_id: request_id.map(Box::from) })
}

#[test]
fn a_choice_has_a_name_or_a_synonym() {
    for (name, choice) in [
        ("once", Choice::Once),
        ("session", Choice::Session),
        ("always", Choice::Always),
        ("deny", Choice::Deny),
        ("approve", Choice::Once),
        ("approved", Choice::Once),
        ("allow", Choice::Once),
        (" Once\n", Choice::Once),
        ("DENY", Choice::Deny),
    ] {
        assert_eq!(read(&json!({"choice": name, "unknown": []})), decision(choice, None), "{name}");
    }
    for choice in
        [json!("yes"), json!(""), json!("on ce"), json!(true), json!(null), json!(["once"])]
    {
        let refused = read(&json!({"choice": choice}));
        assert_eq!(refused, Err(Reject::InvalidApprovalChoice), "{choice}");
    }
    assert_eq!(read(&json!({})), Err(Reject::InvalidApprovalChoice));
    assert_eq!(parse(b""), Err(Reject::InvalidApprovalChoice));
}

#[test]
fn a_request_is_named_by_the_first_of_two_fields_that_is_given() {
    for body in [
        json!({"choice": "once", "request_id": ID}),
        json!({"choice": "once", "approval_id": ID}),
        json!({"choice": "once", "request_id": null, "approval_id": ID, "all": null}),
        json!({"choice": "once", "request_id": "", "approval_id": ID, "all": "false"}),
        json!({"choice": "once", "request_id": ID, "approval_id": "x", "resolve_all": false}),
    ] {
        assert_eq!(read(&body), decision(Choice::Once, Some(ID)), "{body}");
    }
    for all in [
        json!({"all": true}),
        json!({"resolve_all": "true"}),
        json!({"all": false, "resolve_all": true}),
    ] {
        let mut body = json!({"choice": "deny", "request_id": ID});
        body.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
        assert_eq!(read(&body), decision(Choice::Deny, None), "{body}");
    }
}

#[test]
fn an_id_this_server_never_gives_is_refused() {
    let zeros = "0".repeat(32);
    for id in [
        json!("x"),
        json!(5),
        json!(["approval"]),
        json!("approval_"),
        json!(format!("approval_{zeros}")),
        json!(format!("approval_{zeros}_")),
        json!(format!("approval_{zeros}_x")),
        json!(format!("approval_{zeros}_-1")),
        json!(format!("approval_{zeros}_{zeros}")),
        json!(format!("approval_{}_1", "G".repeat(32))),
        json!(format!("approval_{}_1", "é".repeat(16))),
        json!(format!("run_{zeros}_1")),
    ] {
        for field in ["request_id", "approval_id"] {
            let refused = read(&json!({"choice": "once", field: id}));
            assert_eq!(refused, Err(Reject::InvalidApprovalRequest), "{id}");
        }
    }
}

#[test]
fn a_decision_is_strict_json() {
    assert_eq!(parse(b"[\"once\"]"), Err(Reject::InvalidBody));
    for body in
        ["{\"choice\":\"once\",\"choice\":\"deny\"}", "{\"choice\":\"once\"", "once", "{}{}"]
    {
        assert!(matches!(parse(body.as_bytes()), Err(Reject::InvalidJson(_))), "{body}");
    }
    let wants = "true or false";
    for field in ["all", "resolve_all"] {
        for all in [json!("yes"), json!(1), json!([])] {
            let refused = read(&json!({"choice": "once", field: all}));
            assert_eq!(refused, Err(Reject::FieldType { field, wants }));
        }
    }
}
