//! Runs from outside: accepted, queued, repeated, continued, stopped, failed.
mod common;
use common::{DEADLINE, Site, get, parts_of_events, post, post_input, post_with, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

fn submit(site: &Site, body: Value) -> common::Reply {
    site.ask(post("/v1/runs", &body.to_string()))
}

fn keyed(key: &str, body: &str) -> String {
    post_with("/v1/runs", &format!("Idempotency-Key: {key}\r\n"), body)
}

/// What the agent was given: `history | instructions | session`.
fn recalled(site: &Site, body: Value, headers: &str) -> String {
    let reply = site.ask(post_with("/v1/runs", headers, &body.to_string()));
    assert_eq!(reply.status, 202, "{reply:?}");
    let run = reply.json()["run_id"].as_str().unwrap().to_owned();
    let page = site.await_status(&run, "completed");
    page["output"].as_str().unwrap().replace(&run, "RUN")
}

#[test]
fn a_run_is_accepted_with_its_names() {
    let site = Site::start();
    let reply = site.ask(post_input("say hello"));
    assert_eq!(reply.status, 202);
    let page = reply.json();
    let run = page["run_id"].as_str().unwrap();
    let digits = run.strip_prefix("run_").unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let response = format!("resp_{digits}");
    let expected =
        json!({"run_id": run, "status": "started", "replayed": false, "response_id": response});
    assert_eq!(page, expected);
    assert_eq!(reply.header("location"), Some(format!("/v1/runs/{run}").as_str()));
    assert_eq!(reply.header("idempotency-replayed"), None);
}

#[test]
fn a_status_page_tells_how_a_run_stands() {
    let site = Site::start();
    let reply = submit(&site, json!({"input": "gate", "session_id": "s1", "model": "gpt-x"}));
    let run = reply.json()["run_id"].as_str().unwrap().to_owned();
    let page = site.await_status(&run, "running");
    for (field, value) in [
        ("object", json!("hermes.run")),
        ("run_id", json!(run)),
        ("session_id", json!("s1")),
        ("model", json!("gpt-x")),
        ("output", Value::Null),
        ("error", Value::Null),
    ] {
        assert_eq!(page[field], value, "{field}");
    }
    let created = page["created_at"].as_f64().unwrap();
    assert!(created > 1.6e9 && page["updated_at"].as_f64().unwrap() >= created);
    site.gate.open();
    let page = site.await_status(&run, "completed");
    assert_eq!(page["output"], "waiting done");
    assert_eq!(page["last_event"], "run.completed");
    assert_eq!(page["usage"]["total_tokens"], 0);
    let own = submit(&site, json!({"input": "done", "model": "hermes-agent"})).json();
    let page = site.status(own["run_id"].as_str().unwrap());
    assert_eq!((&page["model"], &page["session_id"]), (&json!("hermes-agent"), &own["run_id"]));
}

#[test]
fn past_the_places_runs_wait_and_past_the_queue_they_are_refused() {
    let site = Site::with(|config| (config.max_runs, config.max_queue) = (2, 3));
    let runs: Vec<String> = (0..5).map(|_| site.run("gate")).collect();
    let status = |run: &String| site.status(run)["status"].as_str().unwrap().to_owned();
    let stand: Vec<String> = runs.iter().map(status).collect();
    assert_eq!(stand, ["running", "running", "queued", "queued", "queued"]);
    let reply = site.ask(post_input("gate"));
    assert_eq!((reply.status, reply.code()), (429, json!("rate_limit_exceeded")));
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    // One that leaves the queue makes room in it.
    assert_eq!(site.stop(&runs[3]).status, 200);
    assert_eq!(status(&runs[3]), "cancelled");
    let later = site.run("say later");
    site.gate.open();
    for run in [&runs[0], &runs[4], &later] {
        site.await_status(run, "completed");
    }
}

#[test]
fn a_status_tells_when_the_run_began_and_its_newest_event() {
    let site = Site::with(|config| config.max_runs = 1);
    let working = site.run("gate");
    let waiting = site.run("say later");
    let page = site.status(&waiting);
    assert_eq!((&page["started_at"], &page["last_seq"]), (&Value::Null, &Value::Null), "{page}");
    let page = site.await_status(&working, "running");
    assert_eq!(page["started_at"], page["created_at"]);
    let asked = Instant::now();
    wait_for("time to pass", || (asked.elapsed() > Duration::from_millis(10)).then_some(()));
    site.gate.open();
    for run in [&working, &waiting] {
        let page = site.await_status(run, "completed");
        let events = site.stream(run);
        let last = parts_of_events(&events).pop().unwrap();
        assert_eq!(page["last_seq"], last["seq"]);
        let at = |field: &str| page[field].as_f64().unwrap();
        assert!(at("created_at") <= at("started_at") && at("started_at") <= at("updated_at"));
        let list = site.get("/v1/runs").json();
        let listed = list["data"].as_array().unwrap().iter().find(|it| it["run_id"] == **run);
        assert_eq!(listed.unwrap()["started_at"], page["started_at"]);
    }
    let waited = site.status(&waiting);
    let at = |field: &str| waited[field].as_f64().unwrap();
    assert!(at("started_at") - at("created_at") > 0.009, "{waited}");
}

#[test]
fn a_repeated_request_makes_no_second_run() {
    let site = Site::with(|config| (config.max_runs, config.max_queue) = (1, 0));
    let request = keyed("k-1", r#"{"input":"gate"}"#);
    let first = site.ask(&request);
    assert_eq!((first.status, &first.json()["replayed"]), (202, &json!(false)));
    let run = first.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(site.ask(post_input("done")).status, 429, "the limit is reached");
    let again = site.ask(&request);
    assert_eq!(again.status, 202, "and a retry is answered all the same");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    let page = again.json();
    assert_eq!((&page["run_id"], &page["replayed"]), (&json!(run), &json!(true)));
    assert_eq!(page["status"], "running", "a retry is told the current status");
    site.gate.open();
    site.await_status(&run, "completed");
    assert_eq!(site.ask(&request).json()["status"], "completed");
}

#[test]
fn a_key_belongs_to_one_request() {
    let site = Site::start();
    let body = r#"{"input":"done"}"#;
    assert_eq!(site.ask(keyed("k", body)).status, 202);
    let session = "Idempotency-Key: k\r\nX-Hermes-Session-Id: s\r\n";
    for request in [
        keyed("k", r#"{"input":"done" }"#),
        keyed("k", r#"{"input":"other"}"#),
        post_with("/v1/runs", session, body),
    ] {
        let reply = site.ask(request);
        assert_eq!((reply.status, reply.code()), (409, json!("idempotency_key_conflict")));
    }
    assert_eq!(site.ask(keyed("k", "{}")).status, 400, "400 comes before 409");
    assert_eq!(site.ask(keyed(&"x".repeat(255), body)).status, 202);
    assert_eq!(site.ask(keyed("K", body)).json()["replayed"], false, "keys have case");
}

#[test]
fn sixteen_retries_at_once_make_one_run() {
    let site = Site::start();
    let request = keyed("race", r#"{"input":"done"}"#);
    let replies: Vec<Value> = thread::scope(|scope| {
        let asks: Vec<_> = (0..16).map(|_| scope.spawn(|| site.ask(&request).json())).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    let runs: BTreeSet<&str> =
        replies.iter().map(|reply| reply["run_id"].as_str().unwrap()).collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(replies.iter().filter(|reply| reply["replayed"] == false).count(), 1);
}

#[test]
fn a_retry_is_answered_even_when_what_it_continues_is_forgotten() {
    let site = Site::with(|config| config.orphan_ttl = Duration::from_millis(50));
    let first = site.run("say one");
    site.await_status(&first, "completed");
    let body = json!({"input": "recall", "previous_response_id": first}).to_string();
    let second = site.ask(keyed("k", &body));
    assert_eq!(second.status, 202);
    // Asking would keep it alive: a pause is the only way to let it be forgotten.
    thread::sleep(Duration::from_millis(150));
    assert_eq!(site.get(&format!("/v1/runs/{first}")).status, 404);
    let again = site.ask(keyed("k", &body));
    assert_eq!((again.status, &again.json()["replayed"]), (202, &json!(true)));
    let fresh = site.ask(keyed("k2", &body));
    assert_eq!((fresh.status, fresh.code()), (404, json!("previous_response_not_found")));
}

#[test]
fn a_run_continues_from_where_it_is_told_to() {
    let site = Site::start();
    let first =
        submit(&site, json!({"input": "say one", "session_id": "s1", "instructions": "be brief"}))
            .json();
    let (run, response) = (&first["run_id"], &first["response_id"]);
    site.await_status(run.as_str().unwrap(), "completed");
    let told = json!([{"role": "user", "content": "told"}]);
    let listed =
        json!([{"role": "user", "content": "listed"}, {"role": "user", "content": "recall"}]);
    let known = "user:say one,assistant:one | be brief | s1";
    for (body, expected) in [
        (json!({"input": "recall"}), " | - | RUN"),
        (json!({"input": listed}), "user:listed | - | RUN"),
        (json!({"input": "recall", "previous_response_id": run}), known),
        (json!({"input": "recall", "previous_response_id": response}), known),
        (
            json!({"input": "recall", "previous_response_id": run, "instructions": "more"}),
            "user:say one,assistant:one | more | s1",
        ),
        (
            json!({"input": "recall", "previous_response_id": run, "session_id": "s2"}),
            "user:say one,assistant:one | be brief | s2",
        ),
        (json!({"input": "recall", "conversation_history": told}), "user:told | - | RUN"),
        (json!({"input": listed, "conversation_history": told}), "user:told | - | RUN"),
        (
            json!({"input": "recall", "conversation_history": told, "previous_response_id": "resp_x"}),
            "user:told | - | RUN",
        ),
    ] {
        assert_eq!(recalled(&site, body.clone(), ""), expected, "{body}");
    }
}

#[test]
fn a_session_is_named_by_body_or_header_and_its_key_is_echoed() {
    let site = Site::start();
    let (key, id) = ("X-Hermes-Session-Key: sk\r\n", "X-Hermes-Session-Id: si\r\n");
    let both = format!("{key}X-Hermes-Session-Id: another\r\n");
    for (body, headers, session) in [
        (json!({"input": "recall"}), key, "sk"),
        (json!({"input": "recall"}), id, "si"),
        (json!({"input": "recall"}), both.as_str(), "another"),
        (json!({"input": "recall", "session_id": "sb"}), both.as_str(), "sb"),
    ] {
        assert_eq!(recalled(&site, body, headers), format!(" | - | {session}"));
    }
    let reply = site.ask(post_with("/v1/runs", key, r#"{"input":"done"}"#));
    assert_eq!(reply.header("x-hermes-session-key"), Some("sk"));
    let long = format!("X-Hermes-Session-Key: {}\r\n", "x".repeat(256));
    assert_eq!(site.ask(post_with("/v1/runs", &long, r#"{"input":"done"}"#)).status, 202);
}

#[test]
fn stop_cancels_a_working_run_at_once_and_keeps_what_it_said() {
    let site = Site::start();
    let run = site.run("hold");
    let mut reader = site.connect();
    reader.send(get(&format!("/v1/runs/{run}/events")));
    reader.head();
    reader.frame();
    assert!(reader.frame().contains("holding"));
    let begun = Instant::now();
    let reply = site.stop(&run);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), json!({"run_id": run, "status": "stopping"}));
    let last = reader.frame();
    assert!(begun.elapsed() < DEADLINE / 10);
    assert!(
        last.contains("\"run.cancelled\"") && last.contains("\"output\":\"holding\""),
        "{last}"
    );
    assert_eq!(reader.frame(), ": stream closed\n\n");
    let page = site.await_status(&run, "cancelled");
    assert_eq!(page["output"], "holding");
    let reply = site.stop(&run);
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(reply.json()["object"], "hermes.run");
}

#[test]
fn stop_of_a_waiting_run_ends_it_before_it_began() {
    let site = Site::with(|config| config.max_runs = 1);
    site.run("gate");
    let waiting = site.run("say never");
    assert_eq!(site.stop(&waiting).json()["status"], "stopping");
    assert_eq!(site.status(&waiting)["status"], "cancelled");
    let events = parts_of_events(&site.stream(&waiting));
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["event"], &events[0]["seq"]), (&json!("run.cancelled"), &json!(0)));
}

#[test]
fn an_agent_that_does_not_listen_stays_stopping_until_it_ends() {
    let site = Site::start();
    let run = site.run("deaf");
    for _ in 0..3 {
        assert_eq!(site.stop(&run).json()["status"], "stopping");
        assert_eq!(site.status(&run)["status"], "stopping");
    }
    assert_eq!(site.counts()["runs"]["working"], 1);
    site.gate.open();
    site.await_status(&run, "cancelled");
}

#[test]
fn a_completion_that_wins_the_race_stays_completed() {
    let site = Site::start();
    for _ in 0..50 {
        let run = site.run("done");
        let reply = site.stop(&run).json();
        let events = parts_of_events(&site.stream(&run));
        let last = events.last().unwrap()["event"].as_str().unwrap().to_owned();
        let status = site.status(&run)["status"].as_str().unwrap().to_owned();
        assert_eq!(last, format!("run.{status}"));
        assert!(reply["status"] == "stopping" || reply["status"] == status.as_str());
        let terminal = |event: &&Value| event["event"] != "message.delta";
        assert_eq!(events.iter().filter(terminal).count(), 1);
    }
}

#[test]
fn a_panic_fails_its_run_and_no_other() {
    let site = Site::start();
    let other = site.run("gate");
    for _ in 0..3 {
        let run = site.run("panic");
        let page = site.await_status(&run, "failed");
        assert!(page["error"].as_str().unwrap().contains("as asked"));
        let events = parts_of_events(&site.stream(&run));
        let last = events.last().unwrap();
        assert_eq!(
            (&last["event"], &last["reason"]),
            (&json!("run.failed"), &json!("agent_panic"))
        );
    }
    site.gate.open();
    site.await_status(&other, "completed");
}

#[test]
fn a_failure_says_why() {
    let site = Site::start();
    let run = site.run("fail");
    site.await_status(&run, "failed");
    let events = parts_of_events(&site.stream(&run));
    let last = events.last().unwrap();
    assert_eq!((&last["reason"], &last["error"]), (&json!("test_failure"), &json!("as asked")));
    assert!(last["usage"].is_object());
}

#[test]
fn a_run_that_takes_too_long_fails() {
    let site = Site::with(|config| config.budget.wall = Some(Duration::from_millis(50)));
    let run = site.run("hold");
    site.await_status(&run, "failed");
    let events = parts_of_events(&site.stream(&run));
    assert_eq!(events.last().unwrap()["reason"], "budget_exceeded");
    assert_eq!(events.last().unwrap()["budget"], "wall_seconds");
    assert_eq!(events.last().unwrap()["output"], "holding");
}

#[test]
fn a_secret_the_server_knows_never_shows_in_an_event() {
    let secret = "a-long-enough-secret";
    let site = Site::with(|config| config.secrets = vec![secret.to_owned()]);
    let run = site.run(&format!("blab {secret}"));
    let page = site.await_status(&run, "failed");
    assert_eq!(page["error"], "no good: [secret]");
    let stream = String::from_utf8(site.stream(&run)).unwrap();
    assert!(!stream.contains(secret), "{stream}");
    assert_eq!(stream.matches("[secret]").count(), 5, "{stream}");
}

#[test]
fn an_agent_that_names_nobody_answers_as_announced() {
    let site = Site::start();
    let run = site.run("done");
    let stream = String::from_utf8(site.stream(&run)).unwrap();
    let runtime = r#""runtime":{"provider":"agent","model":"hermes-agent"}"#;
    assert!(stream.contains(runtime), "{stream}");
}

#[test]
fn an_empty_key_is_refused_before_it_lets_everyone_in() {
    let mut config = runwire::Config::default();
    config.addr.set_port(0);
    config.key = Some(String::new());
    let agent = common::Puppet { gate: common::Gate::default() };
    let refused = runwire::Server::bind(config, agent).err().expect("an empty key");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}
