//! `GET /`: the page for browsers, a few words in JSON for everyone else.
use super::Machine;
use super::admit::Admitted;
use crate::id::ConnId;
use crate::packed;
use crate::page;
use crate::wire::head::Head;
use crate::wire::reply;

/// What a request wants to see at `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Json,
    Page,
    /// The page, but the client has it.
    PageAgain,
}

impl View {
    pub fn of(head: &Head<'_>) -> View {
        match head.if_none_match {
            _ if !head.accepts_html => View::Json,
            Some(tags) if page::is_known(tags) => View::PageAgain,
            _ => View::Page,
        }
    }
}

impl Machine {
    pub(super) fn index(&mut self, id: ConnId, admitted: &Admitted) {
        let body = match admitted.view {
            View::Json => {
                let json = self.pages.index.clone();
                return self.reply(id, &admitted.manner, 200, &[("Vary", "Accept")], &json);
            }
            View::Page => Some(packed::unpack(page::PACKED)),
            View::PageAgain => None,
        };
        let close = admitted.manner.close || self.is_draining();
        let conn = self.conns.get_mut(id).expect("the caller just used it");
        let meta = reply::Meta { close, ..admitted.manner.meta(&self.date) };
        reply::page(&mut conn.outbox, &meta, page::POLICY, page::ETAG, body.as_deref());
    }
}
