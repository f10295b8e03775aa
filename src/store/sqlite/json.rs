//! Requests and outcomes as the JSON texts that lie in columns, and back.
use crate::budget::Budget;
use crate::config::Webhook;
use crate::event::Usage;
use crate::request::{Content, Message};
use crate::wire::{self, message};
use serde_json::Value;

pub fn of_messages(messages: &[Message]) -> String {
    let list = messages.iter().map(|message| Value::Object(message::write(message)));
    list.collect::<Value>().to_string()
}

pub fn of_content(content: &Content) -> String {
    message::write_content(content).to_string()
}

/// `None` unless `text` was made by `of_messages`; so with all that follow.
pub fn messages(text: &str) -> Option<Vec<Message>> {
    let Value::Array(list) = serde_json::from_str(text).ok()? else { return None };
    list.into_iter().map(|value| message::read(value).ok()).collect()
}

pub fn content(text: &str) -> Option<Content> {
    message::read_content(serde_json::from_str(text).ok()?).ok()
}

/// Nothing for a budget without limits.
pub fn of_budget(budget: &Budget) -> Option<String> {
    (*budget != Budget::default()).then(|| wire::budget::to_json(budget).to_string())
}

pub fn budget(text: &str) -> Option<Budget> {
    wire::budget::parse(serde_json::from_str(text).ok()?).ok()
}

pub fn of_webhook(webhook: &Webhook) -> String {
    wire::webhook::to_json(webhook).to_string()
}

pub fn webhook(text: &str) -> Option<Webhook> {
    wire::webhook::parse(&serde_json::from_str(text).ok()?).ok()
}

pub fn usage(text: &str) -> Option<Usage> {
    let value: Value = serde_json::from_str(text).ok()?;
    let count = |name: &str| value.get(name)?.as_u64();
    Some(Usage {
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        total_tokens: count("total_tokens")?,
        cache_read_tokens: count("cache_read_tokens")?,
        cache_write_tokens: count("cache_write_tokens")?,
    })
}

pub fn of_usage(usage: &Usage) -> String {
    serde_json::to_string(usage).expect("numbers are always JSON")
}
