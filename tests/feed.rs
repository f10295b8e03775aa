//! `GET /v1/events`: many runs on one stream, and what becomes of all runs of a key.
mod common;

#[cfg(feature = "sqlite")]
use common::Shelf;
use common::{Client, Reply, Site, get, on_each_store, parts_of_events};
use runwire::config::Key;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Shutdown;
use std::time::Duration;

/// A reader of a feed, and what it has read of it.
struct Reader {
    client: Client,
    frames: Vec<String>,
    /// The start of a frame.
    rest: String,
}

impl Reader {
    /// Asks for `/v1/events?{query}`, and reads on to `: open`.
    fn new(site: &Site, query: &str) -> Reader {
        Reader::with(site, get(&format!("/v1/events?{query}")))
    }

    fn with(site: &Site, request: String) -> Reader {
        let mut client = site.connect();
        client.send(request);
        let head = client.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let mut reader = Reader { client, frames: Vec::new(), rest: String::new() };
        assert_eq!(reader.frame(), ": open\n\n");
        reader
    }

    /// The next frame, or comment.
    fn frame(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.find("\n\n") {
                let rest = self.rest.split_off(end + 2);
                return std::mem::replace(&mut self.rest, rest);
            }
            self.rest += &self.client.frame();
        }
    }

    /// Reads until a frame is there that `is` the one; keepalives aside, all are kept.
    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.frame();
            if frame == ": keepalive\n\n" {
                continue;
            }
            assert!(!frame.starts_with(':'), "{frame}");
            let data = parts_of_events(frame.as_bytes()).pop().expect("a frame has data");
            self.frames.push(frame);
            if is(&data) {
                return data;
            }
        }
    }

    fn until_ended(&mut self, run: &str) {
        self.until(|data| data["run_id"] == run && data["event"] == "run.completed");
    }

    fn until_status(&mut self, run: &str, status: &str) -> Value {
        let is_status = |data: &Value| data["event"] == "run.status" && data["status"] == status;
        self.until(|data| data["run_id"] == run && is_status(data))
    }

    /// The frames of each run, one after the other as a stream of its own would have them.
    fn by_run(&self) -> BTreeMap<String, String> {
        let mut runs: BTreeMap<String, String> = BTreeMap::new();
        for frame in self.frames.iter().filter(|frame| frame.starts_with("id: ")) {
            let data = parts_of_events(frame.as_bytes()).pop().expect("a frame has data");
            let run = data["run_id"].as_str().expect("a run's id");
            *runs.entry(run.to_owned()).or_default() += frame;
        }
        runs
    }

    /// What it was told of a run's status, in order.
    fn statuses(&self, run: &str) -> Vec<Value> {
        let data = self.frames.iter().flat_map(|frame| parts_of_events(frame.as_bytes()));
        let of_run = data.filter(|it| it["event"] == "run.status" && it["run_id"] == run);
        of_run.map(|it| it["status"].clone()).collect()
    }
}

/// The frames of a run's own stream after event `seen`, without its comments.
fn frames_after(site: &Site, run: &str, seen: i64) -> String {
    let stream = String::from_utf8(site.stream(run)).unwrap();
    let mark = if seen < 0 { "\n\nid: 0\n".to_owned() } else { format!("\n\nid: {}\n", seen + 1) };
    let start = stream.find(&mark).expect("there is such an event") + 2;
    let end = stream.find(": stream closed").expect("the run has ended");
    stream[start..end].to_owned()
}

fn refusal(site: &Site, query: &str) -> Reply {
    site.get(&format!("/v1/events?{query}"))
}

#[test]
fn each_run_on_a_feed_is_told_byte_for_byte_from_its_own_cursor() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let long = site.finish(json!({"input": "emit 300 1000"}));
        let short = site.finish(json!({"input": "emit 20 10"}));
        let live = site.run("gate");
        let query = format!("runs={long}:12,{short},{live}:-1");
        let mut reader = Reader::new(&site, &query);
        reader.until(|data| data["run_id"] == *live);
        site.gate.open();
        reader.until_ended(&live);
        while reader.by_run().values().filter(|said| said.contains("run.completed")).count() < 3 {
            reader.until(|data| data["event"] == "run.completed");
        }
        let told = reader.by_run();
        assert_eq!(told[&long], frames_after(&site, &long, 12));
        assert_eq!(told[&short], frames_after(&site, &short, -1));
        assert_eq!(told[&live], frames_after(&site, &live, -1));
    });
}

#[test]
fn no_run_on_a_feed_waits_for_the_whole_of_another() {
    let site = Site::start();
    let long = site.finish(json!({"input": "emit 600 10000"}));
    let short = site.finish(json!({"input": "say hello"}));
    let mut reader = Reader::new(&site, &format!("runs={long},{short}"));
    reader.until_ended(&short);
    let said = reader.by_run()[&long].len();
    assert!(said < 200_000, "{said} bytes of the long one came first");
}

#[test]
fn a_feed_goes_on_when_its_runs_have_ended_and_is_kept_alive() {
    let site = Site::with(|config| config.keepalive = Duration::from_millis(50));
    let run = site.finish(json!({"input": "say hello"}));
    let mut reader = Reader::new(&site, &format!("runs={run}"));
    reader.until_ended(&run);
    assert_eq!(reader.frame(), ": keepalive\n\n");
    assert_eq!(reader.frame(), ": keepalive\n\n");
    assert_eq!(site.counts()["subscribers"], 0, "nothing of an ended run is held");
    let at_end = Reader::new(&site, &format!("runs={run}:1"));
    assert!(at_end.rest.is_empty(), "it had seen all");
}

#[test]
fn a_watcher_is_told_each_status_in_order() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |config| config.max_runs = 1);
        let mut reader = Reader::new(&site, "watch=runs");
        let first = site.run("gate");
        reader.until_status(&first, "running");
        let second = site.run("say later");
        let queued = reader.until_status(&second, "queued");
        assert_eq!(queued["preview"], "say later");
        assert_eq!(queued["session_id"], second);
        assert!(queued["created_at"].is_f64() && queued["seq"].is_null());
        assert!(reader.frames.iter().all(|frame| !frame.starts_with("id: ")));
        site.gate.open();
        let ended = reader.until_status(&second, "completed");
        assert_eq!(ended["last_event"], "run.completed");
        assert_eq!(reader.statuses(&first).last(), Some(&json!("completed")));
        let held = site.run("hold");
        reader.until_status(&held, "running");
        site.stop(&held);
        reader.until_status(&held, "cancelled");
        let order = [json!("running"), json!("stopping"), json!("cancelled")];
        let told = reader.statuses(&held);
        let mut rest = order.iter();
        assert!(told.iter().all(|status| rest.any(|known| known == status)), "{told:?}");
        assert_eq!(site.delete(&format!("/v1/runs/{first}")).status, 200);
        reader.until_status(&first, "deleted");
    });
}

#[test]
fn what_the_list_says_of_a_run_a_watcher_is_told_too() {
    let site = Site::start();
    let mut reader = Reader::new(&site, "watch=runs");
    let run = site.finish(json!({"input": "say hello", "session_id": "s"}));
    let mut told = reader.until_status(&run, "completed");
    let mut listed = site.get("/v1/runs").json()["data"][0].clone();
    told.as_object_mut().unwrap().retain(|key, _| key != "last_event" && key != "event");
    listed.as_object_mut().unwrap().remove("object");
    told.as_object_mut().unwrap().remove("object");
    assert_eq!(told, listed);
}

#[test]
fn a_run_that_is_deleted_leaves_its_feed_and_the_others_stay() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let gone = site.finish(json!({"input": "say hello"}));
        let live = site.run("gate");
        // It is still on the feed while the reader has not taken all of the other one.
        let mut reader = Reader::new(&site, &format!("runs={live},{gone}&watch=runs"));
        reader.until_ended(&gone);
        assert_eq!(site.delete(&format!("/v1/runs/{gone}")).status, 200);
        reader.until_status(&gone, "deleted");
        site.gate.open();
        reader.until_ended(&live);
        assert_eq!(reader.by_run()[&live], frames_after(&site, &live, -1));
    });
}

#[test]
fn a_run_nobody_knows_is_named_and_none_of_the_others_is_held() {
    let site = Site::start();
    let run = site.run("hold");
    let unknown = "run_0123456789abcdef0123456789abcdef";
    let reply = refusal(&site, &format!("runs={run},{unknown}"));
    assert_eq!((reply.status, reply.code()), (404, json!("run_not_found")));
    assert!(reply.text().contains(unknown), "{reply:?}");
    assert_eq!(site.counts()["subscribers"], 0);
}

#[test]
fn a_feed_that_means_nothing_is_refused() {
    let site = Site::start();
    let run = site.run("hold");
    let many = vec![run.as_str(); 33].join(",");
    let same = run.to_uppercase().replace("RUN_", "run_");
    for (query, status, code) in [
        ("", 400, "invalid_parameter"),
        ("runs=", 400, "invalid_parameter"),
        ("runs=,", 400, "invalid_parameter"),
        ("runs=%ff", 400, "invalid_parameter"),
        ("watch=all", 400, "invalid_parameter"),
        (&*format!("runs={many}"), 400, "invalid_parameter"),
        (&*format!("runs={run},{run}:0"), 400, "invalid_parameter"),
        (&*format!("runs={run},"), 400, "invalid_parameter"),
        (&*format!("runs={run}:x"), 400, "invalid_cursor"),
        (&*format!("runs={run}:+1"), 400, "invalid_cursor"),
        (&*format!("runs={run}:99"), 400, "invalid_cursor"),
        (&*format!("runs={run}:0:0"), 400, "invalid_cursor"),
        ("runs=run_1", 404, "run_not_found"),
        (&*format!("runs={}", "x".repeat(9_000)), 414, "uri_too_long"),
    ] {
        let reply = refusal(&site, query);
        assert_eq!(reply.status, status, "{query}");
        if status != 414 {
            assert_eq!(reply.code(), json!(code), "{query}");
        }
    }
    let twice = refusal(&site, &format!("runs={run},{same}"));
    assert!(same == run || twice.status >= 400, "one run, written in two ways");
    assert_eq!(site.counts()["subscribers"], 0);
    let head = site.ask("HEAD /v1/events?watch=runs HTTP/1.0\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(site.counts()["subscribers"], 0);
}

#[test]
fn cursors_are_understood_however_a_client_encodes_them() {
    let site = Site::start();
    let (one, two) = (site.run("say hello"), site.run("say good day"));
    site.await_end(&one);
    site.await_end(&two);
    let mut reader = Reader::new(&site, &format!("watch=runs&runs={one}%3A0%2C{two}%3A-1"));
    reader.until_ended(&one);
    reader.until_ended(&two);
    assert_eq!(reader.by_run()[&one], frames_after(&site, &one, 0));
    assert_eq!(reader.by_run()[&two], frames_after(&site, &two, -1));
}

#[test]
fn last_event_id_means_nothing_to_a_feed() {
    let site = Site::start();
    let run = site.finish(json!({"input": "say hello"}));
    let head = "Host: localhost\r\nLast-Event-ID: 77\r\n";
    let request = format!("GET /v1/events?runs={run} HTTP/1.1\r\n{head}\r\n");
    let mut reader = Reader::with(&site, request);
    reader.until_ended(&run);
    assert_eq!(reader.by_run()[&run], frames_after(&site, &run, -1));
}

#[test]
fn an_old_client_gets_bare_frames() {
    let site = Site::start();
    let (one, two) = (site.run("emit 40 10000"), site.run("say hello"));
    site.await_end(&one);
    site.await_end(&two);
    let mut client = site.connect();
    client.send(format!("GET /v1/events?runs={one},{two} HTTP/1.0\r\n\r\n"));
    let head = client.head();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    let long = frames_after(&site, &one, -1).len() + frames_after(&site, &two, -1).len();
    let text = String::from_utf8(client.exactly(": open\n\n".len() + long)).unwrap();
    assert!(text.contains(&frames_after(&site, &two, -1)), "it lies there in one piece");
    assert_eq!(text.matches("run.completed").count(), 2);
    client.stream.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn a_reader_that_comes_late_is_told_that_it_missed_changes() {
    let site = Site::with(|config| config.max_queue = 1_000);
    let run = site.finish(json!({"input": "emit 4000 10000"}));
    // It does not read, so all that changes meanwhile must be remembered, up to a limit.
    let mut client = site.connect();
    client.send(get(&format!("/v1/events?watch=runs&runs={run}")));
    assert_eq!(client.head().status, 200);
    let runs: Vec<String> = (0..300).map(|_| site.run("done")).collect();
    site.await_end(runs.last().unwrap());
    let mut reader = Reader { client, frames: Vec::new(), rest: String::new() };
    assert_eq!(reader.frame(), ": open\n\n");
    reader.until(|data| data["event"] == "runs.changed");
    reader.until_ended(&run);
    assert_eq!(reader.by_run()[&run], frames_after(&site, &run, -1));
}

#[test]
fn a_drain_ends_a_feed_once_all_is_told() {
    let site = Site::with(|config| config.drain = Duration::from_secs(10));
    let run = site.run("gate");
    let mut reader = Reader::new(&site, &format!("watch=runs&runs={run}"));
    reader.until(|data| data["event"] == "message.delta");
    site.handle.drain();
    site.gate.open();
    reader.until_ended(&run);
    while let Some(chunk) = reader.client.chunk() {
        reader.rest += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(reader.rest.ends_with(": stream closed\n\n"), "{}", reader.rest);
    assert_eq!(reader.statuses(&run), ["completed"]);
    site.join();
}

const ANN: &str = "a-key-of-ann-0123456789";
const BOB: &str = "a-key-of-bob-0123456789";

fn as_who(secret: &str, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
         {kind}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_key_hears_only_of_its_own_runs() {
    let site = Site::with(|config| config.keys = vec![Key::new("ann", ANN), Key::new("bob", BOB)]);
    let start = |secret: &str| {
        let reply = site.ask(as_who(secret, "POST", "/v1/runs", "{\"input\":\"say hello\"}"));
        reply.json()["run_id"].as_str().expect("a run's id").to_owned()
    };
    let mut reader = Reader::with(&site, as_who(ANN, "GET", "/v1/events?watch=runs", ""));
    let foreign = start(BOB);
    let own = start(ANN);
    reader.until_status(&own, "completed");
    assert!(reader.statuses(&foreign).is_empty());
    let path = format!("/v1/events?runs={own},{foreign}");
    let reply = site.ask(as_who(ANN, "GET", &path, ""));
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains(&foreign));
    assert_eq!(refusal(&site, "watch=runs").status, 401);
}

#[test]
fn a_feed_is_cut_when_its_key_is_no_more() {
    let site = Site::with(|config| config.keys = vec![Key::new("ann", ANN), Key::new("bob", BOB)]);
    let mut ann = Reader::with(&site, as_who(ANN, "GET", "/v1/events?watch=runs", ""));
    let mut bob = Reader::with(&site, as_who(BOB, "GET", "/v1/events?watch=runs", ""));
    site.handle.reload(vec![Key::new("bob", BOB)]).expect("they are well");
    ann.client.await_hang_up();
    let reply = site.ask(as_who(BOB, "POST", "/v1/runs", "{\"input\":\"say hello\"}"));
    let run = reply.json()["run_id"].as_str().expect("a run's id").to_owned();
    bob.until_status(&run, "completed");
}

#[test]
#[cfg(feature = "sqlite")]
fn after_a_restart_a_feed_goes_on_from_the_store() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |_| {});
    let runs: Vec<String> = (0..3).map(|_| site.finish(json!({"input": "emit 50 5000"}))).collect();
    let whole: Vec<String> = runs.iter().map(|run| frames_after(&site, run, -1)).collect();
    site.end();
    let forgetful = |config: &mut runwire::Config| config.orphan_ttl = Duration::from_millis(1);
    let site = Site::with_store(shelf.store(), forgetful);
    let query = format!("runs={}:30,{},{}:-1", runs[0], runs[1], runs[2]);
    let mut reader = Reader::new(&site, &query);
    for _ in &runs {
        reader.until(|data| data["event"] == "run.completed");
    }
    let told = reader.by_run();
    assert_eq!(told[&runs[1]], whole[1]);
    assert_eq!(told[&runs[2]], whole[2]);
    assert!(told[&runs[0]].starts_with("id: 31\n") && whole[0].ends_with(&told[&runs[0]]));
}
