//! Leave that a run asks for: who is shown it, who gives it, and what is remembered of it.
mod common;

use common::{Reply, Shelf, Site, on_each_store, parts_of_events, post, wait_for};
use runwire::store::Memory;
use runwire::{Agent, Config, Context, Ending, approval::Ask};
use serde_json::{Value, json};
use std::time::Duration;

/// Asks for leave for each word of its input, and says what was decided. `long` asks for what is too
/// long to be remembered, `listen` takes in what it is steered by.
struct Timid;

impl Agent for Timid {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        for word in run.request().input.to_text().split(' ') {
            if word == "listen" {
                let text = run.next_steer()?.unwrap_or_default();
                run.delta(&format!("heard {text} "))?;
                continue;
            }
            let argument = if word == "long" { "x".repeat(5_000) } else { word.to_owned() };
            let choice = run.approve(&Ask {
                tool: "terminal".to_owned(),
                arguments: json!({ "command": argument }).to_string(),
                command: word.to_owned(),
                description: "It writes outside the workspace.".to_owned(),
            })?;
            run.delta(&format!("{word}:{} ", choice.name()))?;
        }
        Ok(())
    }
}

fn serve(shelf: &Shelf) -> Site {
    serve_with(shelf, |_| {})
}

fn serve_with(shelf: &Shelf, change: impl FnOnce(&mut Config)) -> Site {
    Site::with_agent(Timid, common::Gate::default(), shelf.store(), change)
}

fn in_memory(change: impl FnOnce(&mut Config)) -> Site {
    Site::with_agent(Timid, common::Gate::default(), Box::new(Memory::default()), change)
}

/// Submits, and waits until the run waits: its id, and what it asks.
fn waiting(site: &Site, body: Value) -> (String, Value) {
    let run = site.submit(body)["run_id"].as_str().unwrap().to_owned();
    let asks = asked(site, &run);
    (run, asks)
}

fn asked(site: &Site, run: &str) -> Value {
    site.await_status(run, "waiting_for_approval")["approval"].clone()
}

fn decide(site: &Site, run: &str, body: Value) -> Reply {
    site.ask(post(&format!("/v1/runs/{run}/approval"), &body.to_string()))
}

fn choose(site: &Site, run: &str, choice: &str) -> Value {
    let reply = decide(site, run, json!({ "choice": choice }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn refusal(reply: &Reply) -> (u16, Value) {
    (reply.status, reply.code())
}

fn told(site: &Site, run: &str, name: &str) -> Vec<Value> {
    let mut events = parts_of_events(&site.stream(run));
    events.retain(|event| event["event"] == name);
    events
}

fn grants(site: &Site) -> Vec<Value> {
    site.get("/v1/approvals/grants").json()["data"].as_array().unwrap().clone()
}

fn input(text: &str) -> Value {
    json!({ "input": text })
}

fn of_session(session: &str, text: &str) -> Value {
    json!({ "input": text, "session_id": session })
}

#[test]
fn a_run_waits_until_somebody_decides_and_all_are_told() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let (run, approval) = waiting(&site, input("rm"));
        let id = approval["request_id"].as_str().unwrap();
        assert_eq!(id, format!("approval_{}_0", run.trim_start_matches("run_")));
        assert_eq!((&approval["approval_id"], &approval["tool"]), (&json!(id), &json!("terminal")));
        assert_eq!(approval["command"], "rm");
        assert_eq!(approval["description"], "It writes outside the workspace.");
        assert_eq!(approval["choices"], json!(["once", "session", "always", "deny"]));
        assert_eq!(approval["allow_permanent"], true);
        let page = site.status(&run);
        let left = approval["expires_at"].as_f64().unwrap() - page["created_at"].as_f64().unwrap();
        assert!((600.0..610.0).contains(&left), "{left}");
        let reply = decide(&site, &run, json!({"choice": "approve", "request_id": id}));
        assert_eq!(reply.status, 200);
        let expected = json!({"object": "hermes.run.approval_response", "run_id": run,
            "choice": "once", "request_id": id, "resolved": 1});
        assert_eq!(reply.json(), expected);
        let page = site.await_end(&run);
        assert_eq!((&page["output"], &page["approval"]), (&json!("rm:once "), &Value::Null));
        let requests = told(&site, &run, "approval.request");
        assert_eq!((requests.len(), &requests[0]["request_id"]), (1, &json!(id)));
        assert!(requests[0].get("arguments").is_none(), "for the machine alone");
        let responses = told(&site, &run, "approval.responded");
        assert_eq!(responses.len(), 1);
        assert_eq!(responses[0]["seq"], requests[0]["seq"].as_u64().unwrap() + 1);
        assert_eq!(
            (&responses[0]["choice"], &responses[0]["resolved"]),
            (&json!("once"), &json!(1))
        );
        assert!(responses[0].get("expired").is_none());
        site.end();
    });
}

#[test]
fn the_first_answer_wins() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let (run, first) = waiting(&site, input("rm mv"));
        let first = json!({"choice": "deny", "approval_id": first["approval_id"]});
        assert_eq!(decide(&site, &run, first.clone()).status, 200);
        let second = wait_for("the second request", || {
            let approval = &site.status(&run)["approval"];
            (approval["command"] == "mv").then(|| approval["request_id"].clone())
        });
        let late = (409, json!("approval_not_active"));
        assert_eq!(refusal(&decide(&site, &run, first.clone())), late);
        let mut form = first.clone();
        form["all"] = json!("false");
        assert_eq!(refusal(&decide(&site, &run, form.clone())), late, "a string is read too");
        assert_eq!(site.status(&run)["approval"]["request_id"], second, "it still waits");
        form["resolve_all"] = json!(true);
        let reply = decide(&site, &run, form);
        assert_eq!((reply.status, &reply.json()["request_id"]), (200, &second), "whatever waits");
        assert_eq!(site.await_end(&run)["output"], "rm:deny mv:deny ");
        for body in [first, json!({"choice": "once"})] {
            assert_eq!(refusal(&decide(&site, &run, body)), (409, json!("approval_not_pending")));
        }
        assert_eq!(told(&site, &run, "approval.responded").len(), 2);
        site.end();
    });
}

#[test]
fn a_request_nobody_answers_is_denied_in_time() {
    on_each_store(|shelf| {
        let site = serve_with(shelf, |config| config.approval_timeout = Duration::from_millis(30));
        let run = site.run("rm mv");
        assert_eq!(site.await_end(&run)["output"], "rm:deny mv:deny ");
        for response in told(&site, &run, "approval.responded") {
            assert_eq!((&response["choice"], &response["expired"]), (&json!("deny"), &json!(true)));
        }
        site.end();
    });
}

#[test]
fn what_ends_a_run_takes_its_request_away() {
    on_each_store(|shelf| {
        let site = serve_with(shelf, |config| config.budget.wall = Some(Duration::from_secs(1)));
        let (stopped, _) = waiting(&site, input("rm"));
        site.stop(&stopped);
        let (late, _) = waiting(&site, input("rm"));
        for (run, status) in [(&stopped, "cancelled"), (&late, "failed")] {
            let page = site.await_status(run, status);
            assert_eq!(page["approval"], Value::Null);
            assert_eq!(told(&site, run, "approval.request").len(), 1);
            assert_eq!(told(&site, run, "approval.responded").len(), 0);
            let reply = decide(&site, run, json!({"choice": "once"}));
            assert_eq!(refusal(&reply), (409, json!("approval_not_pending")));
        }
        assert_eq!(site.get("/v1/approvals").json()["data"], json!([]));
        site.end();
    });
}

#[test]
fn what_waits_is_listed_the_oldest_first() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let runs = ["rm", "mv", "cp"].map(|word| waiting(&site, of_session(word, word)).0);
        let page = site.get("/v1/approvals").json();
        assert_eq!(page["object"], "list");
        let data = page["data"].as_array().unwrap();
        let listed: Vec<&Value> = data.iter().map(|it| &it["run_id"]).collect();
        assert_eq!(
            listed,
            runs.iter().map(|run| json!(run)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
        for (run, entry) in runs.iter().zip(data) {
            let mut shown = entry.clone();
            let more = ["run_id", "session_id", "created_at"]
                .map(|name| shown.as_object_mut().unwrap().remove(name).unwrap());
            assert_eq!(shown, site.status(run)["approval"]);
            assert_eq!(more[1], shown["command"]);
            assert!(more[2].as_f64().unwrap() < shown["expires_at"].as_f64().unwrap());
        }
        choose(&site, &runs[1], "once");
        assert_eq!(site.get("/v1/approvals").json()["data"].as_array().unwrap().len(), 2);
        let waits = site.get("/v1/runs?status=waiting_for_approval").json();
        assert_eq!(waits["data"].as_array().unwrap().len(), 2);
        site.await_end(&runs[1]);
        let works = site.get("/v1/runs?status=running").json();
        assert_eq!(works["data"], json!([]));
        runs.iter().for_each(|run| drop(site.stop(run)));
        site.end();
    });
}

#[test]
fn an_approval_for_a_session_holds_in_it_and_for_these_arguments_only() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let (first, _) = waiting(&site, of_session("s", "rm rm"));
        choose(&site, &first, "session");
        assert_eq!(site.await_end(&first)["output"], "rm:session rm:session ");
        assert_eq!(told(&site, &first, "approval.request").len(), 1, "asked but once");
        let (other, approval) = waiting(&site, of_session("s", "rm mv"));
        assert_eq!(approval["command"], "mv");
        site.stop(&other);
        let (elsewhere, approval) = waiting(&site, of_session("t", "rm"));
        assert_eq!(approval["command"], "rm");
        site.stop(&elsewhere);
        [other, elsewhere].iter().for_each(|run| drop(site.await_end(run)));
        assert_eq!(grants(&site).len(), 1);
        assert_eq!(grants(&site)[0]["session_id"], "s");
        assert_eq!(site.delete("/v1/sessions/s").status, 200);
        assert_eq!(grants(&site), [] as [Value; 0]);
        let (again, _) = waiting(&site, of_session("s", "rm"));
        site.stop(&again);
        site.end();
    });
}

#[test]
fn an_approval_for_a_session_goes_with_its_last_run() {
    let site = in_memory(|config| config.orphan_ttl = Duration::from_millis(1));
    let (alone, _) = waiting(&site, input("rm"));
    let (named, _) = waiting(&site, of_session("s", "rm"));
    [&alone, &named].iter().for_each(|run| drop(choose(&site, run, "session")));
    wait_for("both to be forgotten", || grants(&site).is_empty().then_some(()));
    site.end();
}

#[test]
fn an_approval_for_always_holds_until_it_is_taken_back() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let (first, _) = waiting(&site, input("rm"));
        choose(&site, &first, "always");
        site.await_end(&first);
        let run = site.run("rm");
        assert_eq!(site.await_end(&run)["output"], "rm:always ");
        assert_eq!(told(&site, &run, "approval.request").len(), 0);
        let known = grants(&site);
        assert_eq!(known.len(), 1);
        assert_eq!(
            (&known[0]["choice"], &known[0]["tool"]),
            (&json!("always"), &json!("terminal"))
        );
        assert_eq!(known[0]["arguments"], "{\"command\":\"rm\"}");
        assert!(known[0].get("session_id").is_none());
        let path = format!("/v1/approvals/grants/{}", known[0]["id"].as_str().unwrap());
        let reply = site.delete(&path);
        assert_eq!((reply.status, &reply.json()["deleted"]), (200, &json!(true)));
        assert_eq!(refusal(&site.delete(&path)), (404, json!("grant_not_found")));
        let (again, _) = waiting(&site, input("rm"));
        site.stop(&again);
        site.end();
    });
}

#[test]
fn a_leave_for_always_comes_after_one_for_the_session() {
    let site = in_memory(|_| {});
    let (run, _) = waiting(&site, of_session("s", "rm"));
    choose(&site, &run, "session");
    site.await_end(&run);
    let (elsewhere, _) = waiting(&site, of_session("t", "rm"));
    choose(&site, &elsewhere, "always");
    assert_eq!(site.await_end(&elsewhere)["output"], "rm:always ");
    assert_eq!(grants(&site).len(), 2);
    site.end();
}

#[test]
fn what_is_too_long_or_secret_is_not_remembered() {
    let site = in_memory(|config| config.secrets = vec!["a-long-enough-secret".to_owned()]);
    for text in ["long", "a-long-enough-secret"] {
        let (run, approval) = waiting(&site, input(text));
        assert_eq!(approval["allow_permanent"], false);
        assert_eq!(approval["choices"], json!(["once", "deny"]));
        for choice in ["session", "always"] {
            let reply = decide(&site, &run, json!({ "choice": choice }));
            assert_eq!(refusal(&reply), (400, json!("invalid_approval_choice")));
            let message = reply.json()["error"]["message"].to_string();
            assert!(message.contains("once or deny"), "{message}");
        }
        choose(&site, &run, "once");
        site.await_end(&run);
    }
    assert_eq!(grants(&site), [] as [Value; 0]);
    site.end();
}

#[test]
fn a_wrong_decision_is_refused_and_changes_nothing() {
    let site = in_memory(|_| {});
    let (run, approval) = waiting(&site, input("rm"));
    let path = format!("/v1/runs/{run}/approval");
    let choice = (400, json!("invalid_approval_choice"));
    for body in [json!({}), json!({"choice": "yes"}), json!({"choice": 1}), json!({"choice": null})]
    {
        assert_eq!(refusal(&decide(&site, &run, body)), choice);
    }
    assert_eq!(refusal(&site.ask(post(&path, ""))), choice);
    let request = (400, json!("invalid_approval_request"));
    for id in [json!("rm"), json!(7), json!("approval_1_0"), json!(["approval"])] {
        let body = json!({"choice": "once", "request_id": id});
        assert_eq!(refusal(&decide(&site, &run, body)), request, "{id}");
    }
    let all = json!({"choice": "once", "all": "perhaps"});
    assert_eq!(refusal(&decide(&site, &run, all)), (400, Value::Null));
    assert_eq!(refusal(&site.ask(post(&path, "[]"))), (400, json!("invalid_body")));
    assert_eq!(refusal(&site.ask(post(&path, "once"))), (400, Value::Null));
    let unknown = "run_00000000000000000000000000000000";
    let reply = decide(&site, unknown, json!({"choice": "once"}));
    assert_eq!(refusal(&reply), (404, json!("run_not_found")));
    assert_eq!(site.status(&run)["approval"], approval);
    site.stop(&run);
    site.end();
}

#[test]
fn a_run_that_waits_can_be_steered() {
    let site = in_memory(|_| {});
    let (run, _) = waiting(&site, input("rm listen"));
    assert_eq!(site.steer(&run, json!({"text": "carefully"})).status, 200);
    choose(&site, &run, "once");
    assert_eq!(site.await_end(&run)["output"], "rm:once heard carefully ");
    site.end();
}

#[test]
fn whoever_interrupts_denies_what_is_asked_and_is_heard_at_once() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let (run, approval) = waiting(&site, input("rm listen"));
        let steer = json!({"text": "leave it", "interrupt": true});
        assert_eq!(site.steer(&run, steer).status, 200);
        let late = decide(&site, &run, json!({"choice": "once"}));
        assert_eq!(refusal(&late), (409, json!("approval_not_pending")));
        assert_eq!(site.await_end(&run)["output"], "rm:deny heard leave it ");
        let told = told(&site, &run, "approval.responded");
        assert_eq!((told.len(), &told[0]["choice"]), (1, &json!("deny")));
        assert_eq!(told[0]["request_id"], approval["request_id"]);
        site.end();
    });
}

#[test]
fn what_is_asked_after_an_interruption_that_was_not_heard_is_denied() {
    let site = in_memory(|_| {});
    let (run, _) = waiting(&site, input("rm mv listen cp"));
    site.steer(&run, json!({"text": "wait", "interrupt": true}));
    let asks = wait_for("the request after it", || {
        let asks = site.status(&run)["approval"].clone();
        (asks["command"] == "cp").then_some(asks)
    });
    assert_eq!(asks["choices"][0], "once");
    choose(&site, &run, "once");
    assert_eq!(site.await_end(&run)["output"], "rm:deny mv:deny heard wait cp:once ");
    site.end();
}

#[test]
fn a_leave_that_lasts_releases_whoever_waits_for_the_same() {
    on_each_store(|shelf| {
        let site = serve(shelf);
        let [first, same, mv, long] =
            ["rm", "rm", "mv", "long"].map(|text| waiting(&site, input(text)).0);
        let (session, _) = waiting(&site, of_session("s", "mv"));
        choose(&site, &first, "always");
        for run in [&first, &same] {
            assert_eq!(site.await_end(run)["output"], "rm:always ");
            assert_eq!(told(&site, run, "approval.responded").len(), 1);
        }
        choose(&site, &session, "session");
        site.await_end(&session);
        let left = site.get("/v1/approvals").json();
        let left = left["data"].as_array().unwrap().iter().map(|it| it["run_id"].clone());
        assert_eq!(left.collect::<Vec<_>>(), [json!(mv), json!(long)]);
        [&mv, &long].iter().for_each(|run| drop(site.stop(run)));
        site.end();
    });
}

#[test]
fn only_the_latest_grants_are_kept() {
    use runwire::limits::GRANTS_MAX;
    let site = in_memory(|_| {});
    let words: Vec<String> = (0..=GRANTS_MAX).map(|number| format!("w{number}")).collect();
    let run = site.run(&words.join(" "));
    for word in &words {
        let id = wait_for("the next request", || {
            let approval = site.status(&run)["approval"].clone();
            (approval["command"] == **word).then(|| approval["request_id"].clone())
        });
        let body = json!({"choice": "always", "request_id": id});
        assert_eq!(decide(&site, &run, body).status, 200);
    }
    site.await_end(&run);
    let known = grants(&site);
    assert_eq!(known.len(), GRANTS_MAX);
    assert_eq!(known[0]["arguments"], "{\"command\":\"w1\"}");
    site.end();
}

#[cfg(feature = "sqlite")]
mod restarts {
    use super::*;

    #[test]
    fn a_request_does_not_outlive_its_server() {
        let shelf = Shelf::durable();
        let site = serve(&shelf);
        let (run, approval) = waiting(&site, input("rm"));
        let crashed = shelf.as_after_a_crash();
        drop(site);
        let site = serve(&crashed);
        let page = site.await_status(&run, "interrupted");
        assert_eq!(page["approval"], Value::Null);
        assert_eq!(told(&site, &run, "approval.request").len(), 1);
        let body = json!({"choice": "once", "request_id": approval["request_id"]});
        assert_eq!(refusal(&decide(&site, &run, body)), (409, json!("approval_not_pending")));
        assert_eq!(site.get("/v1/approvals").json()["data"], json!([]));
        site.end();
    }

    #[test]
    fn what_was_granted_outlives_its_server() {
        let shelf = Shelf::durable();
        let site = serve(&shelf);
        for (text, choice) in [("rm", "always"), ("mv", "session"), ("cp", "always")] {
            let (run, _) = waiting(&site, of_session("s", text));
            choose(&site, &run, choice);
            site.await_end(&run);
        }
        let known = grants(&site);
        let copy = known[2]["id"].as_str().unwrap();
        assert_eq!(site.delete(&format!("/v1/approvals/grants/{copy}")).status, 200);
        let crashed = shelf.as_after_a_crash();
        site.end();
        for shelf in [&shelf, &crashed] {
            let site = serve(shelf);
            assert_eq!(grants(&site), known[..2]);
            let (run, approval) = waiting(&site, of_session("s", "rm mv cp"));
            assert_eq!(approval["command"], "cp", "the others are allowed, it was taken back");
            site.stop(&run);
            site.await_end(&run);
            assert_eq!(site.delete("/v1/sessions/s").status, 200);
            site.end();
            let site = serve(shelf);
            assert_eq!(grants(&site), known[..1], "the session took its grant along");
            site.end();
        }
    }

    #[test]
    fn a_grant_goes_with_the_last_run_of_its_session() {
        let shelf = Shelf::durable();
        let site = serve(&shelf);
        let (run, _) = waiting(&site, of_session("s", "rm"));
        choose(&site, &run, "session");
        site.await_end(&run);
        assert_eq!(site.delete(&format!("/v1/runs/{run}")).status, 200);
        site.end();
        let site = serve(&shelf);
        wait_for("the first clean-up", || grants(&site).is_empty().then_some(()));
        site.end();
        let site = serve(&shelf);
        assert_eq!(grants(&site), [] as [Value; 0]);
        site.end();
    }
}
