//! Lists of runs and sessions, and what may be asked of one of them; the same whatever keeps them.
mod common;

use common::{Reply, Shelf, Site, get, on_each_store, wait_for};
use runwire::Config;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Runs `test` with each kind of store, and where finished runs can leave memory, also with runs that
/// do so at once.
fn on_each(test: impl Fn(&Site)) {
    on_each_with(|_| {}, test);
}

fn on_each_with(change: impl Fn(&mut Config), test: impl Fn(&Site)) {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), &change);
        test(&site);
        site.end();
    });
    #[cfg(feature = "sqlite")]
    {
        let site = Site::with_store(Shelf::durable().store(), |config| {
            change(config);
            config.orphan_ttl = std::time::Duration::from_millis(1);
        });
        test(&site);
        site.end();
    }
}

fn ids(page: &Value) -> Vec<&str> {
    let entries = page["data"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    entries.map(|entry| entry["run_id"].as_str().or(entry["id"].as_str()).unwrap()).collect()
}

fn list(site: &Site, query: &str) -> Value {
    let reply = site.get(&format!("/v1/runs{query}"));
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    reply.json()
}

fn of_session(session: &str, input: &str) -> Value {
    json!({ "input": input, "session_id": session })
}

#[test]
fn runs_are_listed_newest_first_with_what_is_known_of_each() {
    on_each(|site| {
        let empty = list(site, "");
        assert_eq!((&empty["data"], &empty["has_more"]), (&json!([]), &json!(false)));
        let body = json!({"input": "say  hello\nthere", "session_id": "s", "model": "gpt-x"});
        let first = site.finish(body);
        let failed = site.finish(json!({"input": "fail"}));
        let working = site.run("gate");
        site.await_status(&working, "running");
        let page = list(site, "");
        assert_eq!(page["object"], "list");
        assert_eq!(ids(&page), [&working, &failed, &first]);
        let [working_entry, failed_entry, entry] = &page["data"].as_array().unwrap()[..] else {
            panic!("{page}")
        };
        let status = site.status(&first);
        for field in [
            "object",
            "run_id",
            "status",
            "created_at",
            "updated_at",
            "session_id",
            "model",
            "usage",
        ] {
            assert!(!entry[field].is_null(), "{field}");
            assert_eq!(entry[field], status[field], "{field}");
        }
        assert_eq!(entry["preview"], "say  hello there", "on one line");
        assert_eq!(failed_entry["error"], "as asked");
        assert_eq!(failed_entry["session_id"], failed.as_str());
        assert_eq!(working_entry["status"], "running");
        assert_eq!(working_entry["model"], "hermes-agent");
    });
}

#[test]
fn runs_are_found_by_status_and_session() {
    on_each_with(
        |config| config.max_runs = 2,
        |site| {
            let done = site.finish(of_session("a", "say one"));
            let failed = site.finish(of_session("b \u{fc}&=", "fail"));
            let stopped = site.run("hold");
            site.await_status(&stopped, "running");
            site.stop(&stopped);
            site.await_status(&stopped, "cancelled");
            let running = site.run("gate");
            let deaf = site.run("deaf");
            let queued = site.run("say later");
            site.stop(&deaf);
            for (query, expected) in [
                ("?status=completed", vec![&done]),
                ("?status=failed", vec![&failed]),
                ("?status=cancelled", vec![&stopped]),
                ("?status=running", vec![&running]),
                ("?status=stopping", vec![&deaf]),
                ("?status=queued", vec![&queued]),
                ("?status=interrupted", vec![]),
                ("?session_id=a", vec![&done]),
                ("?session_id=b%20%C3%BC%26%3D", vec![&failed]),
                ("?session_id=a&status=completed", vec![&done]),
                ("?session_id=a&status=failed", vec![]),
                ("?session_id=nobody", vec![]),
                (
                    "?status=&session_id=&after=",
                    vec![&queued, &deaf, &running, &stopped, &failed, &done],
                ),
            ] {
                assert_eq!(ids(&list(site, query)), expected, "{query}");
            }
            assert_eq!(ids(&list(site, &format!("?session_id={queued}"))), [&queued]);
        },
    );
}

#[test]
fn pages_of_runs_hold_each_run_once() {
    on_each(|site| {
        let runs: Vec<String> = (0..25).map(|_| site.finish(json!({"input": "done"}))).collect();
        let newest_first: Vec<&String> = runs.iter().rev().collect();
        assert_eq!(ids(&list(site, "")), newest_first[..20], "twenty unless told otherwise");
        for limit in [1, 7, 24, 25, 100] {
            let mut seen: Vec<String> = Vec::new();
            let mut query = format!("?limit={limit}");
            loop {
                let page = list(site, &query);
                assert_eq!(page["limit"], limit);
                let found = ids(&page);
                assert!(found.len() <= limit && !found.is_empty());
                assert_eq!(page["last_id"], *found.last().unwrap());
                seen.extend(found.iter().map(|id| (*id).to_owned()));
                if page["has_more"] == false {
                    break;
                }
                assert_eq!(found.len(), limit);
                // A run that is new belongs to no page behind the first.
                site.finish(json!({"input": "done"}));
                query = format!("?limit={limit}&after={}", found.last().unwrap());
            }
            let ours: Vec<&String> = seen.iter().filter(|id| runs.contains(id)).collect();
            assert_eq!(ours, newest_first, "limit {limit}");
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "limit {limit}");
        }
        let response = runs[3].replace("run_", "resp_");
        let page = list(site, &format!("?after={response}"));
        assert_eq!(ids(&page), [&runs[2], &runs[1], &runs[0]], "a response id will do");
        let none = list(site, &format!("?after={}", runs[0]));
        assert_eq!((&none["data"], &none["has_more"]), (&json!([]), &json!(false)));
        assert_eq!(none["last_id"], Value::Null);
    });
}

#[test]
fn a_list_is_refused_what_makes_no_sense() {
    on_each(|site| {
        site.finish(of_session("s", "say one"));
        for (path, param) in [
            ("/v1/runs?limit=0", "limit"),
            ("/v1/runs?limit=101", "limit"),
            ("/v1/runs?limit=-1", "limit"),
            ("/v1/runs?limit=%2B1", "limit"),
            ("/v1/runs?limit=1.0", "limit"),
            ("/v1/runs?limit=ten", "limit"),
            ("/v1/runs?limit=2&limit=2", "limit"),
            ("/v1/runs?limit=&limit=x", "limit"),
            ("/v1/runs?limit=99999999999999999999999", "limit"),
            ("/v1/runs?status=done", "status"),
            ("/v1/runs?status=Completed", "status"),
            ("/v1/runs?after=s", "after"),
            ("/v1/runs?after=run_12", "after"),
            ("/v1/runs?after=run_00000000000000000000000000000000", "after"),
            ("/v1/runs?session_id=%ff", "session_id"),
            ("/v1/sessions?limit=0", "limit"),
            ("/v1/sessions?limit=x", "limit"),
            ("/api/sessions?offset=-1", "offset"),
            ("/api/sessions/s/messages?limit=0", "limit"),
            ("/api/sessions/s/messages?offset=x", "offset"),
            ("/api/sessions/s/messages?order=newest", "order"),
        ] {
            let reply = site.get(path);
            assert_eq!((reply.status, reply.code()), (400, json!("invalid_parameter")), "{path}");
            assert_eq!(reply.json()["error"]["param"], param, "{path}");
            assert!(reply.json()["error"]["message"].as_str().unwrap().contains(param), "{path}");
        }
    });
}

#[test]
fn a_finished_run_can_be_deleted_and_then_is_nowhere() {
    on_each(|site| {
        let run = site.finish(of_session("s", "say one"));
        let path = format!("/v1/runs/{run}");
        let events = format!("{path}/events");
        assert_eq!(site.get(&events).status, 200);
        let reply = site.delete(&path);
        let deleted = json!({"object": "hermes.run.deleted", "run_id": run, "deleted": true});
        assert_eq!((reply.status, reply.json()), (200, deleted));
        for reply in [site.get(&path), site.get(&events), site.delete(&path), site.stop(&run)] {
            assert_eq!((reply.status, reply.code()), (404, json!("run_not_found")));
        }
        let body = json!({"input": "done", "previous_response_id": run}).to_string();
        assert_eq!(site.ask(common::post("/v1/runs", &body)).status, 404);
        assert_eq!(list(site, "")["data"], json!([]));
        assert_eq!(site.get("/v1/sessions/s").status, 404, "its session has no other run");
    });
}

#[test]
fn a_run_that_has_not_ended_cannot_be_deleted() {
    on_each_with(
        |config| config.max_runs = 1,
        |site| {
            let (working, queued) = (site.run("gate"), site.run("say later"));
            for run in [&working, &queued] {
                let reply = site.delete(&format!("/v1/runs/{run}"));
                assert_eq!((reply.status, reply.code()), (409, json!("run_not_finished")));
            }
            site.gate.open();
            for run in [&working, &queued] {
                site.await_status(run, "completed");
                assert_eq!(site.delete(&format!("/v1/runs/{run}")).status, 200);
            }
        },
    );
}

#[test]
fn readers_of_a_run_that_is_deleted_are_sent_away() {
    on_each(|site| {
        // More than a socket takes, so that a reader who does not read is in the midst of it.
        let run = site.finish(json!({"input": "emit 2000 10000"}));
        let mut reader = site.connect();
        reader.send(get(&format!("/v1/runs/{run}/events")));
        assert_eq!(reader.head().status, 200);
        wait_for("it to be a reader", || (site.counts()["subscribers"] == 1).then_some(()));
        assert_eq!(site.delete(&format!("/v1/runs/{run}")).status, 200);
        assert_eq!(site.counts()["subscribers"], 0);
        reader.await_hang_up();
    });
}

#[test]
fn an_idempotency_key_goes_with_its_run() {
    on_each(|site| {
        let request =
            common::post_with("/v1/runs", "Idempotency-Key: k\r\n", r#"{"input":"done"}"#);
        let first = site.ask(&request).json();
        let run = first["run_id"].as_str().unwrap();
        site.await_end(run);
        assert_eq!(site.ask(&request).json()["replayed"], true);
        assert_eq!(site.delete(&format!("/v1/runs/{run}")).status, 200);
        let again = site.ask(&request).json();
        assert_eq!(again["replayed"], false);
        assert_ne!(again["run_id"], first["run_id"]);
    });
}

fn sessions(site: &Site, query: &str) -> Value {
    let reply = site.get(&format!("/v1/sessions{query}"));
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    reply.json()
}

#[test]
fn sessions_are_listed_the_latest_used_first() {
    on_each(|site| {
        let empty =
            json!({"object": "list", "data": [], "limit": 50, "offset": 0, "has_more": false});
        assert_eq!(sessions(site, ""), empty);
        for session in ["a", "b", "c", "a"] {
            site.finish(of_session(session, &format!("say from {session}")));
        }
        site.finish(json!({"input": "say alone"}));
        let page = sessions(site, "");
        assert_eq!(ids(&page), ["a", "c", "b"], "a run alone is no session that is listed");
        assert_eq!(page, site.get("/api/sessions").json(), "the same under both names");
        let a = &page["data"][0];
        assert_eq!((&a["session_id"], &a["runs"]), (&json!("a"), &json!(2)));
        assert_eq!(a["preview"], "say from a");
        let (started, active) =
            (a["started_at"].as_f64().unwrap(), a["last_active"].as_f64().unwrap());
        assert!(1.6e9 < started && started < active);
        assert_eq!((&a["created_at"], &a["updated_at"]), (&json!(started), &json!(active)));
        assert_eq!(ids(&sessions(site, "?limit=2")), ["a", "c"]);
        assert_eq!(sessions(site, "?limit=2")["has_more"], true);
        let last = sessions(site, "?limit=2&offset=2");
        assert_eq!((ids(&last), &last["has_more"]), (vec!["b"], &json!(false)));
        assert_eq!((&last["limit"], &last["offset"]), (&json!(2), &json!(2)));
        assert_eq!(sessions(site, "?offset=3")["data"], json!([]));
        assert_eq!(sessions(site, "?offset=18446744073709551615")["data"], json!([]));
        assert_eq!(sessions(site, "?limit=200")["limit"], 100, "more than is shown at once");
    });
}

#[test]
fn a_session_is_asked_for_by_its_encoded_id() {
    on_each(|site| {
        for (id, encoded) in [
            ("plain", "plain"),
            ("a/b c?d#e", "a%2Fb%20c%3Fd%23e"),
            ("\u{fc}\u{1f600}%", "%C3%BC%F0%9F%98%80%25"),
            ("a+b&c=d", "a+b&c=d"),
            ("..", "%2e%2E"),
        ] {
            site.finish(of_session(id, "say one"));
            for root in ["/v1/sessions", "/api/sessions"] {
                let page = site.get(&format!("{root}/{encoded}"));
                assert_eq!(page.status, 200, "{id}");
                let page = page.json();
                assert_eq!(page["object"], "hermes.session");
                assert_eq!(page["session"]["id"], id);
                assert_eq!(page["session"], sessions(site, "?limit=1")["data"][0]);
                let messages = site.get(&format!("{root}/{encoded}/messages")).json();
                assert_eq!(messages["session_id"], id);
                assert_eq!(messages["data"].as_array().unwrap().len(), 2);
            }
            let reply = site.delete(&format!("/api/sessions/{encoded}"));
            let deleted = json!({"object": "hermes.session.deleted", "id": id, "deleted": true});
            assert_eq!((reply.status, reply.json()), (200, deleted));
        }
        for path in ["/v1/sessions/%ff", "/v1/sessions/", "/v1/sessions/a/b", "/v1/sessions/%zz"] {
            assert_eq!(
                (site.get(path).status, site.get(path).code()),
                (404, json!("not_found")),
                "{path}"
            );
        }
    });
}

#[test]
fn a_run_without_a_session_is_one_by_itself() {
    on_each(|site| {
        let run = site.finish(json!({"input": "say alone"}));
        let session = site.get(&format!("/v1/sessions/{run}")).json()["session"].clone();
        assert_eq!((&session["id"], &session["runs"]), (&json!(run), &json!(1)));
        let messages = site.get(&format!("/v1/sessions/{run}/messages")).json();
        assert_eq!(messages["data"][1]["content"], "alone");
        site.finish(of_session(&run, "say more"));
        assert_eq!(ids(&sessions(site, "")), [&run], "now that it went on it is listed");
        let messages = site.get(&format!("/v1/sessions/{run}/messages")).json();
        assert_eq!(messages["data"].as_array().unwrap().len(), 4);
        assert_eq!(site.delete(&format!("/v1/sessions/{run}")).status, 200);
        assert_eq!(site.get(&format!("/v1/runs/{run}")).status, 404);
    });
}

fn contents(site: &Site, query: &str) -> (Vec<String>, bool) {
    let page = site.get(&format!("/api/sessions/s/messages{query}")).json();
    let said = page["data"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    let said: Vec<String> = said.map(|it| it["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(page["pagination"]["returned"], said.len());
    (said, page["has_more"].as_bool().unwrap())
}

#[test]
fn messages_come_in_pages_from_either_end_in_the_order_they_were_said() {
    on_each(|site| {
        let inputs: Vec<String> = (0..5).map(|number| format!("say {number}")).collect();
        inputs.iter().for_each(|input| drop(site.finish(of_session("s", input))));
        let all: Vec<String> =
            (0..5).flat_map(|number| [format!("say {number}"), number.to_string()]).collect();
        let part = |range: std::ops::Range<usize>| all[range].to_vec();
        for (query, expected) in [
            ("", (all.clone(), false)),
            ("?limit=10", (all.clone(), false)),
            ("?limit=3", (part(0..3), true)),
            ("?limit=3&order=oldest", (part(0..3), true)),
            ("?limit=3&offset=8", (part(8..10), false)),
            ("?limit=3&offset=7", (part(7..10), false)),
            ("?limit=3&offset=10", (vec![], false)),
            ("?offset=4&order=oldest", (part(4..10), false)),
            ("?limit=3&order=latest", (part(7..10), true)),
            ("?limit=3&offset=3&order=latest", (part(4..7), true)),
            ("?limit=3&offset=9&order=latest", (part(0..1), false)),
            ("?offset=18446744073709551615", (vec![], false)),
            ("?limit=18446744073709551615&order=oldest", (all.clone(), false)),
        ] {
            assert_eq!(contents(site, query), expected, "{query}");
        }
        let page = site.get("/api/sessions/s/messages").json();
        let pagination = json!({"limit": 500, "offset": 0, "order": "latest", "returned": 10});
        assert_eq!(page["pagination"], pagination);
        let first = &page["data"][0];
        assert_eq!((&first["role"], &first["session_id"]), (&json!("user"), &json!("s")));
        assert!(first["run_id"].as_str().unwrap().starts_with("run_"));
        let times = page["data"].as_array().unwrap().iter();
        let times: Vec<f64> = times.map(|it| it["timestamp"].as_f64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] > 1.6e9, "{times:?}");
    });
}

#[test]
fn a_session_with_many_messages_shows_the_latest_unless_a_page_is_asked_for() {
    on_each_store(|shelf: &Shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let history: Vec<Value> =
            (0..600).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
        site.finish(
            json!({"input": "say now", "session_id": "s", "conversation_history": history}),
        );
        let (said, has_more) = contents(&site, "");
        assert_eq!((said.len(), said[0].as_str(), has_more), (500, "102", true));
        let (said, has_more) = contents(&site, "?limit=1000");
        assert_eq!((said.len(), said[0].as_str(), has_more), (500, "0", true));
        site.end();
    });
}

#[test]
fn a_session_that_is_not_there_is_not_found() {
    on_each(|site| {
        site.finish(of_session("there", "say one"));
        let replies: Vec<Reply> = vec![
            site.get("/v1/sessions/gone"),
            site.get("/v1/sessions/gone/messages"),
            site.get("/v1/sessions/ther"),
            site.get("/v1/sessions/There"),
            site.delete("/v1/sessions/gone"),
            site.get(&format!("/v1/sessions/run_{:032x}", 1)),
        ];
        for reply in replies {
            assert_eq!(
                (reply.status, reply.code()),
                (404, json!("session_not_found")),
                "{reply:?}"
            );
        }
        assert_eq!(site.delete("/v1/sessions").status, 405);
        assert_eq!(site.ask(common::post("/v1/sessions/there", "")).status, 405);
    });
}

#[test]
fn a_session_goes_with_all_its_runs_unless_one_of_them_has_not_ended() {
    on_each(|site| {
        let first = site.finish(of_session("s", "say one"));
        let other = site.finish(of_session("other", "say two"));
        let branch =
            json!({"input": "say b", "previous_response_id": first, "session_id": "other"});
        let branch = site.finish(branch);
        let working = site.submit(of_session("s", "gate"));
        let working = working["run_id"].as_str().unwrap();
        let waiting = site.submit(of_session("s", "say later"));
        let waiting = waiting["run_id"].as_str().unwrap();
        let in_use = || {
            let reply = site.delete("/v1/sessions/s");
            assert_eq!((reply.status, reply.code()), (409, json!("session_in_use")));
        };
        in_use();
        site.gate.open();
        site.await_end(waiting);
        assert_eq!(site.delete("/v1/sessions/s").status, 200);
        for run in [first.as_str(), working, waiting] {
            assert_eq!(site.get(&format!("/v1/runs/{run}")).status, 404);
            assert_eq!(site.get(&format!("/v1/runs/{run}/events")).status, 404);
        }
        assert_eq!(ids(&sessions(site, "")), ["other"]);
        assert_eq!(ids(&list(site, "")), [&branch, &other]);
        let messages = site.get("/v1/sessions/other/messages").json();
        assert_eq!(messages["data"].as_array().unwrap().len(), 2, "the branch is left alone");
        site.finish(of_session("s", "say anew"));
        let messages = site.get("/v1/sessions/s/messages").json();
        assert_eq!(messages["data"].as_array().unwrap().len(), 2, "the name is free again");
    });
}

#[test]
fn a_run_of_its_own_that_works_is_a_session_in_use() {
    on_each(|site| {
        let run = site.run("gate");
        site.await_status(&run, "running");
        let reply = site.delete(&format!("/v1/sessions/{run}"));
        assert_eq!((reply.status, reply.code()), (409, json!("session_in_use")));
    });
}

const PATHS: [&str; 5] =
    ["/v1/runs", "/v1/sessions", "/api/sessions", "/v1/sessions/s", "/api/sessions/s/messages"];

#[test]
fn head_tells_of_each_list_what_get_would() {
    on_each(|site| {
        site.finish(of_session("s", "say one"));
        let mut client = site.connect();
        for path in PATHS {
            client.send(get(path));
            let whole = client.reply();
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            let head = client.head();
            let lines = |reply: &Reply| {
                let lines = reply.head.lines().filter(|line| !line.starts_with("Date: "));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(lines(&head), lines(&whole), "{path}");
            assert_eq!(whole.status, 200);
        }
    });
}

#[test]
fn lists_know_their_methods_their_origins_and_their_keys() {
    let change = |config: &mut Config| {
        config.key = Some("a-key-of-some-length".to_owned());
        config.cors_origins = vec!["https://app.example".to_owned()];
    };
    on_each_with(change, |site| {
        let ask = |method: &str, path: &str, headers: &str| {
            site.ask(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
        };
        let key = "Authorization: Bearer a-key-of-some-length\r\n";
        let origin = "Origin: https://app.example\r\n";
        for (path, allow) in [
            ("/v1/runs", "GET, HEAD, POST, OPTIONS"),
            ("/v1/runs/run_1", "GET, HEAD, DELETE, OPTIONS"),
            ("/v1/sessions", "GET, HEAD, OPTIONS"),
            ("/api/sessions/s", "GET, HEAD, DELETE, OPTIONS"),
            ("/api/sessions/s/messages", "GET, HEAD, OPTIONS"),
        ] {
            for headers in ["", "Authorization: Bearer another\r\n"] {
                let reply = ask("GET", path, headers);
                assert_eq!((reply.status, reply.code()), (401, json!("gateway_auth_failed")));
                assert_eq!(ask("DELETE", path, headers).status, 401, "{path}");
            }
            let reply = ask("PUT", path, key);
            assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{path}");
            let preflight = ask("OPTIONS", path, origin);
            assert_eq!((preflight.status, preflight.header("allow")), (200, Some(allow)), "{path}");
            let methods = preflight.header("access-control-allow-methods").unwrap();
            assert!(methods.contains("DELETE"), "{methods}");
            for reply in [ask("GET", path, &format!("{key}{origin}")), ask("GET", path, origin)] {
                let shown_to = reply.header("access-control-allow-origin");
                assert_eq!(shown_to, Some("https://app.example"), "{path}: {}", reply.status);
            }
            let reply = ask("DELETE", path, &format!("{key}Origin: https://evil.example\r\n"));
            assert_eq!((reply.status, reply.code()), (403, json!("origin_not_allowed")));
        }
    });
}
