//! Runs nobody reads: forgotten without a trace, cancelled if so wished, kept for a retry.
mod common;
use common::{Site, get, post_with, wait_for};
use runwire::OnOrphan;
use std::thread;
use std::time::Duration;

const TTL: Duration = Duration::from_millis(200);

/// Waits until the server holds nothing but this one connection.
fn await_emptiness(site: &Site) {
    wait_for("all counts to be zero", || {
        let page = site.counts();
        let runs = &page["runs"];
        let zero = runs["finished"] == 0
            && runs["working"] == 0
            && runs["queued"] == 0
            && page["history_bytes"] == 0
            && page["subscribers"] == 0
            && page["idempotency_keys"] == 0
            && page["connections"] == 1;
        zero.then_some(())
    });
}

#[test]
fn a_finished_run_nobody_reads_is_forgotten_record_and_history_together() {
    let site = Site::with(|config| config.orphan_ttl = TTL);
    let runs: Vec<String> = (0..50).map(|_| site.run("say a b c")).collect();
    site.stream(&runs[0]);
    await_emptiness(&site);
    for path in [format!("/v1/runs/{}", runs[0]), format!("/v1/runs/{}/events", runs[0])] {
        let reply = site.get(&path);
        assert_eq!((reply.status, reply.code()), (404, "run_not_found".into()));
    }
    assert_eq!(site.stop(&runs[1]).status, 404);
}

#[test]
fn a_run_that_is_read_or_asked_about_is_not_forgotten() {
    let site = Site::with(|config| config.orphan_ttl = TTL);
    let (asked, read) = (site.run("done"), site.run("done"));
    for _ in 0..10 {
        thread::sleep(TTL / 4);
        assert_eq!(site.status(&asked)["status"], "completed");
        assert!(!site.stream(&read).is_empty());
    }
    await_emptiness(&site);
}

#[test]
fn a_working_run_is_kept_however_long_nobody_reads() {
    let site = Site::with(|config| config.orphan_ttl = TTL / 10);
    let run = site.run("gate");
    // Other runs come and go in this time.
    for _ in 0..5 {
        let other = site.run("done");
        wait_for("the other to be forgotten", || {
            thread::sleep(TTL / 5);
            (site.get(&format!("/v1/runs/{other}")).status == 404).then_some(())
        });
    }
    assert_eq!(site.status(&run)["status"], "running");
    site.gate.open();
    await_emptiness(&site);
}

#[test]
fn a_working_run_nobody_reads_is_cancelled_where_that_is_wished() {
    let site = Site::with(|config| {
        config.orphan_ttl = TTL;
        config.on_orphan = OnOrphan::Cancel;
    });
    let (left, watched) = (site.run("hold"), site.run("hold"));
    let mut reader = site.connect();
    reader.send(get(&format!("/v1/runs/{watched}/events")));
    reader.head();
    wait_for("the unread run to end", || (site.counts()["runs"]["working"] == 1).then_some(()));
    assert_eq!(site.status(&left)["status"], "cancelled");
    assert_eq!(site.status(&watched)["status"], "running", "somebody reads it");
    drop(reader);
    await_emptiness(&site);
}

#[test]
fn a_run_with_a_key_outlives_its_orphan_time_for_a_retry() {
    let site = Site::with(|config| config.orphan_ttl = TTL / 10);
    let request = post_with("/v1/runs", "Idempotency-Key: k\r\n", r#"{"input":"done"}"#);
    let run = site.ask(&request).json()["run_id"].clone();
    let other = site.run("done");
    wait_for("the other to be forgotten", || {
        thread::sleep(TTL / 5);
        (site.get(&format!("/v1/runs/{other}")).status == 404).then_some(())
    });
    let again = site.ask(&request).json();
    assert_eq!((&again["run_id"], &again["replayed"]), (&run, &true.into()));
}
