//! What goes when a store is to keep less, and how those notice who ask for it.
#![cfg(feature = "sqlite")]
mod common;

use common::{Shelf, Site, get, post_with, wait_for};
use runwire::Retain;
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::Duration;

fn serve(shelf: &Shelf, retain: Retain) -> Site {
    Site::with_store(shelf.store(), |config| config.retain = retain)
}

fn of_session(session: &str, input: &str) -> Value {
    json!({ "input": input, "session_id": session })
}

fn run_ids(site: &Site) -> Vec<String> {
    let page = site.get("/v1/runs?limit=100").json();
    let runs = page["data"].as_array().unwrap().iter();
    runs.map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

fn await_runs(site: &Site, count: usize) {
    wait_for("the store to keep no more", || (run_ids(site).len() == count).then_some(()));
}

/// Runs of two sessions: three of `old`, then two of `new`.
fn filled(shelf: &Shelf) -> Vec<String> {
    let site = serve(shelf, Retain::default());
    let runs = [("old", 0), ("old", 1), ("old", 2), ("new", 3), ("new", 4)]
        .map(|(session, number)| site.finish(of_session(session, &format!("say {number}"))));
    site.end();
    runs.into()
}

#[test]
fn the_oldest_runs_go_and_their_sessions_shrink_and_go_with_them() {
    let shelf = Shelf::durable();
    let runs = filled(&shelf);
    for (kept, sessions, said) in [
        (4, vec!["new", "old"], 4),
        (3, vec!["new", "old"], 2),
        (2, vec!["new"], 0),
        (1, vec!["new"], 0),
    ] {
        let site = serve(&shelf, Retain { runs: Some(kept), ..Retain::default() });
        await_runs(&site, kept as usize);
        let (gone, left) = runs.split_at(runs.len() - kept as usize);
        let newest_first: Vec<&String> = left.iter().rev().collect();
        assert_eq!(run_ids(&site).iter().collect::<Vec<_>>(), newest_first);
        for run in gone {
            for path in [format!("/v1/runs/{run}"), format!("/v1/runs/{run}/events")] {
                assert_eq!(
                    (site.get(&path).status, site.get(&path).code()),
                    (404, json!("run_not_found"))
                );
            }
        }
        left.iter().for_each(|run| assert_eq!(site.status(run)["status"], "completed"));
        let page = site.get("/v1/sessions").json();
        let listed: Vec<&str> =
            page["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(listed, sessions);
        let old = site.get("/v1/sessions/old/messages");
        match said {
            0 => assert_eq!((old.status, old.code()), (404, json!("session_not_found"))),
            said => assert_eq!(old.json()["data"].as_array().unwrap().len(), said),
        }
        site.end();
    }
}

#[test]
fn a_session_that_has_lost_its_beginning_goes_on_with_the_rest() {
    let shelf = Shelf::durable();
    let runs = filled(&shelf);
    let site = serve(&shelf, Retain { runs: Some(3), ..Retain::default() });
    await_runs(&site, 3);
    let recall = site.finish(of_session("old", "recall"));
    let output = site.status(&recall)["output"].clone();
    assert_eq!(output, "user:say 2,assistant:2 | - | old");
    let body = json!({"input": "recall", "previous_response_id": runs[0]}).to_string();
    let reply = site.ask(common::post("/v1/runs", &body));
    assert_eq!((reply.status, reply.code()), (404, json!("previous_response_not_found")));
    site.end();
}

#[test]
fn runs_go_when_they_are_old_enough() {
    let shelf = Shelf::durable();
    let runs = filled(&shelf);
    let site = serve(&shelf, Retain { age: Some(Duration::from_secs(3600)), ..Retain::default() });
    // The clean-up begins with the server and a run is stored behind it.
    site.finish(json!({"input": "done"}));
    assert_eq!(run_ids(&site).len(), runs.len() + 1, "none is an hour old");
    site.end();
    let site = serve(&shelf, Retain { age: Some(Duration::from_micros(1)), ..Retain::default() });
    await_runs(&site, 0);
    assert_eq!(site.get("/v1/sessions").json()["data"], json!([]));
    site.end();
}

#[test]
fn what_takes_too_much_room_goes_and_the_file_shrinks() {
    let shelf = Shelf::durable();
    let site = serve(&shelf, Retain::default());
    let runs: Vec<String> =
        (0..12).map(|_| site.finish(json!({"input": "emit 100 10000"}))).collect();
    site.end();
    let size = || fs::metadata(shelf.file()).unwrap().len();
    let before = size();
    assert!(before > 12_000_000, "{before}");
    let kept = 4_000_000;
    let site = serve(&shelf, Retain { bytes: Some(kept), ..Retain::default() });
    let left = wait_for("the oldest to go", || {
        let left = run_ids(&site);
        (left.len() <= 3).then_some(left)
    });
    assert!(!left.is_empty() && left[0] == runs[11], "no more goes than must: {left:?}");
    let stream = site.stream(&runs[11]);
    assert!(String::from_utf8(stream).unwrap().contains("run.completed"));
    // What is free goes back to the system step by step, of which nobody is told.
    wait_for("the clean-up to end", || {
        thread::sleep(Duration::from_millis(100));
        (bytes_once_closed(&shelf) < 2 * kept).then_some(())
    });
    site.end();
    assert!(size() < 2 * kept, "{} of {before} are left", size());
}

/// Bytes of the file if its server ended now.
fn bytes_once_closed(shelf: &Shelf) -> u64 {
    let copy = shelf.as_after_a_crash();
    drop(copy.store());
    fs::metadata(copy.file()).unwrap().len()
}

#[test]
fn what_may_be_asked_for_again_or_has_not_ended_stays() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |config| config.max_runs = 1);
    let keyed = post_with("/v1/runs", "Idempotency-Key: k\r\n", r#"{"input":"say one"}"#);
    let kept = site.ask(&keyed).json()["run_id"].as_str().unwrap().to_owned();
    site.await_end(&kept);
    let gone = site.finish(json!({"input": "say two"}));
    site.end();
    let site = Site::with_store(shelf.store(), |config| {
        config.max_runs = 1;
        config.retain.runs = Some(0);
    });
    let (working, waiting) = (site.run("gate"), site.run("say later"));
    wait_for("the other to go", || {
        (site.get(&format!("/v1/runs/{gone}")).status == 404).then_some(())
    });
    assert_eq!(run_ids(&site), [waiting, working, kept.clone()]);
    let again = site.ask(&keyed).json();
    assert_eq!((&again["run_id"], &again["replayed"]), (&json!(kept), &json!(true)));
    site.end();
}

#[test]
fn readers_of_a_run_that_goes_are_sent_away() {
    let shelf = Shelf::durable();
    let site = serve(&shelf, Retain::default());
    let run = site.finish(json!({"input": "emit 2000 10000"}));
    site.end();
    let site = serve(&shelf, Retain { bytes: Some(1_000_000), ..Retain::default() });
    // Before the clean-up, in its midst or after it: nobody is left waiting for what is gone.
    let mut reader = site.connect();
    let request = get(&format!("/v1/runs/{run}/events"));
    reader.send(request.replacen("\r\n", "\r\nConnection: close\r\n", 1));
    reader.await_hang_up();
    wait_for("the run to go", || {
        (site.get(&format!("/v1/runs/{run}")).status == 404).then_some(())
    });
    assert_eq!(site.counts()["subscribers"], 0);
    site.end();
}
