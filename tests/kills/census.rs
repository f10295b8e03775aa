//! Counts in what state of things servers were killed.
use crate::autopsy::{Autopsy, Left};
use crate::book::Book;
use crate::served::model::LAST_WORD;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Census {
    pub kills: u32,
    /// Kills by what they left. One kill may count for several.
    pub left: BTreeMap<&'static str, u32>,
}

/// What every long enough series of kills must have met.
pub const KINDS: &[&str] = &[
    "a run created and not begun",
    "a run begun and silent",
    "a run within its deltas",
    "a run that has said its last word and not ended",
    "a run within a tool call",
    "a run between two steps",
    "a run that has ended, unseen by its reader",
    "a run that has ended, as its reader saw",
    "a run that was created and promised to nobody",
    "a recovery that was not stored",
    "a recovery that was just stored",
    "a clean-up half done",
];

impl Census {
    /// True once every kind was met.
    pub fn has_all(&self) -> bool {
        KINDS.iter().all(|kind| self.left.get(kind).is_some_and(|count| *count > 0))
    }

    fn count(&mut self, kind: &'static str, is_so: bool) {
        debug_assert!(KINDS.contains(&kind));
        *self.left.entry(kind).or_default() += u32::from(is_so);
    }

    /// Counts a server that was killed while clients worked with it.
    pub fn under_load(&mut self, autopsy: &Autopsy, book: &Book, unpromised: usize) {
        let unfinished: Vec<_> = autopsy.unfinished().map(|(_, left)| left).collect();
        let begun = unfinished.iter().filter(|left| left.has_begun());
        let last: Vec<Option<(String, bool)>> = begun
            .map(|left| {
                let last = autopsy.frames(left).pop()?;
                Some((last.event(), last.text.contains(LAST_WORD)))
            })
            .collect();
        let is_last = |wanted: &[&str], has_said_all: bool| {
            let mut known = last.iter().flatten();
            known.any(|(event, all)| wanted.contains(&event.as_str()) && *all == has_said_all)
        };
        let deltas = ["message.delta", "reasoning.delta"];
        let steps = ["tool.completed", "message.interim", "reasoning.available"];
        self.count("a run created and not begun", unfinished.iter().any(|it| it.is_queued()));
        self.count("a run begun and silent", last.contains(&None));
        self.count("a run within its deltas", is_last(&deltas, false));
        self.count("a run that has said its last word and not ended", is_last(&deltas, true));
        self.count("a run within a tool call", is_last(&["tool.started"], false));
        self.count("a run between two steps", is_last(&steps, false));
        let ended = |is_seen: bool| {
            book.alive().any(|(id, told)| {
                let is_finished = autopsy.runs[id].finished_at.is_some();
                is_finished && told.is_new() && told.has_seen_end() == is_seen
            })
        };
        self.count("a run that has ended, unseen by its reader", ended(false));
        self.count("a run that has ended, as its reader saw", ended(true));
        self.count("a run that was created and promised to nobody", unpromised > 0);
        self.kills += 1;
    }

    /// Counts a server that was killed while it took over what another had left.
    pub fn at_start(&mut self, before: &Autopsy, after: &Autopsy, pid: u32) {
        let begun: Vec<_> = before.unfinished().filter(|(_, left)| left.has_begun()).collect();
        let is_left = begun.iter().any(|(id, _)| after.runs[*id].finished_at.is_none());
        let has_opened = after.opened_by == Some(pid) && !begun.is_empty();
        self.count("a recovery that was not stored", has_opened && is_left);
        self.count("a recovery that was just stored", has_opened && !is_left);
        self.kills += 1;
    }

    /// Counts a server that was killed while it deleted what goes beyond `retain`.
    pub fn in_clean_up(&mut self, before: &Autopsy, after: &Autopsy, retain: usize) {
        let gone = before.runs.keys().filter(|id| !after.runs.contains_key(*id)).count();
        let may_go = |left: &Left| left.key.is_none() && left.finished_at.is_some();
        let is_half = gone > 0 && after.finished() > retain && after.runs.values().any(may_go);
        self.count("a clean-up half done", is_half || after.leftovers > 0);
        self.kills += 1;
    }
}
