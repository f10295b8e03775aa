//! The body of a chat completions request.
use runwire::agent::model::chat::body;
use runwire::agent::model::{Ask, Entry, ToolCall, ToolSpec};
use runwire::request::{Content, Part};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

fn asked(entries: &[Entry], tools: &[ToolSpec], options: Value) -> Value {
    let Value::Object(options) = options else { panic!("options are an object") };
    let ask = Ask { model: None, entries, tools, options: &options };
    serde_json::from_slice(&body(&ask, "smollm2-135m-instruct")).unwrap()
}

#[test]
fn a_request_is_what_was_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/model");
    let text = fs::read_to_string(folder.join("tool_result_turn_stream.req.txt")).unwrap();
    let recorded: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let function = &recorded["tools"][0]["function"];
    let tool = ToolSpec {
        name: "get_weather",
        description: function["description"].as_str().unwrap().to_owned(),
        parameters: function["parameters"].clone(),
    };
    let arguments = r#"{"city":"Paris","unit":"c"}"#.to_owned();
    let entries = [
        Entry::User(Content::Text("Weather in Paris?".to_owned())),
        Entry::Assistant {
            text: String::new(),
            calls: vec![ToolCall {
                id: "call_1".to_owned(),
                name: "get_weather".to_owned(),
                arguments,
            }],
        },
        Entry::Tool { call_id: "call_1".to_owned(), result: "{\"temp\":21}".to_owned() },
    ];
    let mut built = asked(&entries, &[tool], json!({ "max_tokens": 24, "temperature": 0 }));
    let usage = built.as_object_mut().unwrap().remove("stream_options");
    assert_eq!(usage, Some(json!({ "include_usage": true })));
    assert_eq!(built, recorded);
}

#[test]
fn images_are_parts_and_text_parts_are_text() {
    let image = Part::Image { url: "https://x/y.png".to_owned(), detail: Some("low".to_owned()) };
    let plain = Part::Image { url: "data:,".to_owned(), detail: None };
    let look = Part::Text("look".to_owned());
    let entries = [
        Entry::System("be brief".to_owned()),
        Entry::User(Content::Parts(vec![look.clone(), image, plain])),
        Entry::Other {
            role: "developer".to_owned(),
            content: Content::Parts(vec![look.clone(), look]),
        },
        Entry::Assistant { text: String::new(), calls: Vec::new() },
    ];
    assert_eq!(
        asked(&entries, &[], json!({}))["messages"],
        json!([
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image_url", "image_url": { "url": "https://x/y.png", "detail": "low" } },
                { "type": "image_url", "image_url": { "url": "data:," } },
            ] },
            { "role": "developer", "content": "look\nlook" },
            { "role": "assistant", "content": "" },
        ])
    );
}

#[test]
fn options_pass_through_but_never_override() {
    let options = json!({
        "model": "evil", "messages": [], "stream": false, "stream_options": null, "tools": [1],
        "temperature": 0.5, "tool_choice": "required",
    });
    let built = asked(&[Entry::System("s".to_owned())], &[], options);
    assert_eq!(
        built,
        json!({
            "model": "smollm2-135m-instruct",
            "messages": [{ "role": "system", "content": "s" }],
            "stream": true,
            "stream_options": { "include_usage": true },
            "temperature": 0.5,
            "tool_choice": "required",
        })
    );
    let ask = Ask { model: None, entries: &[], tools: &[], options: &Map::new() };
    let text = String::from_utf8(body(&ask, "m")).unwrap();
    assert_eq!(text.matches("\"model\"").count(), 1);
}

#[test]
fn broken_arguments_of_a_past_call_are_not_sent_back() {
    for (arguments, sent) in
        [("{\"a\":1}", "{\"a\":1}"), ("{\"a\"", "{}"), ("[1]", "{}"), ("", "{}")]
    {
        let calls = vec![ToolCall {
            id: "a".to_owned(),
            name: "f".to_owned(),
            arguments: arguments.to_owned(),
        }];
        let built = asked(&[Entry::Assistant { text: "t".to_owned(), calls }], &[], json!({}));
        assert_eq!(built["messages"][0]["tool_calls"][0]["function"]["arguments"], sent);
        assert_eq!(built["messages"][0]["content"], "t");
    }
}
