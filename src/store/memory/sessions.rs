//! Sessions: names for what a conversation has come to.
use super::Memory;
use crate::id::{RunId, RunNo};
use crate::record::Record;
use crate::time::Wall;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A session's owner and its id.
pub(super) type SessionName = (Arc<str>, Arc<str>);

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub created: Wall,
    pub updated: Wall,
    pub head: Option<RunNo>,
    /// Never empty.
    pub runs: BTreeSet<RunNo>,
}

impl Memory {
    pub(super) fn join_session(&mut self, record: &Record) {
        // Nobody can have heard of its id.
        if record.is_own_session() {
            return;
        }
        let name: SessionName = (record.owner.clone(), (*record.session_id).into());
        if !self.sessions.contains_key(&name) {
            let session = self.own_session(&name.0, &name.1);
            let session = session.unwrap_or_else(|| Session::new(record.created));
            self.heads.extend(session.head.map(|head| (head, name.clone())));
            self.sessions.insert(name.clone(), session);
        }
        let session = self.sessions.get_mut(&name).expect("it is there or has just been made");
        session.updated = session.updated.max(record.created);
        session.runs.insert(record.no);
    }

    pub(super) fn leave_session(&mut self, no: RunNo, name: &SessionName) {
        let Some(session) = self.sessions.get_mut(name) else { return };
        session.runs.remove(&no);
        if session.runs.is_empty() {
            self.set_head(name, None);
            self.sessions.remove(name);
        }
    }

    /// The session that a run is by itself until another run goes on with it.
    pub(super) fn own_session(&self, owner: &Arc<str>, id: &str) -> Option<Session> {
        let run = self.run_of(owner, RunId::parse(id)?)?;
        let is_meant = *run.record.session_id == *id && run.record.is_own_session();
        is_meant.then(|| Session {
            created: run.record.created,
            updated: run.updated,
            head: run.has_spoken().then_some(run.record.no),
            runs: BTreeSet::from([run.record.no]),
        })
    }

    pub(super) fn sessions_come_to(&self, no: RunNo) -> Vec<SessionName> {
        let first = (no, (Arc::from(""), Arc::from("")));
        let of_run = self.heads.range(first..).take_while(|(head, _)| *head == no);
        of_run.map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn set_head(&mut self, name: &SessionName, head: Option<RunNo>) {
        let session = self.sessions.get_mut(name).expect("only sessions that are there have heads");
        let old = std::mem::replace(&mut session.head, head);
        if let Some(old) = old {
            self.heads.remove(&(old, name.clone()));
        }
        self.heads.extend(head.map(|head| (head, name.clone())));
    }
}

impl Session {
    fn new(created: Wall) -> Session {
        Session { created, updated: created, head: None, runs: BTreeSet::new() }
    }
}
