//! Webhooks over the end of their server: at least once, by the same id.
#![cfg(all(feature = "webhooks", feature = "cli", feature = "sqlite", target_os = "linux"))]
mod hooked;
mod served;

use hooked::{Postbox, Posted};
use serde_json::json;
use served::{Place, wait_for};
use std::collections::BTreeSet;

const HOOKS: [&str; 3] =
    ["--webhook-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "--webhook-allow-private"];

fn submit(server: &served::Server, url: &str) -> String {
    let body = json!({ "input": "list files", "webhook": { "url": url } }).to_string();
    let reply = server.post("/v1/runs", "", &body);
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.json()["run_id"].as_str().unwrap().to_owned()
}

fn run_of(posted: &Posted) -> String {
    posted.json()["data"]["run_id"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_on_its_way_when_the_server_was_killed_comes_again() {
    let (place, postbox) = (Place::new(), Postbox::answering(&[""]));
    let mut server = place.start(&HOOKS);
    let run = submit(&server, &postbox.url("/hook"));
    let first = postbox.next();
    server.kill();
    let _server = place.start(&HOOKS);
    let again = postbox.next();
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    assert_eq!(run_of(&again), run);
}

#[test]
fn a_retry_outlives_the_server_and_keeps_its_id_and_its_time() {
    let (place, postbox) = (Place::new(), Postbox::answering(&["500 No"]));
    let mut server = place.start(&HOOKS);
    submit(&server, &postbox.url("/hook"));
    let first = postbox.next();
    server.starting.await_line("webhook.failed");
    wait_for("it to be stored", || {
        let page = server.get("/metrics").body;
        page.contains("outcome=\"retried\"} 1").then_some(())
    });
    // An answer about what is stored comes after what was given before it.
    server.run("after");
    server.kill();
    let _server = place.start(&HOOKS);
    let again = postbox.next();
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    let time = |posted: &Posted| posted.header("webhook-timestamp").parse::<u64>().unwrap();
    assert!(time(&again) >= time(&first) + 5, "it was not waited for");
}

#[test]
fn whenever_the_server_is_killed_each_run_is_told_of_at_least_once() {
    let (place, postbox) = (Place::new(), Postbox::new());
    let url = postbox.url("/all");
    let args: Vec<&str> = HOOKS.iter().copied().chain(["--webhook", &url]).collect();
    let mut runs = BTreeSet::new();
    for life in 0..6 {
        let mut server = place.start(&args);
        for _ in 0..8 {
            runs.insert(server.run("list files"));
        }
        // Some lives end with all of it done, others in the middle.
        (0..life).for_each(|_| drop(server.get("/health")));
        server.kill();
    }
    let _server = place.start(&args);
    let mut ids = BTreeSet::new();
    while !runs.is_empty() {
        let posted = postbox.next();
        ids.insert((posted.id().to_owned(), run_of(&posted)));
        runs.remove(&run_of(&posted));
    }
    let told: BTreeSet<&String> = ids.iter().map(|(_, run)| run).collect();
    assert_eq!(told.len(), ids.len(), "a run's end was told by two ids");
}

#[test]
fn the_log_names_the_origin_and_nothing_else_of_an_address() {
    let (place, postbox) = (Place::new(), Postbox::answering(&["410 Gone"]));
    let mut server = place.start(&HOOKS);
    submit(&server, &postbox.url("/path-secret?token=query-secret"));
    postbox.next();
    server.starting.await_line("webhook.given_up");
    let said = server.starting.said();
    assert!(!said.contains("path-secret") && !said.contains("query-secret"), "{said}");
}

#[test]
fn an_address_for_all_runs_needs_a_secret() {
    let place = Place::new();
    let (code, said) = place.spawn(&["--webhook", "https://example.com/secret-path"]).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--webhook-secret") && !said.contains("secret-path"), "{said}");
    let args = ["--webhook", "http://example.com/", HOOKS[0], HOOKS[1]];
    let (code, said) = place.spawn(&args).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("https://"), "{said}");
}
