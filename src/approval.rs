//! What a run may do only with somebody's leave, and the leave.

/// What a run is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub tool: String,
    /// The exact arguments as canonical JSON: a leave holds for these and no others.
    pub arguments: String,
    /// For people: what will be done.
    pub command: String,
    /// For people: why leave is needed, and what else the call may then do.
    pub description: String,
}

/// What somebody has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This once.
    Once,
    /// The same call again in the same session, too.
    Session,
    /// The same call again in any run of the same key, too.
    Always,
    Deny,
}

impl Choice {
    pub const ALL: [Choice; 4] = [Choice::Once, Choice::Session, Choice::Always, Choice::Deny];

    pub fn name(self) -> &'static str {
        match self {
            Choice::Once => "once",
            Choice::Session => "session",
            Choice::Always => "always",
            Choice::Deny => "deny",
        }
    }

    /// A choice as clients write it: by its name, or as one of the synonyms of `once`.
    pub fn parse(name: &str) -> Option<Choice> {
        match name {
            "approve" | "approved" | "allow" => Some(Choice::Once),
            _ => Choice::ALL.into_iter().find(|choice| choice.name() == name),
        }
    }
}

/// Which calls of a run are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approve {
    /// None: each is carried out as far as the sandbox lets it.
    Never,
    /// What may do harm that is hard to undo, or reaches out of the workspace.
    #[default]
    Risky,
    /// Whatever is more than reading a file.
    Always,
}
