//! What is remembered of the leave that was given: for a session, or for all runs of a key.
//!
//! All of it is in memory, since it is asked about within a turn; the store is told of each change
//! and gives back what there was at the next start.
use crate::approval::Choice;
use crate::id::GrantId;
use crate::limits::GRANTS_MAX;
use crate::record::{Grant, Record};
use std::sync::Arc;

pub struct Grants {
    /// The oldest first; at most `GRANTS_MAX` for each owner, and none twice.
    known: Vec<Arc<Grant>>,
}

impl Grants {
    pub fn new(known: Vec<Arc<Grant>>) -> Grants {
        Grants { known }
    }

    /// As what leave was given for this call before, if it was.
    pub fn cover(&self, record: &Record, tool: &str, arguments: &str) -> Option<Choice> {
        let mut grants = self.known.iter();
        let covers = |it: &&Arc<Grant>| {
            it.owner == record.owner
                && it.session_id.as_ref().is_none_or(|id| *id == record.session_id)
                && *it.tool == *tool
                && *it.arguments == *arguments
        };
        let found = grants.find(covers)?;
        Some(if found.session_id.is_some() { Choice::Session } else { Choice::Always })
    }

    /// Returns the grant that must go for this one.
    pub fn add(&mut self, grant: Arc<Grant>) -> Option<GrantId> {
        let count = self.of(&grant.owner).count();
        let oldest = self.of(&grant.owner).next().map(|it| it.id);
        let oldest = oldest.filter(|_| count >= GRANTS_MAX);
        if let Some(id) = oldest {
            self.remove(id);
        }
        self.known.push(grant);
        oldest
    }

    /// Those of one key's name, the oldest first.
    pub fn of(&self, owner: &str) -> impl Iterator<Item = &Arc<Grant>> {
        self.known.iter().filter(move |it| *it.owner == *owner)
    }

    pub fn remove(&mut self, id: GrantId) {
        self.known.retain(|it| it.id != id);
    }

    /// A session is gone.
    pub fn forget_session(&mut self, owner: &str, session_id: &str) {
        self.known.retain(|it| *it.owner != *owner || it.session_id.as_deref() != Some(session_id));
    }

    /// True if anything is remembered for this session.
    pub fn has_session(&self, owner: &str, session_id: &str) -> bool {
        self.of(owner).any(|it| it.session_id.as_deref() == Some(session_id))
    }

    pub fn check(&self) {
        for (index, grant) in self.known.iter().enumerate() {
            assert!(self.of(&grant.owner).count() <= GRANTS_MAX);
            let call = |it: &Grant| (it.session_id.clone(), it.tool.clone(), it.arguments.clone());
            let is_same = |it: &Arc<Grant>| it.owner == grant.owner && call(it) == call(grant);
            assert!(!self.known[..index].iter().any(is_same), "granted twice");
        }
    }
}
