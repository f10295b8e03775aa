//! Steering from outside: accepted, taken in, too late, refused.
mod common;
use common::{Reply, Site, parts_of_events, post, post_with};
use runwire::limits::{STEER_BYTES_MAX, STEERS_WAITING_MAX};
use serde_json::{Value, json};

fn events(site: &Site, run: &str) -> Vec<Value> {
    parts_of_events(&site.stream(run))
}

/// Status and code.
fn refusal(reply: &Reply) -> (u16, Value) {
    (reply.status, reply.code())
}

#[test]
fn a_steer_reaches_the_working_agent_and_every_reader_is_told() {
    let site = Site::start();
    let run = site.run("listen 3");
    let reply = site.steer(&run, json!({"input": "left"}));
    assert_eq!(reply.status, 200);
    let accepted = json!({"object": "hermes.run.steer", "run_id": run, "accepted": true});
    assert_eq!(reply.json(), accepted);
    site.steer(&run, json!({"message": "right", "interrupt": true}));
    site.steer(&run, json!({"text": "on"}));
    let page = site.await_status(&run, "completed");
    assert_eq!(page["output"], "listening, left, right, on");
    assert_eq!(page["pending_steer"], Value::Null);
    let events = events(&site, &run);
    let steered = events.iter().filter(|event| event["event"] == "run.steered");
    let steered: Vec<_> =
        steered.map(|event| (&event["accepted"], &event["text"], &event["interrupt"])).collect();
    assert_eq!(
        steered,
        [
            (&json!(true), &json!("left"), &json!(false)),
            (&json!(true), &json!("right"), &json!(true)),
            (&json!(true), &json!("on"), &json!(false))
        ]
    );
    assert!(events.last().unwrap().get("pending_steer").is_none());
}

#[test]
fn a_steer_that_comes_too_late_is_told_with_the_end() {
    let site = Site::start();
    let run = site.run("gate");
    for text in ["one", "two"] {
        assert_eq!(site.steer(&run, json!({"text": text})).status, 200);
    }
    site.gate.open();
    let page = site.await_status(&run, "completed");
    assert_eq!(page["pending_steer"], "one\ntwo");
    let events = events(&site, &run);
    assert_eq!(events.last().unwrap()["pending_steer"], "one\ntwo");
    assert!(events.iter().all(|event| event["event"] != "run.steered"));
}

#[test]
fn a_run_that_is_stopped_or_fails_tells_what_it_did_not_take_in() {
    let site = Site::start();
    let run = site.run("hold");
    assert_eq!(site.steer(&run, json!({"text": "wait"})).status, 200);
    site.stop(&run);
    let page = site.await_status(&run, "cancelled");
    assert_eq!(page["pending_steer"], "wait");
    let last = events(&site, &run).pop().unwrap();
    assert_eq!((&last["event"], &last["pending_steer"]), (&json!("run.cancelled"), &json!("wait")));
}

#[test]
fn only_a_run_that_works_can_be_steered() {
    let site = Site::with(|config| config.max_runs = 1);
    let text = json!({"text": "left"});
    let (stopping, queued) = (site.run("deaf"), site.run("gate"));
    let not_now = (409, json!("run_not_accepting_steer"));
    assert_eq!(refusal(&site.steer(&queued, text.clone())), not_now);
    site.stop(&stopping);
    assert_eq!(site.status(&stopping)["status"], "stopping");
    assert_eq!(refusal(&site.steer(&stopping, text.clone())), not_now);
    site.gate.open();
    let page = site.await_status(&queued, "completed");
    assert_eq!(page["pending_steer"], Value::Null, "what was refused is not told");
    for run in [&stopping, &queued] {
        assert_eq!(refusal(&site.steer(run, text.clone())), not_now);
    }
    let unknown = "run_00000000000000000000000000000000";
    assert_eq!(refusal(&site.steer(unknown, text)), (404, json!("run_not_found")));
}

#[test]
fn a_wrong_steer_is_refused_and_changes_nothing() {
    let site = Site::with(|config| config.max_body = 2 * STEER_BYTES_MAX);
    let run = site.run("gate");
    let path = format!("/v1/runs/{run}/steer");
    let no_text = (400, json!("invalid_steer_input"));
    for body in [json!({}), json!({"text": ""}), json!({"input": ["left"]})] {
        assert_eq!(refusal(&site.steer(&run, body)), no_text);
    }
    assert_eq!(refusal(&site.ask(post(&path, ""))), no_text);
    let long = json!({"text": "x".repeat(STEER_BYTES_MAX + 1)});
    let reply = site.steer(&run, long);
    assert_eq!(refusal(&reply), no_text);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("65536 bytes"));
    let longer = json!({"text": "x".repeat(3 * STEER_BYTES_MAX)});
    assert_eq!(refusal(&site.steer(&run, longer)), (413, json!("body_too_large")));
    assert_eq!(refusal(&site.ask(post(&path, "left"))), (400, Value::Null));
    assert_eq!(refusal(&site.ask(post(&path, "[]"))), (400, json!("invalid_body")));
    let untyped = post(&path, "{}").replace("application/json", "text/plain");
    assert_eq!(refusal(&site.ask(untyped)), (415, json!("unsupported_media_type")));
    let foreign = post_with(&path, "Origin: https://evil.example\r\n", "{\"text\":\"left\"}");
    assert_eq!(refusal(&site.ask(foreign)), (403, json!("origin_not_allowed")));
    site.gate.open();
    assert_eq!(site.await_status(&run, "completed")["pending_steer"], Value::Null);
}

#[test]
fn a_steer_needs_the_key() {
    let site = Site::with(|config| config.key = Some("a-key-of-some-length".to_owned()));
    let path = "/v1/runs/run_00000000000000000000000000000000/steer";
    let reply = site.ask(post(path, "{\"text\":\"left\"}"));
    assert_eq!(refusal(&reply), (401, json!("gateway_auth_failed")));
}

#[test]
fn only_so_many_steers_may_wait() {
    let site = Site::start();
    let run = site.run("gate");
    for number in 0..STEERS_WAITING_MAX {
        assert_eq!(site.steer(&run, json!({"text": format!("no {number}")})).status, 200);
    }
    let reply = site.steer(&run, json!({"text": "one too many"}));
    assert_eq!(refusal(&reply), (429, json!("rate_limit_exceeded")));
    assert!(reply.header("retry-after").is_some());
    site.gate.open();
    let page = site.await_status(&run, "completed");
    let pending = page["pending_steer"].as_str().unwrap();
    assert_eq!(pending.lines().count(), STEERS_WAITING_MAX);
    assert!(!pending.contains("one too many"));
}

#[test]
fn a_secret_in_a_steer_is_masked_whatever_becomes_of_it() {
    let secret = "a-long-enough-secret";
    let site = Site::with(|config| config.secrets = vec![secret.to_owned()]);
    let (heard, late) = (site.run("listen 1"), site.run("gate"));
    for run in [&heard, &late] {
        assert_eq!(site.steer(run, json!({"text": format!("use {secret}")})).status, 200);
    }
    site.gate.open();
    assert_eq!(site.await_status(&heard, "completed")["output"], "listening, use [secret]");
    assert_eq!(site.await_status(&late, "completed")["pending_steer"], "use [secret]");
    for run in [&heard, &late] {
        let stream = String::from_utf8(site.stream(run)).unwrap();
        assert!(stream.contains("use [secret]") && !stream.contains(secret), "{stream}");
    }
}

#[test]
fn capabilities_name_steering() {
    let page = Site::start().get("/v1/capabilities").json();
    assert_eq!(page["features"]["run_steer"], true);
    let endpoint = json!({"method": "POST", "path": "/v1/runs/{run_id}/steer"});
    assert_eq!(page["endpoints"]["run_steer"], endpoint);
}
