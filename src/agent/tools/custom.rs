//! Tools of an embedder's own, beside those of the table.
use super::{Need, TABLE, Tools, Widening};
use crate::agent::Cancel;
use crate::agent::model::ToolSpec;
use crate::approval::Approve;
use crate::config::Toolset;
use serde_json::{Map, Value};

/// What an embedder adds to the built-in agent, by `ToolAgent::with_tool`. One value serves all runs.
///
/// It runs in the server's own process, which nothing confines.
pub trait Tool: Send + Sync {
    /// What the model calls it by: 1 to 64 of `A-Z a-z 0-9 _ -`.
    fn name(&self) -> &'static str;

    /// For the model: what it does, and when it is of use.
    fn description(&self) -> &str;

    /// JSON Schema of its arguments, which are an object. It tells the model what to write, and
    /// nobody checks that it does.
    fn parameters(&self) -> Value;

    /// Carries out one call: `Ok` with what came of it, or `Err` with what was wrong and what to
    /// change, both for the model. `arguments` is what the model wrote, known only to be an object.
    ///
    /// It may block for as long as it heeds `cancel`: a run that is told to end waits for it. A
    /// panic fails the run.
    fn run(&self, arguments: &Value, cancel: &Cancel) -> Result<String, String>;

    /// What to ask somebody about, in their words, before this call is carried out; `None`, as
    /// unless it says otherwise, if there is nothing to ask. `Settings::approve` may overrule it.
    fn ask(&self, arguments: &Value) -> Option<String> {
        let _ = arguments;
        None
    }
}

impl Tools {
    /// Panics if another tool has the name, or if it is not one a model can be told of.
    pub(in crate::agent) fn add(&mut self, tool: Box<dyn Tool>) {
        let name = tool.name();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_good = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
        assert!(is_good, "`{name}` is no name for a tool: 1 to 64 of A-Z a-z 0-9 _ -");
        let is_taken = TABLE.iter().any(|tool| tool.name == name);
        assert!(!is_taken && self.find_custom(name).is_none(), "there is a tool `{name}` already");
        self.custom.push(tool);
    }

    pub(super) fn find_custom(&self, name: &str) -> Option<&dyn Tool> {
        self.custom.iter().map(AsRef::as_ref).find(|tool| tool.name() == name)
    }

    pub(super) fn custom_toolset(&self) -> Option<Toolset> {
        (!self.custom.is_empty()).then(|| Toolset {
            name: "custom".to_owned(),
            description: "Tools of the program this server is part of.".to_owned(),
            enabled: true,
            tools: self.custom.iter().map(|tool| tool.name().to_owned()).collect(),
        })
    }
}

pub(super) fn spec(tool: &dyn Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name(),
        description: tool.description().to_owned(),
        parameters: tool.parameters(),
    }
}

/// A call's arguments. No text at all is what some models write where there are none.
pub(super) fn object(arguments: &str) -> Result<Value, String> {
    if arguments.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let parsed = serde_json::from_str(arguments).ok().filter(Value::is_object);
    parsed.ok_or_else(|| "The arguments are not a JSON object. Write them as one.".to_owned())
}

/// Why a call must be asked about; `None` also if it cannot be carried out at all.
pub(super) fn need(tool: &dyn Tool, arguments: &str, approve: Approve) -> Option<Need> {
    let name = tool.name();
    let asked = tool.ask(&object(arguments).ok()?);
    let (command, description) = match (approve, asked) {
        (Approve::Never, _) | (Approve::Risky, None) => return None,
        (_, Some(command)) => (command, format!("The tool {name} asks before it does this.")),
        (Approve::Always, None) => {
            let why = format!("Every call of {name} is asked about (--approve always).");
            (arguments.to_owned(), why)
        }
    };
    Some(Need { command, description, widening: Widening::default() })
}
