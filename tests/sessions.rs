//! Conversations from end to end: clients, the server, the built-in agent, and what its model is
//! shown; the same whatever keeps them.
mod common;

use common::{Client, Parrot, Reply, Shelf, Site, on_each_store, parts_of_events, post_with};
use runwire::agent::model::builtin::Builtin;
use runwire::agent::model::{Entry, Model};
use runwire::agent::{Settings, ToolAgent};
use serde_json::{Value, json};

fn serve(shelf: &Shelf, parrot: &Parrot, context_tokens: usize) -> Site {
    serve_model(shelf, Box::new(parrot.clone()), parrot.gate.clone(), context_tokens)
}

fn serve_model(
    shelf: &Shelf,
    model: Box<dyn Model>,
    gate: common::Gate,
    context_tokens: usize,
) -> Site {
    let workspace = shelf.folder().path("workspace");
    let settings = Settings { workspace, context_tokens, ..Settings::default() };
    let agent = ToolAgent::new(model, settings).unwrap();
    Site::with_agent(agent, gate, shelf.store(), |_| {})
}

/// Runs `test` with each kind of store.
fn on_each(test: impl Fn(&Site, &Parrot)) {
    on_each_store(|shelf| {
        let parrot = Parrot::default();
        let site = serve(shelf, &parrot, 32_768);
        test(&site, &parrot);
        site.end();
    });
}

fn in_session(session: &str, input: &str) -> Value {
    json!({ "input": input, "session_id": session })
}

fn messages(site: &Site, session: &str) -> Vec<Value> {
    let page = site.get(&format!("/api/sessions/{session}/messages")).json();
    page["data"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
}

#[test]
fn a_session_remembers_what_was_said_and_what_tools_were_called() {
    on_each(|site, parrot| {
        site.finish(in_session("s", "say hello there"));
        let run = site.finish(in_session("s", "write the note"));
        let before = parrot.last_shown();
        site.finish(in_session("s", "say again"));
        let shown = parrot.last_shown();
        assert_eq!(shown[..5], before, "what a run was shown is what the next one is told of it");
        let written = format!("It says: {}", result_of(&before[4]));
        assert_eq!(
            parrot.last_heard(),
            [
                "user: say hello there",
                "assistant: hello there",
                "user: write the note",
                "assistant: I write it down. +1",
                &format!("tool: {}", result_of(&before[4])),
                &format!("assistant: {written}"),
                "user: say again",
            ]
        );
        let said = messages(site, "s");
        let roles: Vec<&str> = said.iter().map(|it| it["role"].as_str().unwrap()).collect();
        let expected =
            ["user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant"];
        assert_eq!(roles, expected);
        let call = &said[3]["tool_calls"][0];
        assert_eq!((&call["id"], &call["type"]), (&json!("call-1"), &json!("function")));
        assert_eq!(call["function"]["name"], "write_file");
        let arguments: Value =
            serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({ "path": "note.txt", "content": "the note" }));
        assert_eq!(said[4]["tool_call_id"], "call-1");
        assert_eq!(said[4]["content"], result_of(&before[4]));
        assert_eq!(said[5]["content"], json!(written));
        assert!(said[2..6].iter().all(|it| it["run_id"] == run.as_str()));
    });
}

fn result_of(entry: &Entry) -> &str {
    match entry {
        Entry::Tool { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_builtin_model_knows_what_was_said_before() {
    on_each_store(|shelf| {
        let site = serve_model(shelf, Box::new(Builtin), common::Gate::default(), 32_768);
        site.finish(in_session("s", "write milk to list.txt"));
        site.finish(in_session("other", "write eggs to list.txt"));
        let run = site.finish(in_session("s", "what did I say before?"));
        let output = site.status(&run)["output"].as_str().unwrap().to_owned();
        assert!(output.contains("1. write milk to list.txt\n"), "{output}");
        assert!(!output.contains("eggs"), "{output}");
        let fresh = site.finish(json!({ "input": "what did I say before?" }));
        let output = site.status(&fresh)["output"].as_str().unwrap().to_owned();
        assert!(output.contains("nothing that you said before"), "{output}");
        site.end();
    });
}

#[test]
fn runs_that_go_on_from_the_same_run_are_branches_of_their_own() {
    on_each(|site, parrot| {
        let first = json!({"input": "say one", "session_id": "s", "instructions": "Be brief."});
        let first = site.finish(first);
        let response = first.replace("run_", "resp_");
        let after = |run: &str, input: &str| json!({"input": input, "previous_response_id": run});
        let second = site.finish(after(&first, "say two"));
        site.finish(after(&response, "say three"));
        let one = ["user: say one", "assistant: one"];
        assert_eq!(parrot.last_heard(), [&one[..], &["user: say three"]].concat());
        let fourth = site.finish(after(&second, "say four"));
        let two = ["user: say two", "assistant: two"];
        assert_eq!(parrot.last_heard(), [&one[..], &two, &["user: say four"]].concat());
        assert_eq!(site.status(&fourth)["session_id"], "s", "the session is inherited");
        site.finish(in_session("s", "say five"));
        let four = ["user: say four", "assistant: four"];
        let expected = [&one[..], &two, &four, &["user: say five"]].concat();
        assert_eq!(parrot.last_heard(), expected, "a session goes on with its latest run");
        assert_eq!(site.get("/v1/sessions/s").json()["session"]["runs"], 5);
    });
}

#[test]
fn instructions_are_inherited_from_the_previous_run_but_not_from_the_session() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let body = json!({"input": "say one", "session_id": "s", "instructions": "be brief"});
        let first = site.finish(body);
        let told = |mut body: Value| {
            body["input"] = json!("recall");
            let run = site.finish(body);
            let output = site.status(&run)["output"].as_str().unwrap().to_owned();
            output.rsplit(" | ").nth(1).unwrap().to_owned()
        };
        assert_eq!(told(json!({"previous_response_id": first})), "be brief");
        let other = json!({"previous_response_id": first, "instructions": "be long"});
        assert_eq!(told(other), "be long");
        let empty = json!({"previous_response_id": first, "instructions": ""});
        assert_eq!(told(empty), "be brief", "an empty text counts as not given");
        assert_eq!(told(json!({"session_id": "s"})), "-");
        site.end();
    });
}

#[test]
fn each_history_has_its_rank() {
    on_each(|site, parrot| {
        let first = site.finish(in_session("s", "say one"));
        let told = json!([
            {"role": "user", "content": "told"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "came"},
        ]);
        let listed = json!([
            {"role": "user", "content": "listed"}, {"role": "assistant", "content": "well"},
            {"role": "user", "content": [{"type": "input_text", "text": "say now"}]},
        ]);
        let given = ["user: told", "assistant:  +1", "tool: came", "user: say now"];
        let from_list = ["user: listed", "assistant: well", "user: say now"];
        let stored = ["user: say one", "assistant: one", "user: say now"];
        for (body, expected) in [
            (json!({"conversation_history": told, "previous_response_id": first}), &given[..]),
            (json!({"conversation_history": told, "session_id": "s2"}), &given),
            (json!({"conversation_history": told, "input": listed}), &given),
            (json!({"previous_response_id": first, "input": listed, "session_id": "x"}), &stored),
            (json!({"session_id": "s", "input": listed}), &stored),
            (json!({"session_id": "new", "input": listed}), &from_list),
            (json!({"input": listed}), &from_list),
        ] {
            let mut asked = body.clone();
            if asked.get("input").is_none() {
                asked["input"] = json!("say now");
            }
            site.finish(asked);
            assert_eq!(parrot.last_heard(), expected, "{body}");
        }
        // What a client gave is part of what its session has come to.
        site.finish(in_session("s2", "say later"));
        let expected = [&given[..], &["assistant: now", "user: say later"]].concat();
        assert_eq!(parrot.last_heard(), expected);
        let said = messages(site, "s2");
        assert_eq!((&said[0]["content"], &said[0]["run_id"]), (&json!("told"), &Value::Null));
        assert_eq!(said[1]["tool_calls"], told[1]["tool_calls"], "as it was given");
    });
}

#[test]
fn images_are_remembered_with_the_text_around_them() {
    on_each(|site, parrot| {
        let image = json!({"type": "image_url",
            "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}});
        let parts = json!([{"type": "text", "text": "say seen"}, image]);
        site.finish(json!({"session_id": "s", "input": [{"role": "user", "content": parts}]}));
        let first = parrot.last_shown();
        site.finish(in_session("s", "say again"));
        assert_eq!(parrot.last_shown()[0], first[0]);
        assert_eq!(messages(site, "s")[0]["content"], parts);
    });
}

/// Posts a run with headers, and gives the reply once the run has ended.
fn with_headers(site: &Site, headers: &str, body: Value) -> Reply {
    let reply = site.ask(post_with("/v1/runs", headers, &body.to_string()));
    assert_eq!(reply.status, 202, "{reply:?}");
    site.await_end(reply.json()["run_id"].as_str().unwrap());
    reply
}

#[test]
fn a_session_named_by_a_header_goes_on() {
    on_each(|site, parrot| {
        for (name, header) in
            [("key", "X-Hermes-Session-Key: key\r\n"), ("id", "X-Hermes-Session-Id: id\r\n")]
        {
            let reply = with_headers(site, header, json!({"input": "say one"}));
            let echoed = (name == "key").then_some("key");
            assert_eq!(reply.header("x-hermes-session-key"), echoed);
            with_headers(site, header, json!({"input": "say two"}));
            let expected = ["user: say one", "assistant: one", "user: say two"];
            assert_eq!(parrot.last_heard(), expected);
            let run = site.finish(in_session(name, "say three"));
            assert_eq!(parrot.last_heard().len(), 5, "the body means the same session");
            assert_eq!(site.status(&run)["session_id"], name);
        }
    });
}

#[test]
fn what_is_unknown_starts_a_session_but_is_no_previous_response() {
    on_each(|site, parrot| {
        site.finish(in_session("mine, and nobody's: \u{fc}/?", "say one"));
        assert_eq!(parrot.last_heard(), ["user: say one"]);
        let unknown = format!("run_{:032x}", 7);
        let response = format!("resp_{:032x}", 7);
        for name in [unknown.as_str(), &response, "resp_7", "nonsense"] {
            let body = json!({"input": "say two", "previous_response_id": name});
            let reply = site.ask(common::post("/v1/runs", &body.to_string()));
            assert_eq!((reply.status, reply.code()), (404, json!("previous_response_not_found")));
            let error = &reply.json()["error"];
            assert_eq!(error["param"], "previous_response_id");
            assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        }
        assert_eq!(parrot.turns(), 1, "nothing was begun");
    });
}

#[test]
fn of_one_session_one_run_works_at_a_time() {
    on_each(|site, parrot| {
        let bodies: Vec<Value> =
            ["gate one", "say two", "say three"].map(|input| in_session("s", input)).into();
        // Posted before any is answered, in one stream of bytes.
        let mut client = site.connect();
        let posts = bodies.iter().map(|body| common::post("/v1/runs", &body.to_string()));
        client.send(posts.collect::<String>());
        let runs: Vec<String> =
            (0..3).map(|_| client.reply().json()["run_id"].as_str().unwrap().to_owned()).collect();
        let status = |run: &String| site.status(run)["status"].as_str().unwrap().to_owned();
        let stand: Vec<String> = runs.iter().map(status).collect();
        assert_eq!(stand, ["running", "queued", "queued"]);
        let free = site.finish(in_session("another", "say free"));
        assert_eq!(site.status(&free)["status"], "completed", "another session need not wait");
        assert_eq!(site.status(&runs[1])["status"], "queued");
        parrot.gate.open();
        runs.iter().for_each(|run| drop(site.await_status(run, "completed")));
        let expected = [
            "user: gate one",
            "assistant: one",
            "user: say two",
            "assistant: two",
            "user: say three",
        ];
        assert_eq!(parrot.last_heard(), expected);
        let times: Vec<(f64, f64)> = runs
            .iter()
            .map(|run| {
                let events = parts_of_events(&site.stream(run));
                let at = |event: &Value| event["timestamp"].as_f64().unwrap();
                (at(&events[0]), at(events.last().unwrap()))
            })
            .collect();
        assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
    });
}

#[test]
fn two_clients_at_once_take_their_turns_in_a_session() {
    on_each(|site, parrot| {
        let post = |input: &str| site.submit(in_session("s", input));
        std::thread::scope(|scope| {
            for client in 0..4 {
                scope.spawn(move || (0..5).for_each(|n| drop(post(&format!("say {client}.{n}")))));
            }
        });
        let last = site.finish(in_session("s", "say end"));
        assert_eq!(site.status(&last)["status"], "completed");
        let heard = parrot.last_heard();
        assert_eq!(heard.len(), 41);
        for turn in heard[..40].chunks(2) {
            assert_eq!(turn[0].replace("user: say", "assistant:"), turn[1]);
        }
        for client in 0..4 {
            let own = format!("assistant: {client}.");
            let said: Vec<&str> = heard.iter().filter_map(|it| it.strip_prefix(&own)).collect();
            assert_eq!(said, ["0", "1", "2", "3", "4"], "in the order they were asked for");
        }
    });
}

#[test]
fn a_run_that_waits_for_its_session_can_be_stopped() {
    on_each(|site, parrot| {
        let first = site.submit(in_session("s", "gate one"));
        let second = site.submit(in_session("s", "say two"));
        let second = second["run_id"].as_str().unwrap();
        assert_eq!(site.stop(second).json()["status"], "stopping");
        site.await_status(second, "cancelled");
        parrot.gate.open();
        site.await_status(first["run_id"].as_str().unwrap(), "completed");
        site.finish(in_session("s", "say three"));
        assert_eq!(parrot.last_heard(), ["user: gate one", "assistant: one", "user: say three"]);
    });
}

#[test]
fn a_run_that_failed_before_it_said_anything_leaves_no_trace() {
    on_each(|site, parrot| {
        site.finish(in_session("s", "say one"));
        let failed = site.finish(in_session("s", "fail"));
        assert_eq!(site.status(&failed)["status"], "failed");
        site.finish(in_session("s", "say two"));
        assert_eq!(parrot.last_heard(), ["user: say one", "assistant: one", "user: say two"]);
        let said = messages(site, "s");
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said.iter().all(|message| message["run_id"] != failed.as_str()));
    });
}

#[test]
fn what_a_stopped_run_had_said_is_remembered() {
    on_each(|site, parrot| {
        let run = site.submit(in_session("s", "hold half an answer"));
        let run = run["run_id"].as_str().unwrap();
        let mut reader: Client = site.connect();
        reader.send(common::get(&format!("/v1/runs/{run}/events")));
        reader.head();
        reader.frame();
        assert!(reader.frame().contains("half an answer"));
        site.stop(run);
        site.await_status(run, "cancelled");
        site.finish(in_session("s", "say go on"));
        let expected =
            ["user: hold half an answer", "assistant: half an answer", "user: say go on"];
        assert_eq!(parrot.last_heard(), expected);
    });
}

#[test]
fn a_conversation_too_long_for_the_model_is_cut_between_exchanges() {
    on_each_store(|shelf| {
        let parrot = Parrot::default();
        let site = serve(shelf, &parrot, 3_000);
        for number in 0..12 {
            let long = format!("write {number} {}", "word ".repeat(80));
            site.finish(in_session("s", &long));
        }
        let run = site.finish(in_session("s", "say done"));
        let events = parts_of_events(&site.stream(&run));
        let cut: Vec<&Value> =
            events.iter().filter(|event| event["event"] == "session.truncated").collect();
        assert_eq!(cut.len(), 1, "{events:?}");
        let dropped = cut[0]["dropped_messages"].as_u64().unwrap();
        let shown = parrot.last_shown();
        assert_eq!(dropped as usize + shown.len(), 12 * 4 + 1, "all are accounted for");
        assert!(dropped > 0 && shown.len() > 1);
        for exchange in shown[..shown.len() - 1].chunks(4) {
            let [Entry::User(_), Entry::Assistant { calls, .. }, Entry::Tool { call_id, .. }, last] =
                exchange
            else {
                panic!("{exchange:?} is no whole exchange");
            };
            assert_eq!(calls[0].id, *call_id);
            assert!(matches!(last, Entry::Assistant { calls, .. } if calls.is_empty()));
        }
        let count = messages(&site, "s").len();
        assert_eq!(count, 12 * 4 + 2, "the session itself keeps all");
        site.end();
    });
}
