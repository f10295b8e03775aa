//! The body of a steer: where its text may stand, and every complaint.
use runwire::limits::STEER_BYTES_MAX;
use runwire::request::Steer;
use runwire::wire::Reject;
use runwire::wire::steer::parse;
use serde_json::{Value, json};

fn read(body: &Value) -> Result<Steer, Reject> {
    parse(body.to_string().as_bytes())
}

#[test]
fn the_text_stands_in_the_first_of_three_fields_that_is_given() {
    for body in [
        json!({"input": "go left"}),
        json!({"message": "go left"}),
        json!({"text": "go left", "unknown": [1]}),
        json!({"input": null, "message": "", "text": "go left", "interrupt": null}),
        json!({"text": "no", "message": "no", "input": "go left", "interrupt": false}),
        json!({"text": "no", "message": "go left"}),
    ] {
        let expected = Steer { text: "go left".to_owned(), interrupt: false };
        assert_eq!(read(&body), Ok(expected), "{body}");
    }
    let expected = Steer { text: " as it is\n".to_owned(), interrupt: true };
    assert_eq!(read(&json!({"text": " as it is\n", "interrupt": true})), Ok(expected));
}

#[test]
fn a_steer_without_text_is_refused() {
    for body in [
        json!({}),
        json!({"input": null, "message": "", "text": null}),
        json!({"input": " \n\t"}),
        json!({"input": 5}),
        json!({"input": ["go left"], "text": "go left"}),
        json!({"prompt": "go left"}),
    ] {
        assert_eq!(read(&body), Err(Reject::InvalidSteerInput), "{body}");
    }
    assert_eq!(parse(b""), Err(Reject::InvalidSteerInput));
}

#[test]
fn a_steer_is_strict_json() {
    assert_eq!(parse(b"[\"go left\"]"), Err(Reject::InvalidBody));
    for body in ["{\"text\":\"a\",\"text\":\"b\"}", "{\"text\":\"a\"", "go left", "{}{}"] {
        assert!(matches!(parse(body.as_bytes()), Err(Reject::InvalidJson(_))), "{body}");
    }
    let wants = "true or false";
    for interrupt in [json!("true"), json!(1), json!([])] {
        let refused = read(&json!({"text": "a", "interrupt": interrupt}));
        assert_eq!(refused, Err(Reject::FieldType { field: "interrupt", wants }));
    }
}

#[test]
fn a_text_may_be_as_long_as_the_limit_and_no_longer() {
    let longest = "x".repeat(STEER_BYTES_MAX);
    assert_eq!(read(&json!({"text": longest})).map(|steer| steer.text), Ok(longest.clone()));
    assert_eq!(read(&json!({"text": longest + "x"})), Err(Reject::SteerTooLong));
}
