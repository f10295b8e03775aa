//! The body of a submission: every rule of the contract, and every complaint.
use runwire::budget::Budget;
use runwire::request::{Content, Message, Part, ToolCall};
use runwire::wire::submit::{Submission, header_id, idempotency_key, parse};
use runwire::wire::{Lacks, Reject};
use serde_json::{Map, Value, json};
use std::time::Duration;

fn accepted(body: Value) -> Submission {
    parse(body.to_string().as_bytes()).unwrap_or_else(|reject| panic!("{body}: {reject:?}"))
}

fn refused(body: Value) -> Reject {
    parse(body.to_string().as_bytes()).expect_err(&body.to_string())
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn message(role: &str, content: Content) -> Message {
    Message::new(role, content)
}

#[test]
fn a_text_is_all_it_takes() {
    let expected = Submission {
        input: text("list files in /tmp"),
        earlier: Vec::new(),
        history: None,
        instructions: None,
        previous_response_id: None,
        session_id: None,
        model: None,
        provider: None,
        model_options: Map::new(),
        budget: Budget::default(),
        webhook: None,
    };
    assert_eq!(accepted(json!({"input": "list files in /tmp"})), expected);
    let nothing_more = json!({
        "input": "list files in /tmp", "instructions": null, "previous_response_id": "",
        "session_id": null, "conversation_history": [], "model": "", "provider": null,
        "model_options": null, "budget": null, "unknown": {"input": 1},
    });
    assert_eq!(accepted(nothing_more), expected);
}

#[test]
fn every_field_is_taken_as_it_stands() {
    let submission = accepted(json!({
        "input": " x ", "instructions": "be brief", "previous_response_id": "resp_1",
        "session_id": "s \u{e9}", "conversation_history": [{"role": "user", "content": ""}],
        "model": "m", "provider": "p", "model_options": {"temperature": 0.5, "stop": ["a"]},
    }));
    assert_eq!(submission.input, text(" x "));
    assert_eq!(submission.instructions.as_deref(), Some("be brief"));
    assert_eq!(submission.previous_response_id.as_deref(), Some("resp_1"));
    assert_eq!(submission.session_id.as_deref(), Some("s \u{e9}"));
    assert_eq!(submission.history, Some(vec![message("user", text(""))]));
    assert_eq!(submission.model.as_deref(), Some("m"));
    assert_eq!(submission.provider.as_deref(), Some("p"));
    assert_eq!(Value::Object(submission.model_options), json!({"temperature": 0.5, "stop": ["a"]}));
}

#[test]
fn a_list_ends_with_the_users_turn() {
    let submission = accepted(json!({"input": [
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}], "id": 7},
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "input_text", "text": "here"},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
            {"type": "input_image", "image_url": {"url": "HTTP://a.example/"}, "detail": "auto"},
        ]},
    ]}));
    let image = |url: &str, detail: Option<&str>| Part::Image {
        url: url.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let parts = vec![
        Part::Text("look".to_owned()),
        Part::Text("here".to_owned()),
        image("https://a.example/b.png", Some("low")),
        image("data:image/png;base64,AA==", Some("high")),
        image("HTTP://a.example/", Some("auto")),
    ];
    assert_eq!(submission.input, Content::Parts(parts));
    let answer = Content::Parts(vec![Part::Text("a".to_owned())]);
    assert_eq!(submission.earlier, [message("system", text("s")), message("assistant", answer)]);
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for bytes in
        [&b""[..], b"{", b"\xff", b"{\"input\":\"a\",\"input\":\"b\"}", b"{\"input\":\"\\ud800\"}"]
    {
        match parse(bytes) {
            Err(reject @ Reject::InvalidJson(_)) => {
                assert!(reject.message().starts_with("Invalid JSON"));
            }
            other => panic!("{other:?}"),
        }
    }
    for body in [json!([]), json!("x"), json!(null), json!(1)] {
        assert_eq!(refused(body), Reject::InvalidBody);
    }
}

#[test]
fn input_must_say_something() {
    for body in [json!({}), json!({"input": null}), json!({"input": ""}), json!({"input": []})] {
        assert_eq!(refused(body), Reject::MissingInput);
    }
    let turn = |content: Value| json!({"input": [{"role": "user", "content": content}]});
    for body in [
        json!({"input": " \n"}),
        turn(json!("")),
        turn(json!([])),
        turn(json!([{"type": "text", "text": " "}])),
        json!({"input": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
    ] {
        assert_eq!(refused(body), Reject::NoUserText);
    }
    accepted(turn(json!([{"type": "input_image", "image_url": "https://a.example/"}])));
    for body in [json!({"input": 1}), json!({"input": {"text": "x"}}), json!({"input": false})] {
        assert!(matches!(refused(body), Reject::FieldType { field: "input", .. }));
    }
}

#[test]
fn a_complaint_names_the_entry() {
    let good = json!({"role": "user", "content": "x"});
    for (bad, lacks) in [
        (json!("x"), Lacks::Object),
        (json!(null), Lacks::Object),
        (json!({}), Lacks::Role),
        (json!({"role": "", "content": "x"}), Lacks::Role),
        (json!({"role": 1, "content": "x"}), Lacks::Role),
        (json!({"role": "user"}), Lacks::Content),
        (json!({"role": "user", "content": null}), Lacks::Content),
        (json!({"role": "user", "content": 1}), Lacks::Content),
        (json!({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}), Lacks::Part(1)),
        (json!({"role": "user", "content": [{"text": "a"}]}), Lacks::Part(0)),
        (json!({"role": "user", "content": [{"type": "text"}]}), Lacks::Part(0)),
        (json!({"role": "user", "content": [{"type": "file", "text": "a"}]}), Lacks::Part(0)),
        (called(json!("x")), Lacks::Calls),
        (called(json!({})), Lacks::Calls),
        (called(json!([call("a", "f", "{}"), null])), Lacks::Call(1)),
        (called(json!([{"id": "a", "type": "function"}])), Lacks::Call(0)),
        (called(json!([{"id": "a", "function": "f"}])), Lacks::Call(0)),
        (called(json!([{"function": {"name": "f", "arguments": ""}}])), Lacks::Call(0)),
        (called(json!([{"id": "a", "function": {"arguments": ""}}])), Lacks::Call(0)),
        (called(json!([{"id": "a", "function": {"name": "f"}}])), Lacks::Call(0)),
        (called(json!([{"id": "a", "function": {"name": "f", "arguments": {}}}])), Lacks::Call(0)),
        (called(json!([{"id": 1, "function": {"name": "f", "arguments": ""}}])), Lacks::Call(0)),
        (called(json!([call("", "f", "{}")])), Lacks::Call(0)),
        (called(json!([call("a", "", "{}")])), Lacks::Call(0)),
        (json!({"role": "assistant", "tool_calls": []}), Lacks::Content),
        (
            json!({"role": "assistant", "content": 1, "tool_calls": [call("a", "f", "")]}),
            Lacks::Content,
        ),
        (json!({"role": "tool", "content": null, "tool_call_id": "a"}), Lacks::Content),
        (json!({"role": "tool", "content": "x", "tool_call_id": 1}), Lacks::CallId),
        (image("file:///etc/passwd"), Lacks::Part(0)),
        (image("/etc/passwd"), Lacks::Part(0)),
        (image("data:text/html,x"), Lacks::Part(0)),
        (image("\u{e9}\u{e9}\u{e9}\u{e9}"), Lacks::Part(0)),
    ] {
        let expected = Reject::InputEntry { index: 1, lacks };
        assert_eq!(refused(json!({"input": [good, bad, good]})), expected);
        let expected = Reject::HistoryEntry { index: 2, lacks };
        let history = json!([good, good, bad]);
        assert_eq!(refused(json!({"input": "x", "conversation_history": history})), expected);
    }
    for history in [json!("x"), json!({}), json!(0), json!(false)] {
        let body = json!({"input": "x", "conversation_history": history});
        assert_eq!(refused(body), Reject::HistoryNotList);
    }
}

#[test]
fn an_assistant_that_only_called_tools_may_have_said_null() {
    let history = json!([{"role": "assistant", "content": null, "tool_calls": []}]);
    let body = json!({"input": "x", "conversation_history": history}).to_string();
    let silent = message("assistant", text(""));
    assert_eq!(parse(body.as_bytes()).unwrap().history, Some(vec![silent]));
}

#[test]
fn calls_and_their_results_are_taken_as_they_stand() {
    let entries = json!([
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "index": 0, "function":
                {"name": "f", "arguments": "{\"x\": 1}", "strict": true}},
            {"id": "a", "function": {"name": "g", "arguments": "no JSON"}},
        ], "refusal": null},
        {"role": "tool", "tool_call_id": "a", "content": "one", "name": "f"},
        {"role": "tool", "tool_call_id": "", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": null, "content": "three"},
        {"role": "assistant", "content": "Wait.", "tool_calls": [call("b", "f", "")]},
        {"role": "assistant", "tool_calls": [call("c", "f", "{}")]},
        {"role": "assistant", "content": "Done.", "tool_calls": null},
        {"role": "user", "content": "x", "tool_calls": 1, "tool_call_id": 1},
    ]);
    let taken = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let said = |said: &str, calls| Message { calls, ..message("assistant", text(said)) };
    let parts = Content::Parts(vec![Part::Text("two".to_owned())]);
    let expected = [
        said("", vec![taken("a", "f", "{\"x\": 1}"), taken("a", "g", "no JSON")]),
        Message::result("a", "one".to_owned()),
        Message { call_id: Some(String::new()), ..message("tool", parts) },
        message("tool", text("three")),
        said("Wait.", vec![taken("b", "f", "")]),
        said("", vec![taken("c", "f", "{}")]),
        message("assistant", text("Done.")),
        message("user", text("x")),
    ];
    let as_history = accepted(json!({"input": "x", "conversation_history": entries}));
    assert_eq!(as_history.history.as_deref(), Some(&expected[..]));
    let as_input = accepted(json!({"input": entries}));
    assert_eq!((as_input.input, &as_input.earlier[..]), (text("x"), &expected[..7]));
}

#[test]
fn a_complaint_about_a_call_says_where_and_what() {
    let complaint = |entry: Value| {
        let history = json!([{"role": "user", "content": "x"}, entry]);
        refused(json!({"input": "x", "conversation_history": history})).message().into_owned()
    };
    let start = "conversation_history[1].tool_call";
    let list = complaint(called(json!({})));
    assert_eq!(list, format!("{start}s must be a list of calls"));
    let second = complaint(called(json!([call("a", "f", ""), {}])));
    assert!(second.starts_with(&format!("{start}s[1] must be {{\"id\"")), "{second}");
    assert!(second.contains("arguments as strings"), "{second}");
    let id = complaint(json!({"role": "tool", "content": "x", "tool_call_id": []}));
    assert_eq!(id, format!("{start}_id must be a string"));
}

fn called(calls: Value) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    json!({"id": id, "type": "function", "function": function})
}

fn image(url: &str) -> Value {
    json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    for field in ["instructions", "previous_response_id", "session_id", "model", "provider"] {
        for value in [json!(1), json!(true), json!([]), json!({})] {
            let reject = refused(json!({"input": "x", field: value}));
            assert!(matches!(reject, Reject::FieldType { .. }));
            assert_eq!((reject.param(), reject.status()), (Some(field), 400));
        }
    }
    for value in [json!(1), json!("x"), json!([])] {
        let reject = refused(json!({"input": "x", "model_options": value}));
        assert_eq!(reject.param(), Some("model_options"));
    }
}

#[test]
fn a_budget_is_taken_as_far_as_it_is_given() {
    let budget = |given: Value| accepted(json!({"input": "x", "budget": given})).budget;
    let all = json!({
        "wall_seconds": 1.5, "turns": 2, "tool_calls": 0, "tokens": 3000, "output_bytes": 1,
    });
    let expected = Budget {
        wall: Some(Duration::from_millis(1500)),
        turns: Some(2),
        tool_calls: Some(0),
        tokens: Some(3000),
        output_bytes: Some(1),
    };
    assert_eq!(budget(all), expected);
    assert_eq!(budget(json!({})), Budget::default());
    assert_eq!(budget(json!({"turns": null, "wall_seconds": null})), Budget::default());
    let turns = Some(u64::MAX);
    assert_eq!(budget(json!({"turns": u64::MAX})), Budget { turns, ..Budget::default() });
    let wall = Some(Duration::MAX);
    assert_eq!(budget(json!({"wall_seconds": 1e300})), Budget { wall, ..Budget::default() });
}

#[test]
fn a_budget_that_would_not_hold_is_refused_and_the_field_is_named() {
    let bad = [json!(-1), json!("5"), json!(true), json!([]), json!({})];
    for name in ["wall_seconds", "turns", "tool_calls", "tokens", "output_bytes"] {
        let field = format!("budget.{name}");
        let zero = if name == "tool_calls" { json!(0.5) } else { json!(0) };
        let other = if name == "wall_seconds" { json!(1e-12) } else { json!(1.5) };
        for value in bad.iter().cloned().chain([zero, other]) {
            let reject = refused(json!({"input": "x", "budget": {name: value}}));
            assert_eq!((reject.param(), reject.status()), (Some(&*field), 400), "{value}");
            assert!(reject.message().starts_with(&format!("'{field}' must be a ")), "{value}");
        }
    }
    for value in [json!(1), json!("x"), json!([]), json!({"turns": 1, "max_turns": 2})] {
        let reject = refused(json!({"input": "x", "budget": value}));
        assert_eq!(reject.param(), Some("budget"));
        assert!(reject.message().contains("output_bytes"), "{}", reject.message());
    }
}

#[test]
fn names_of_sessions_have_bounds() {
    for value in ["a", "", " \u{e9}", &"x".repeat(256)] {
        assert_eq!(header_id(value, "X-Hermes-Session-Key"), Ok(()));
    }
    let reject = Reject::InvalidSessionKey("session_id");
    for value in ["a\n", "\0", "\x7f", "\u{85}", &"x".repeat(257), &"\u{e9}".repeat(129)] {
        assert_eq!(header_id(value, "session_id"), Err(reject.clone()));
        assert_eq!(refused(json!({"input": "x", "session_id": value})), reject);
    }
}

#[test]
fn idempotency_keys_are_visible_ascii() {
    for value in ["a", "!~", &"x".repeat(255)] {
        assert_eq!(idempotency_key(value), Ok(()));
    }
    for value in ["", "a b", "a\t", "\u{e9}", "\x7f", &"x".repeat(256)] {
        assert_eq!(idempotency_key(value), Err(Reject::InvalidIdempotencyKey));
    }
}
