//! A tool of an embedder's own: the model is told of it, its calls reach it, and it says itself
//! which of them somebody is asked about.
mod agent_support;

use agent_support::{Dir, Scripted, events, job, names, request, results, turn};
use runwire::agent::{Agent, Cancel, Secrets, Tool, ToolAgent};
use runwire::approval::Approve;
use runwire::event::Kind;
use serde_json::{Value, json};

struct Shout(&'static str);

impl Tool for Shout {
    fn name(&self) -> &'static str {
        self.0
    }

    fn description(&self) -> &str {
        "Says it louder."
    }

    fn parameters(&self) -> Value {
        json!({"type": "object", "properties": {"text": {"type": "string"}}})
    }

    fn run(&self, arguments: &Value, _: &Cancel) -> Result<String, String> {
        let text = arguments["text"].as_str().ok_or("`text` is missing.")?;
        Ok(text.to_uppercase())
    }

    fn ask(&self, arguments: &Value) -> Option<String> {
        (arguments["text"] == "fire").then(|| "shout fire".to_owned())
    }
}

/// What a run says whose model calls `shout` once with these arguments.
fn calling(arguments: &str, approve: Approve) -> Vec<Kind> {
    let dir = Dir::new();
    let turns = [Ok(turn("", &[("1", "shout", arguments)])), Ok(turn("done", &[]))];
    let settings = runwire::agent::Settings { approve, ..dir.settings() };
    let agent = ToolAgent::new(Box::new(Scripted::new(turns)), settings).unwrap();
    let agent = agent.with_tool(Box::new(Shout("shout")));
    let job = job(request("go"));
    let asked = arguments.contains("fire") || approve == Approve::Always;
    if asked && approve != Approve::Never {
        // Nobody is there to decide; the run ends, having asked.
        let mut said = Vec::new();
        runwire::agent::live(&agent, &job, &Secrets::default(), &mut |event| {
            if matches!(event.kind, Kind::ApprovalRequest(_)) {
                job.cancel.cancel(runwire::Cause::Stop);
            }
            said.push(event.kind);
        });
        return said;
    }
    events(&agent, &job, &Secrets::default())
}

#[test]
fn a_call_reaches_it_and_its_result_the_model() {
    assert_eq!(results(&calling(r#"{"text": "hello"}"#, Approve::Risky)), [("HELLO", false)]);
}

#[test]
fn what_it_refuses_is_an_error_to_the_model() {
    assert_eq!(results(&calling("{}", Approve::Risky)), [("`text` is missing.", true)]);
    assert_eq!(results(&calling("", Approve::Risky)), [("`text` is missing.", true)]);
}

#[test]
fn arguments_that_are_no_object_never_reach_it() {
    for arguments in ["[1]", "\"text\"", "{\"text\":"] {
        let said = calling(arguments, Approve::Risky);
        let (result, error) = results(&said)[0];
        assert!(error && result.contains("not a JSON object"), "{result}");
    }
}

#[test]
fn it_says_itself_which_calls_are_asked_about() {
    let is_asked =
        |arguments, approve| names(&calling(arguments, approve)).contains(&"approval.request");
    assert!(is_asked(r#"{"text": "fire"}"#, Approve::Risky));
    assert!(!is_asked(r#"{"text": "hello"}"#, Approve::Risky));
    assert!(is_asked(r#"{"text": "hello"}"#, Approve::Always));
    assert!(!is_asked(r#"{"text": "fire"}"#, Approve::Never));
}

#[test]
fn model_and_clients_are_told_of_it() {
    let dir = Dir::new();
    let agent = ToolAgent::new(Box::new(Scripted::new([])), dir.settings()).unwrap();
    assert!(agent.about().toolsets.iter().all(|set| set.name != "custom"));
    let about = agent.with_tool(Box::new(Shout("shout"))).about();
    assert!(about.toolsets.iter().any(|set| set.name == "custom" && set.tools == ["shout"]));
}

#[test]
#[should_panic(expected = "there is a tool `read_file` already")]
fn a_name_that_is_taken_is_refused() {
    let agent = ToolAgent::new(Box::new(Scripted::new([])), Dir::new().settings()).unwrap();
    let _ = agent.with_tool(Box::new(Shout("read_file")));
}

#[test]
#[should_panic(expected = "no name for a tool")]
fn a_name_with_a_space_is_refused() {
    let agent = ToolAgent::new(Box::new(Scripted::new([])), Dir::new().settings()).unwrap();
    let _ = agent.with_tool(Box::new(Shout("a b")));
}
