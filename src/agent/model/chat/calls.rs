//! Tool calls, put together from the fragments they come in.
use crate::agent::model::ToolCall;
use serde_json::Value;

/// Tool calls in one turn.
const CALLS_MAX: usize = 128;

/// The calls of a turn as far as they are known, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Draft>);

#[derive(Debug)]
struct Draft {
    index: Option<u64>,
    call: ToolCall,
}

/// More than `CALLS_MAX` calls.
#[derive(Debug)]
pub(super) struct TooMany;

impl Calls {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one entry of a `tool_calls` list and returns the bytes by which the turn has grown.
    ///
    /// `place` is its place in the list, where that list is whole.
    pub fn add(&mut self, fragment: &Value, place: Option<u64>) -> Result<usize, TooMany> {
        let function = &fragment["function"];
        let index = fragment["index"].as_u64().or(place);
        let id = fragment["id"].as_str().unwrap_or_default();
        let name = function["name"].as_str().unwrap_or_default();
        let arguments = match &function["arguments"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            // Some servers send the object itself.
            value => value.to_string(),
        };
        let call = self.belongs_to(index, id, name)?;
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        // A name may come late or in pieces, or again and again, but never after an argument.
        if call.arguments.is_empty() && call.name != name {
            call.name.push_str(name);
        }
        call.arguments.push_str(&arguments);
        Ok(id.len() + name.len() + arguments.len())
    }

    /// The call a fragment continues, or a new one.
    ///
    /// The index decides. But some servers count every call as the first: under another id than
    /// the call that has begun, it is another call. Without an index, an id or a name begins one.
    fn belongs_to(
        &mut self,
        index: Option<u64>,
        id: &str,
        name: &str,
    ) -> Result<&mut ToolCall, TooMany> {
        let same_id = |call: &ToolCall| id.is_empty() || call.id.is_empty() || call.id == id;
        let found = match index {
            Some(_) => self.0.iter().rposition(|draft| draft.index == index),
            None if id.is_empty() && !name.is_empty() => None,
            None => self.0.len().checked_sub(1),
        };
        let at = match found.filter(|&at| same_id(&self.0[at].call)) {
            Some(at) => at,
            None if self.0.len() == CALLS_MAX => return Err(TooMany),
            None => {
                let (id, name, arguments) = (id.to_owned(), String::new(), String::new());
                self.0.push(Draft { index, call: ToolCall { id, name, arguments } });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at].call)
    }

    /// The calls, each under an id that no other has. `random` is asked where one is missing.
    pub fn finish(self, random: &mut dyn FnMut() -> u64) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.0.len());
        for Draft { mut call, .. } in self.0 {
            while call.id.is_empty() || calls.iter().any(|other| other.id == call.id) {
                call.id = format!("call_{:016x}", random());
            }
            calls.push(call);
        }
        calls
    }
}
