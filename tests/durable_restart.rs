//! One server after another on the same file, the first ended as it should or cut off in the midst.
#![cfg(feature = "sqlite")]
mod common;

use common::{Shelf, Site, get, parts_of_events, post_with, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

fn serve(shelf: &Shelf) -> Site {
    Site::with_store(shelf.store(), |_| {})
}

fn of_session(session: &str, input: &str) -> Value {
    json!({ "input": input, "session_id": session })
}

/// All that clients can ask about what is over.
fn pages(site: &Site, runs: &[String]) -> Vec<Value> {
    let lists = ["/v1/runs", "/v1/runs?limit=2", "/v1/sessions", "/v1/sessions/s"];
    let mut pages: Vec<Value> = lists.iter().map(|path| site.get(path).json()).collect();
    pages.push(site.get("/v1/sessions/s/messages").json());
    for run in runs {
        pages.push(site.status(run));
        pages.push(json!(String::from_utf8(site.stream(run)).unwrap()));
    }
    pages
}

#[test]
fn what_is_over_is_told_by_the_next_server_to_the_letter() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let mut runs: Vec<String> =
        ["say one", "recall", "fail", "panic", "emit 50 20", "emit 40 20000"]
            .map(|input| site.finish(of_session("s", input)))
            .into();
    let stopped = site.run("hold");
    let mut reader = site.connect();
    reader.send(get(&format!("/v1/runs/{stopped}/events")));
    reader.head();
    reader.frame();
    assert!(reader.frame().contains("holding"));
    site.stop(&stopped);
    site.await_end(&stopped);
    runs.push(stopped);
    let told = pages(&site, &runs);
    let crashed = serve(&shelf.as_after_a_crash());
    assert_eq!(pages(&crashed, &runs), told, "after a crash");
    crashed.end();
    site.end();
    for _ in 0..2 {
        let site = serve(&shelf);
        assert_eq!(pages(&site, &runs), told, "after an end");
        assert_eq!(site.counts()["store"]["kind"], "sqlite");
        site.end();
    }
}

#[test]
fn a_file_whose_server_has_ended_has_all_by_itself() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let runs: Vec<String> = (0..5).map(|_| site.finish(of_session("s", "emit 40 3000"))).collect();
    let told = pages(&site, &runs);
    site.end();
    let copy = Shelf::durable();
    std::fs::copy(shelf.file(), copy.file()).unwrap();
    let site = serve(&copy);
    assert_eq!(pages(&site, &runs), told);
    site.end();
}

#[test]
fn a_conversation_goes_on_with_the_next_server() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let first = json!({"input": "say one", "session_id": "s", "instructions": "be brief"});
    let first = site.finish(first);
    site.finish(of_session("s", "say two"));
    let crashed = shelf.as_after_a_crash();
    site.end();
    for shelf in [&shelf, &crashed] {
        let site = serve(shelf);
        let output = |body: Value| site.status(&site.finish(body))["output"].clone();
        let told = "user:say one,assistant:one | be brief | s";
        let body = json!({"input": "recall", "previous_response_id": first});
        assert_eq!(output(body), told);
        let body = json!({"input": "recall", "previous_response_id": first.replace("run_", "resp_"),
            "session_id": "elsewhere"});
        assert_eq!(output(body), told.replace("| s", "| elsewhere"));
        let said = output(of_session("s", "recall"));
        let said = said.as_str().unwrap();
        let expected = format!("user:say one,assistant:one,user:recall,assistant:{told} | - | s");
        assert_eq!(said, expected, "the session has come to the branch of a moment ago");
        site.end();
    }
}

fn keyed(key: &str, input: &str) -> String {
    let body = json!({ "input": input }).to_string();
    post_with("/v1/runs", &format!("Idempotency-Key: {key}\r\n"), &body)
}

#[test]
fn a_repeated_request_is_known_to_the_next_server() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let run = |reply: &common::Reply| reply.json()["run_id"].as_str().unwrap().to_owned();
    let ended = run(&site.ask(keyed("ended", "say one")));
    site.await_end(&ended);
    let cut = run(&site.ask(keyed("cut", "gate")));
    site.await_status(&cut, "running");
    let crashed = shelf.as_after_a_crash();
    drop(site);
    let change = |config: &mut runwire::Config| {
        (config.max_runs, config.max_queue) = (1, 0);
        config.orphan_ttl = Duration::from_millis(1);
    };
    let site = Site::with_store(crashed.store(), change);
    // Until the store has its end, the run that was cut off takes the only place.
    site.await_status(&cut, "interrupted");
    site.run("gate");
    assert_eq!(site.ask(keyed("another", "say one")).status, 429, "the limit is reached");
    for _ in 0..3 {
        for (key, input, name, status) in
            [("ended", "say one", &ended, "completed"), ("cut", "gate", &cut, "interrupted")]
        {
            let again = site.ask(keyed(key, input));
            assert_eq!(again.status, 202, "a retry is answered all the same");
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            let location = format!("/v1/runs/{name}");
            assert_eq!(again.header("location"), Some(location.as_str()));
            let page = again.json();
            assert_eq!((&page["run_id"], &page["replayed"]), (&json!(name), &json!(true)));
            assert_eq!(page["status"], status);
            let other = site.ask(keyed(key, "say two"));
            assert_eq!((other.status, other.code()), (409, json!("idempotency_key_conflict")));
        }
        wait_for("both to leave memory", || (site.counts()["runs"]["finished"] == 0).then_some(()));
    }
    assert_eq!(site.get("/v1/runs").json()["data"].as_array().unwrap().len(), 3);
    site.end();
}

#[test]
fn an_idempotency_key_is_good_for_a_day() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let first = ["young", "old"].map(|key| {
        let run = site.ask(keyed(key, "say one")).json()["run_id"].as_str().unwrap().to_owned();
        site.await_end(&run);
        run
    });
    site.end();
    let db = rusqlite::Connection::open(shelf.file()).unwrap();
    for (key, minutes) in [("young", 23 * 60 + 55), ("old", 25 * 60)] {
        let age =
            "UPDATE runs SET created_at = created_at - ?2 * 60000000 WHERE idempotency_key = ?1";
        assert_eq!(db.execute(age, rusqlite::params![key, minutes]).unwrap(), 1);
    }
    drop(db);
    let site = serve(&shelf);
    let again = |key: &str| {
        let page = site.ask(keyed(key, "say one")).json();
        (page["run_id"].as_str().unwrap().to_owned(), page["replayed"] == true)
    };
    assert_eq!(again("young"), (first[0].clone(), true));
    let (anew, replayed) = again("old");
    assert!(!replayed && anew != first[1]);
    site.await_end(&anew);
    assert_eq!(again("old"), (anew, true), "the latest run of that key counts");
    assert_eq!(site.status(&first[1])["status"], "completed", "the older one is still there");
    site.end();
}

#[test]
fn a_run_cut_off_ends_as_interrupted_right_after_what_it_had_said() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let run = site.run("gate");
    let mut reader = site.connect();
    reader.send(get(&format!("/v1/runs/{run}/events")));
    reader.head();
    assert_eq!(reader.frame(), ": open\n\n");
    let said = reader.frame();
    assert!(said.starts_with("id: 0\n") && said.contains("waiting "));
    let began = site.status(&run)["started_at"].clone();
    let crashed = shelf.as_after_a_crash();
    let site = serve(&crashed);
    let page = site.await_status(&run, "interrupted");
    assert!(began.is_f64() && page["started_at"] == began, "{page}");
    assert_eq!(page["error"], "The server ended while the run was working.");
    assert_eq!(page["last_event"], "run.interrupted");
    let stream = String::from_utf8(site.stream(&run)).unwrap();
    assert!(stream.starts_with(&format!(": open\n\n{said}id: 1\n")), "{stream}");
    let events = parts_of_events(stream.as_bytes());
    assert_eq!(events.len(), 2);
    assert_eq!((&events[1]["event"], &events[1]["seq"]), (&json!("run.interrupted"), &json!(1)));
    assert_eq!(events[1]["error"], page["error"]);
    assert!(events[0]["timestamp"].as_f64() <= events[1]["timestamp"].as_f64());
    let resume = |seen: u64| {
        let mut client = site.connect();
        client.send(format!(
            "GET /v1/runs/{run}/events?last_seq={seen} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        client
    };
    let behind = String::from_utf8(resume(0).reply().body).unwrap();
    assert_eq!(behind, stream.replace(&said, ""), "who had seen the first is told the rest");
    assert_eq!(resume(1).head().status, 204);
    assert_eq!(resume(2).reply().status, 400);
    let told = site.get("/v1/runs?status=interrupted").json();
    assert_eq!(told["data"][0]["run_id"], run.as_str());
    site.end();
}

#[test]
fn what_a_run_had_said_when_it_was_cut_off_is_remembered() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    site.finish(of_session("s", "say one"));
    let run = site.submit(of_session("s", "gate"));
    let run = run["run_id"].as_str().unwrap();
    wait_for("it to speak", || (site.status(run)["last_event"] == "message.delta").then_some(()));
    let silent = site.submit(of_session("other", "deaf"));
    let silent = silent["run_id"].as_str().unwrap();
    let crashed = serve(&shelf.as_after_a_crash());
    crashed.await_status(run, "interrupted");
    crashed.await_status(silent, "interrupted");
    let recall = crashed.finish(of_session("s", "recall"));
    let output = crashed.status(&recall)["output"].as_str().unwrap().to_owned();
    assert!(output.starts_with("user:say one,assistant:one,user:gate"), "{output}");
    crashed.end();
}

#[test]
fn runs_that_had_not_begun_begin_with_the_next_server_in_their_order() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |config| config.max_runs = 1);
    let working = site.run("gate");
    let waiting: Vec<String> = (0..3)
        .map(|number| {
            let body = json!({"input": format!("say {number}"), "model": "gpt-x",
                "instructions": "be brief"});
            site.submit(body)["run_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let body = json!({"input": "recall", "conversation_history": [{"role": "user", "content": "told"}],
        "instructions": "be brief"});
    let recall = site.submit(body)["run_id"].as_str().unwrap().to_owned();
    let crashed = shelf.as_after_a_crash();
    site.handle.drain();
    site.join();
    for shelf in [&shelf, &crashed] {
        let site = Site::with_store(shelf.store(), |config| config.max_runs = 1);
        site.await_status(&working, "interrupted");
        let pages: Vec<Value> =
            waiting.iter().map(|run| site.await_status(run, "completed")).collect();
        let outputs: Vec<&str> =
            pages.iter().map(|page| page["output"].as_str().unwrap()).collect();
        assert_eq!(outputs, ["0", "1", "2"]);
        let ends: Vec<f64> =
            pages.iter().map(|page| page["updated_at"].as_f64().unwrap()).collect();
        assert!(ends.is_sorted(), "{ends:?}");
        assert!(pages.iter().all(|page| page["model"] == "gpt-x"));
        let page = site.await_status(&recall, "completed");
        assert_eq!(page["output"], format!("user:told | be brief | {recall}"));
        site.end();
    }
}

#[test]
fn a_run_that_waited_for_its_session_goes_on_with_what_became_of_that() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    site.finish(of_session("s", "say one"));
    let working = site.submit(of_session("s", "gate"));
    let working = working["run_id"].as_str().unwrap();
    wait_for("it to speak", || {
        (site.status(working)["last_event"] == "message.delta").then_some(())
    });
    let waiting = site.submit(of_session("s", "recall"));
    let waiting = waiting["run_id"].as_str().unwrap();
    assert_eq!(site.status(waiting)["status"], "queued");
    let crashed = serve(&shelf.as_after_a_crash());
    crashed.await_status(working, "interrupted");
    let page = crashed.await_status(waiting, "completed");
    let output = page["output"].as_str().unwrap();
    assert!(output.starts_with("user:say one,assistant:one,user:gate"), "{output}");
    assert!(output.ends_with(" | - | s"), "{output}");
    crashed.end();
}

#[test]
fn a_waiting_run_is_waited_for_over_a_restart() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |config| config.max_runs = 1);
    site.run("gate");
    let waiting = site.run("say later");
    let crashed = shelf.as_after_a_crash();
    let next = Site::with_store(crashed.store(), |config| config.max_runs = 1);
    // Its events go on from the first, whoever reads them and since when.
    let events = parts_of_events(&next.stream(&waiting));
    let seqs: Vec<&Value> = events.iter().map(|event| &event["seq"]).collect();
    assert_eq!(seqs, [0, 1]);
    assert_eq!(events[0]["delta"], "later");
    next.end();
}

#[test]
fn an_owner_of_a_file_shares_it_with_nobody() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let refused = runwire::store::Sqlite::open(&shelf.file()).err().expect("it is in use");
    assert_eq!(refused.kind, runwire::record::FaultKind::Busy);
    site.end();
    serve(&shelf).end();
}

#[test]
fn ids_and_order_go_on_after_the_latest_run_was_deleted() {
    let shelf = Shelf::durable();
    let site = serve(&shelf);
    let first = site.finish(json!({"input": "say one"}));
    let second = site.finish(json!({"input": "say two"}));
    assert_eq!(site.delete(&format!("/v1/runs/{second}")).status, 200);
    site.end();
    let site = serve(&shelf);
    assert_eq!(site.get(&format!("/v1/runs/{second}")).status, 404);
    assert_eq!(site.get(&format!("/v1/runs/{second}/events")).status, 404);
    let third = site.finish(json!({"input": "say three"}));
    let page = site.get("/v1/runs").json();
    let listed: Vec<&Value> =
        page["data"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect();
    assert_eq!(listed, [&json!(third), &json!(first)]);
    assert!(String::from_utf8(site.stream(&third)).unwrap().contains("three"));
    site.end();
}
