//! What can be wrong with a run token, or with asking for one.
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFlaw {
    /// It is not good here, or not any more; says why, behind "it".
    Refused(&'static str),
    /// It does not let its bearer do this; carries the verb it would need, if there is one.
    LacksVerb(Option<&'static str>),
    /// A token cannot be asked for by this field.
    Field(String),
}

impl TokenFlaw {
    pub fn status(&self) -> u16 {
        match self {
            TokenFlaw::Refused(_) => 401,
            TokenFlaw::LacksVerb(_) => 403,
            TokenFlaw::Field(_) => 400,
        }
    }

    pub fn code(&self) -> Option<&'static str> {
        match self {
            TokenFlaw::Refused(_) => Some("gateway_auth_failed"),
            TokenFlaw::LacksVerb(_) => Some("insufficient_scope"),
            TokenFlaw::Field(_) => None,
        }
    }

    pub(super) fn message(&self) -> Cow<'static, str> {
        Cow::Owned(match self {
            TokenFlaw::Refused(why) => format!("Invalid run token: it {why}"),
            TokenFlaw::LacksVerb(Some(verb)) => format!(
                "This run token does not allow it; use one with '{verb}' among its verbs, or a key"
            ),
            TokenFlaw::LacksVerb(None) => {
                return Cow::Borrowed("A run token lets nobody do this; use a key");
            }
            TokenFlaw::Field(name) => format!(
                "Unknown field '{name}': a token is asked for with verbs, lifetime and redact; \
                 leave out anything else"
            ),
        })
    }
}
