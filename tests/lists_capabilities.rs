//! What a server says of itself is so: each endpoint it lists is there, each feature works exactly
//! where it is said to.
mod common;

use common::{Site, get, on_each_store, parts_of_events, post_with};
use runwire::Config;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn capabilities(site: &Site) -> Value {
    let reply = site.get("/v1/capabilities");
    assert_eq!(reply.status, 200);
    reply.json()
}

#[test]
fn each_endpoint_is_there_and_answers_to_its_method() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let page = capabilities(&site);
        let endpoints = page["endpoints"].as_object().unwrap();
        assert!(endpoints.len() > 15, "{endpoints:?}");
        let mut seen = BTreeSet::new();
        for (name, endpoint) in endpoints {
            let (method, path) =
                (endpoint["method"].as_str().unwrap(), endpoint["path"].as_str().unwrap());
            assert!(seen.insert((method, path)), "{method} {path} twice");
            let run = site.finish(json!({"input": "say one", "session_id": "s"}));
            let path = path.replace("{run_id}", &run).replace("{session_id}", "s");
            let body = match name.as_str() {
                "runs" | "run_steer" => r#"{"input":"done"}"#,
                "run_approval" => r#"{"choice":"once"}"#,
                _ => "",
            };
            let ask = |method: &str| {
                let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
                let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
                let length = body.len();
                site.ask(format!("{head}{kind}Content-Length: {length}\r\n\r\n{body}"))
            };
            let allowed = site.ask(format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert!(allowed.header("allow").unwrap().split(", ").any(|it| it == method), "{name}");
            assert_eq!(ask("PATCH").status, 405, "{name}");
            let expected = match name.as_str() {
                "runs" => 202,
                // It has ended.
                "run_steer" | "run_approval" => 409,
                // It names no run.
                "events" => 400,
                // Nothing was granted.
                "approval_grant_delete" => 404,
                _ => 200,
            };
            assert_eq!(ask(method).status, expected, "{name}");
        }
        site.end();
    });
}

#[test]
fn what_is_not_there_is_not_listed() {
    let site = Site::start();
    let page = capabilities(&site);
    let run = site.finish(json!({"input": "done"}));
    for (feature, path) in [("run_approval_response", "approval"), ("approval_events", "approval")]
    {
        let reply = site.ask(common::post(&format!("/v1/runs/{run}/{path}"), ""));
        let works = page["features"][feature].as_bool().unwrap();
        assert_eq!(reply.status != 404, works, "{feature}");
    }
    for feature in ["chat_completions", "responses_api", "session_chat", "session_fork"] {
        assert!(page["features"][feature].is_null(), "{feature} is of another kind of server");
    }
}

#[test]
fn each_feature_that_is_true_works() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let page = capabilities(&site);
        let features = page["features"].as_object().unwrap();
        let run = site.run("blab secret");
        let events = parts_of_events(&site.stream(&run));
        let names: BTreeSet<&str> =
            events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let tools = names.contains("tool.started") && names.contains("tool.completed");
        let resume = format!(
            "GET /v1/runs/{run}/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n"
        );
        let resumed = site.ask(resume);
        let listening = site.run("listen 1");
        site.await_status(&listening, "running");
        let steered = site.steer(&listening, json!({"input": "on"})).status == 200;
        site.await_end(&listening);
        let held = site.run("hold");
        site.await_status(&held, "running");
        let stopped = site.stop(&held).json()["status"] == "stopping";
        site.await_status(&held, "cancelled");
        let keyed = post_with("/v1/runs", "Idempotency-Key: k\r\n", r#"{"input":"done"}"#);
        site.ask(&keyed);
        let replayed = site.ask(&keyed).json()["replayed"] == true;
        let session = |header: &str| {
            let headers = format!("{header}: s\r\n");
            let reply = site.ask(post_with("/v1/runs", &headers, r#"{"input":"done"}"#));
            let run = reply.json()["run_id"].as_str().unwrap().to_owned();
            site.await_end(&run)["session_id"] == "s"
        };
        for (feature, works) in [
            ("run_submission", true),
            ("run_status", site.status(&run)["status"] == "failed"),
            ("run_events_sse", names.contains("run.failed")),
            ("run_events_resume", parts_of_events(&resumed.body) == events[1..]),
            ("run_stop", stopped),
            ("run_steer", steered),
            ("tool_progress_events", tools),
            ("session_resources", site.get("/api/sessions").status == 200),
        ] {
            assert_eq!(features[feature], works, "{feature}");
        }
        let idempotency = &features["runs_idempotency"];
        assert_eq!(idempotency["supported"], replayed);
        assert_eq!(idempotency["durable"], shelf.is_durable);
        assert_eq!(idempotency["retention_seconds"], 86_400);
        for name in ["session_key_header", "session_continuity_header"] {
            assert!(session(features[name].as_str().unwrap()), "{name}");
        }
        site.end();
    });
}

#[test]
fn what_depends_on_the_settings_is_told_as_they_are() {
    let open = Site::start();
    let page = capabilities(&open);
    assert_eq!(
        (&page["auth"]["required"], &page["features"]["cors"]),
        (&json!(false), &json!(false))
    );
    let closed = Site::with(|config: &mut Config| {
        config.key = Some("a-key-of-some-length".to_owned());
        config.cors_origins = vec!["https://app.example".to_owned()];
        (config.max_runs, config.max_queue) = (3, 5);
    });
    assert_eq!(closed.get("/v1/capabilities").status, 401);
    let key = "Authorization: Bearer a-key-of-some-length\r\n\r\n";
    let page =
        closed.ask(get("/v1/capabilities").replace("\r\n\r\n", &format!("\r\n{key}"))).json();
    assert_eq!(
        (&page["auth"]["required"], &page["features"]["cors"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(page["auth"]["type"], "bearer");
    assert_eq!(page["limits"]["max_working_runs"], 3);
    assert_eq!(page["limits"]["max_queued_runs"], 5);
}
