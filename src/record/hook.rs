//! Deliveries to webhooks, as they wait in a store until they are made.
use crate::config::hook_origin;
use crate::id::{HookId, RunNo};
use crate::time::Wall;
use std::time::Duration;

/// What somebody is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same for all tries.
    pub id: HookId,
    pub run: RunNo,
    pub url: Box<str>,
    /// The name of the event.
    pub event: Box<str>,
    /// JSON, of which no text is longer than about `HOOK_TEXT_BYTES_MAX` bytes.
    pub body: Box<str>,
    /// Tries that have failed.
    pub tries: u32,
    /// When it is tried next.
    pub due: Wall,
}

impl Delivery {
    /// Whom it goes to, without what may be secret.
    pub fn origin(&self) -> &str {
        hook_origin(&self.url)
    }

    /// Bytes it holds.
    pub fn len(&self) -> usize {
        size_of::<Delivery>() + self.url.len() + self.event.len() + self.body.len()
    }

    /// Never: it has at least its id.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// What a try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was taken: 2xx.
    Done,
    /// It is not wanted any more: 410.
    Gone,
    /// It must not go to where its address leads.
    Refused,
    Failed {
        /// For the log: a status, or what went wrong.
        why: Box<str>,
        /// How long the other side wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// Deliveries that wait in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HooksPage {
    /// Of each origin the one that is due first, and of these those that are.
    pub deliveries: Vec<Delivery>,
    /// There are others.
    pub more: bool,
}
