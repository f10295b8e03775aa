//! A server built without run tokens knows nothing of them, and says so.
#![cfg(not(feature = "tokens"))]
mod common;

use common::{Site, post_with};
use serde_json::Value;

const KEY: &str = "a-long-enough-key";

#[test]
fn without_the_feature_there_are_no_tokens() {
    let site = Site::with(|config| config.key = Some(KEY.to_owned()));
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let run = site.ask(post_with("/v1/runs", &bearer, "{\"input\":\"done\"}")).json();
    let run = run["run_id"].as_str().unwrap();
    let reply = site.ask(post_with(&format!("/v1/runs/{run}/token"), &bearer, "{}"));
    assert_eq!((reply.status, reply.code()), (404, "not_found".into()));
    let path = format!("/v1/runs/{run}/events?token=rwt1.e30.e30");
    assert_eq!(site.get(&path).status, 401);
    let get = format!("GET /v1/capabilities HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n");
    let page = site.ask(get).json();
    assert_eq!(page["features"]["run_tokens"], false);
    assert_eq!(page["endpoints"]["run_token"], Value::Null);
}
