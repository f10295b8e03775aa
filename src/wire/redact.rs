//! What a reader is not to see of a run, told from the bytes of its frames.

/// Kinds of events that are left out of a stream, whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redact {
    /// What tools do: `tool.*`, `subagent.*`, and requests for leave unless `decides`.
    pub tools: bool,
    /// What the model thinks: `reasoning.*`.
    pub reasoning: bool,
    /// This reader decides on requests for leave, so it must see them.
    pub decides: bool,
}

impl Redact {
    pub const NOTHING: Redact = Redact { tools: false, reasoning: false, decides: false };

    /// Without run tokens there is nobody from whom anything is left out.
    pub fn is_nothing(self) -> bool {
        !cfg!(feature = "tokens") || !self.tools && !self.reasoning
    }

    /// True if requests for leave are left out: they tell what a tool is about to do.
    pub fn hides_requests(self) -> bool {
        self.tools && !self.decides
    }

    /// True if the event of this JSON is left out. What is no event, such as a comment, is not.
    pub fn hides(self, json: &[u8]) -> bool {
        let Some(name) = json.strip_prefix(b"{\"event\":\"") else { return false };
        let is_tool = name.starts_with(b"tool.") || name.starts_with(b"subagent.");
        let is_request = name.starts_with(b"approval.request\"");
        self.tools && is_tool
            || self.hides_requests() && is_request
            || self.reasoning && name.starts_with(b"reasoning.")
    }

    /// The same of the event in this frame.
    pub fn hides_frame(self, frame: &[u8]) -> bool {
        let data = frame.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        frame[data..].strip_prefix(b"data: ").is_some_and(|json| self.hides(json))
    }

    /// As requests and tokens name it.
    pub fn names(self) -> Vec<&'static str> {
        let names = [(self.tools, "tools"), (self.reasoning, "reasoning")];
        names.into_iter().filter(|(is_hidden, _)| *is_hidden).map(|(_, name)| name).collect()
    }
}
