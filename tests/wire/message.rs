//! Messages as JSON: read in any form that is in use, written in one, and read back as they were.
use runwire::request::{Content, Message, Part, ToolCall};
use runwire::wire::{Lacks, message};
use serde_json::{Value, json};

fn written(message: &Message) -> Value {
    message::write(message).into()
}

fn calling() -> Message {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "t".to_owned(),
        arguments: "{\"broken".to_owned(),
    };
    let text = Content::Text(String::new());
    Message { calls: vec![call("a"), call("b")], ..Message::new("assistant", text) }
}

fn seeing() -> Message {
    let image = |detail: Option<&str>| Part::Image {
        url: "https://x/y.png".to_owned(),
        detail: detail.map(str::to_owned),
    };
    let text = Part::Text("Zw\u{f6}lf \u{0}\n\"\u{8a00}\"".to_owned());
    Message::new("user", Content::Parts(vec![text, image(None), image(Some("low"))]))
}

#[test]
fn a_message_is_written_in_the_form_of_chat_completions() {
    let function = json!({"name": "t", "arguments": "{\"broken"});
    let expected = json!({"role": "assistant", "content": "", "tool_calls": [
        {"id": "a", "type": "function", "function": function},
        {"id": "b", "type": "function", "function": function},
    ]});
    assert_eq!(written(&calling()), expected);
    let result = Message::result("a", "done".to_owned());
    let expected = json!({"role": "tool", "content": "done", "tool_call_id": "a"});
    assert_eq!(written(&result), expected);
    let expected = json!({"role": "user", "content": [
        {"type": "text", "text": "Zw\u{f6}lf \u{0}\n\"\u{8a00}\""},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
    ]});
    assert_eq!(written(&seeing()), expected);
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let odd = Message::new("weird role", Content::Parts(Vec::new()));
    let result = Message::result("", String::new());
    for message in [calling(), seeing(), odd, result] {
        assert_eq!(message::read(written(&message)), Ok(message));
    }
}

#[test]
fn what_is_no_message_says_what_it_lacks() {
    for (value, lacks) in [
        (json!("text"), Lacks::Object),
        (json!({"content": "x"}), Lacks::Role),
        (json!({"role": "", "content": "x"}), Lacks::Role),
        (json!({"role": "user"}), Lacks::Content),
        (json!({"role": "user", "content": null}), Lacks::Content),
        (json!({"role": "assistant"}), Lacks::Content),
        (json!({"role": "user", "content": [{"type": "text", "text": "x"}, 1]}), Lacks::Part(1)),
        (json!({"role": "assistant", "content": "x", "tool_calls": {}}), Lacks::Calls),
        (json!({"role": "assistant", "content": "x", "tool_calls": [{}]}), Lacks::Call(0)),
        (json!({"role": "tool", "content": "x", "tool_call_id": 1}), Lacks::CallId),
    ] {
        assert_eq!(message::read(value.clone()), Err(lacks), "{value}");
    }
}
