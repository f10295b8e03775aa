//! Other keys, while the server is at work.
use super::Machine;
use super::conn::{Awaits, Conn, Phase};
use crate::config::Key;
use crate::id::ConnId;
use crate::secrets::Secrets;
use crate::wire::Reject;

impl Machine {
    /// Has other keys be in force. Who was let in by a right that is no more is sent away: streams
    /// are cut, and what has not been carried out yet is refused. Runs stay, whoever made them.
    pub(super) fn change_keys(&mut self, keys: Vec<Key>) {
        assert!(!keys.is_empty(), "without any key everyone would be let in");
        self.access.keys.change(&keys, self.now.tick);
        (self.config.key, self.config.keys) = (None, keys);
        self.secrets = self.config.known_secrets();
        let gone = self.conns.iter().filter(|(_, conn)| !self.may_go_on(conn));
        let gone: Vec<ConnId> = gone.map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| self.turn_away(id));
    }

    /// What must be masked from now on.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn may_go_on(&self, conn: &Conn) -> bool {
        let pass = match &conn.phase {
            Phase::Stream(stream) => stream.pass,
            Phase::Feed(feed) => feed.pass,
            Phase::Body(body) => body.admitted.who.pass,
            Phase::Waiting(it) if matches!(it.awaits, Awaits::Answer { .. }) => {
                it.admitted.who.pass
            }
            // What waits for its creation or deletion has been carried out.
            Phase::Waiting(_) | Phase::Head { .. } | Phase::Closing | Phase::Linger { .. } => {
                return true;
            }
        };
        self.access.keys.honours(pass)
    }

    fn turn_away(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(id) else { return };
        match conn.phase {
            Phase::Stream(_) | Phase::Feed(_) => self.close(id),
            _ => {
                let manner = conn.manner();
                self.refuse(id, manner, &Reject::AuthFailed);
            }
        }
    }
}
