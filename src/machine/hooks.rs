//! Webhooks: who is to be told of what, when it is tried, and when it is given up.
//!
//! A delivery is written to the store in the batch of the event it tells of, so that there is
//! neither without the other. Once the store has it, and while its origin has no other on its way,
//! `Output::Deliver` hands it out; `Input::Delivered` tells what came of it, which is written down
//! in turn. A process that ends in between tries again: each delivery is made at least once.
//!
//! In memory is what comes next. A durable store has the rest, and is asked for the first delivery
//! of each origin whenever one is settled; so neither memory nor another origin has to wait for
//! one that takes nothing. The order of deliveries is not promised.
use super::keep::Awaited;
use super::note::{HookFailed, Note};
use super::run::Taken;
use super::{Asker, Machine, Output, Timer};
use crate::config::{Config, Webhook, Webhooks};
use crate::id::{HookId, RunKey};
use crate::limits::{
    HOOK_PAUSE_MS_MAX, HOOKS_BYTES_MAX, HOOKS_FLYING_MAX, HOOKS_LOOK_MS, HOOKS_WAITING_MAX,
};
use crate::record::{Delivered, Delivery, HooksPage, Query, Status, Write};
use crate::time::{Now, Tick, Wall};
use crate::wire::{Reject, sse, webhook};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub struct Hooks {
    settings: Option<Webhooks>,
    known: BTreeMap<HookId, Known>,
    /// What all of them hold.
    bytes: usize,
    /// The store may have others.
    beyond: bool,
    /// Something has changed since it was asked for them.
    is_stale: bool,
    asking: Option<Asking>,
    /// When the wheel will remind us.
    armed: Tick,
    counts: [u64; 5],
}

struct Known {
    delivery: Arc<Delivery>,
    due: Tick,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The store does not have it yet.
    Storing,
    Waiting,
    Flying,
    /// The store does not know yet what came of it.
    Settling {
        is_over: bool,
    },
    /// It is on its way, and nobody wants to know what comes of it.
    Recalled,
}

/// While the store is asked.
#[derive(Default)]
struct Asking {
    /// What has been settled meanwhile: the answer may still tell of it.
    settled: Vec<HookId>,
    /// Deliveries were deleted meanwhile, likewise.
    is_void: bool,
}

/// What became of a delivery, or of a try.
#[derive(Clone, Copy)]
enum Count {
    Delivered,
    Retried,
    Gone,
    Refused,
    GivenUp,
}

pub const COUNTS: [&str; 5] = ["delivered", "retried", "gone", "refused", "given_up"];

impl Hooks {
    pub fn new(config: &Config, is_durable: bool) -> Hooks {
        let settings = config.webhooks.clone().filter(|_| cfg!(feature = "webhooks"));
        let beyond = is_durable && settings.is_some();
        Hooks {
            settings,
            known: BTreeMap::new(),
            bytes: 0,
            beyond,
            is_stale: beyond,
            asking: None,
            armed: Tick(u64::MAX),
            counts: [0; 5],
        }
    }

    pub fn are_on(&self) -> bool {
        self.settings.is_some()
    }

    /// Bytes that all in memory hold.
    pub fn weight(&self) -> usize {
        self.bytes
    }

    /// How many wait in memory, and what became of others in the order of `COUNTS`.
    pub fn counts(&self) -> (usize, [u64; 5]) {
        (self.known.len(), self.counts)
    }

    pub fn is_beyond(&self) -> bool {
        self.beyond
    }

    fn count(&mut self, what: Count) {
        self.counts[what as usize] += 1;
    }

    fn insert(&mut self, delivery: Arc<Delivery>, due: Tick, phase: Phase) {
        self.bytes += delivery.len();
        let known = self.known.insert(delivery.id, Known { delivery, due, phase });
        assert!(known.is_none(), "the source of ids repeats itself");
    }

    fn remove(&mut self, id: HookId) {
        if let Some(known) = self.known.remove(&id) {
            self.bytes -= known.delivery.len();
        }
    }

    fn has_room(&self) -> bool {
        self.known.len() < HOOKS_WAITING_MAX && self.bytes < HOOKS_BYTES_MAX
    }

    fn flying(&self) -> impl Iterator<Item = &Known> {
        let flies = |known: &&Known| matches!(known.phase, Phase::Flying | Phase::Recalled);
        self.known.values().filter(flies)
    }

    fn is_busy(&self, origin: &str) -> bool {
        self.flying().any(|known| known.delivery.origin() == origin)
    }

    /// The next one that may go out now.
    fn next(&self, now: Tick) -> Option<HookId> {
        if self.flying().count() >= HOOKS_FLYING_MAX {
            return None;
        }
        let is_next = |known: &&Known| {
            known.phase == Phase::Waiting
                && known.due <= now
                && !self.is_busy(known.delivery.origin())
        };
        let next = self.known.values().filter(is_next).min_by_key(|known| known.due);
        next.map(|known| known.delivery.id)
    }

    /// Leaves to the store what there is too much of, the last one due first.
    fn shed(&mut self) {
        while self.known.len() > HOOKS_WAITING_MAX || self.bytes > HOOKS_BYTES_MAX {
            let waiting = self.known.values().filter(|known| known.phase == Phase::Waiting);
            let Some(last) = waiting.max_by_key(|known| known.due) else { return };
            let id = last.delivery.id;
            self.remove(id);
            self.beyond = true;
        }
    }

    pub fn check(&self) {
        assert_eq!(
            self.bytes,
            self.known.values().map(|known| known.delivery.len()).sum::<usize>()
        );
        assert!(self.flying().count() <= HOOKS_FLYING_MAX);
        for one in self.flying() {
            let origin = one.delivery.origin();
            let others = self.flying().filter(|known| known.delivery.origin() == origin);
            assert_eq!(others.count(), 1, "two on their way to {origin}");
        }
    }
}

impl Machine {
    /// # Errors
    /// `InvalidWebhook` if the server has none, or none to there.
    pub(super) fn check_webhook(&self, webhook: Option<&Webhook>) -> Result<(), Reject> {
        let Some(webhook) = webhook else { return Ok(()) };
        let settings = self.hooks.settings.as_ref().ok_or(Reject::InvalidWebhook(NONE_HERE))?;
        webhook.check_allowed(settings.allow_private).map_err(Reject::InvalidWebhook)
    }

    /// Writes down who is to be told of what a run has just said; its frame is in `scratch`.
    pub(super) fn hook_said(&mut self, key: RunKey, taken: &Taken) {
        let Some(settings) = &self.hooks.settings else { return };
        let run = self.runs.get(key).expect("the caller just used it");
        let own = run.record.webhook.as_deref();
        let all = settings.all_runs.as_ref();
        let all = all.filter(|all| own.is_none_or(|own| own.url != all.url));
        let wanted = [own, all].into_iter().flatten().filter(|hook| hook.wants(taken.name));
        let urls: Vec<Box<str>> = wanted.map(|hook| hook.url.clone()).collect();
        if urls.is_empty() {
            return;
        }
        let status = taken.end.as_ref().map_or(Status::WaitingForApproval, |(status, _)| *status);
        let (event, session) = (sse::json_of(&self.scratch), &run.record.session_id);
        let body = webhook::body(event, taken.name, run.id(), session, status.name(), taken.at);
        let no = run.record.no;
        for url in urls {
            let delivery = Delivery {
                id: HookId((self.ids)()),
                run: no,
                url,
                event: taken.name.into(),
                body: body.as_str().into(),
                tries: 0,
                due: self.now.wall,
            };
            self.take_hook(key, Arc::new(delivery));
        }
    }

    fn take_hook(&mut self, run: RunKey, delivery: Arc<Delivery>) {
        if !self.keep.is_durable && !self.hooks.has_room() {
            return self.give_hook_up(&delivery, Count::GivenUp, "too many deliveries wait");
        }
        let id = delivery.id;
        self.hooks.insert(delivery.clone(), self.now.tick, Phase::Storing);
        self.keep.write(Write::Hook(delivery), Some(Awaited::Hooked { run, id }));
    }

    /// The store has a delivery.
    pub(super) fn hooked(&mut self, id: HookId) {
        if let Some(known) = self.hooks.known.get_mut(&id) {
            known.phase = Phase::Waiting;
        }
        self.deliver();
    }

    /// The run was refused, and with it what was to be told of it.
    pub(super) fn unhooked(&mut self, id: HookId) {
        self.hooks.remove(id);
    }

    /// Hands out what is due, as far as it may go out, and asks the store for what comes next.
    pub(super) fn deliver(&mut self) {
        while let Some(id) = self.hooks.next(self.now.tick) {
            let known = self.hooks.known.get_mut(&id).expect("it was just found");
            known.phase = Phase::Flying;
            self.outputs.push_back(Output::Deliver(known.delivery.clone()));
        }
        if self.keep.is_durable {
            self.hooks.shed();
        }
        if self.hooks.beyond && self.hooks.is_stale && self.hooks.asking.is_none() {
            self.hooks.is_stale = false;
            self.hooks.asking = Some(Asking::default());
            self.ask(Asker::Hooks, Query::Hooks { limit: HOOKS_WAITING_MAX });
        }
        self.arm_hooks();
    }

    fn arm_hooks(&mut self) {
        let now = self.now.tick;
        let waiting = self.hooks.known.values().filter(|it| it.phase == Phase::Waiting);
        // What is due already waits for another one to be settled.
        let due = waiting.map(|it| it.due).filter(|due| *due > now);
        let look = self.hooks.beyond.then(|| now.after(HOOKS_LOOK_MS));
        if let Some(due) = due.chain(look).min()
            && due < self.hooks.armed
        {
            self.hooks.armed = due;
            self.wheel.insert(due, Timer::Hooks);
        }
    }

    pub(super) fn hooks_due(&mut self) {
        self.hooks.armed = Tick(u64::MAX);
        self.hooks.is_stale |= self.hooks.beyond;
        self.deliver();
    }

    /// A try has come to its end.
    pub(super) fn delivered(&mut self, id: HookId, delivered: Delivered) {
        let Some(known) = self.hooks.known.get(&id) else { return };
        if known.phase == Phase::Recalled {
            self.hooks.remove(id);
            return self.deliver();
        }
        assert_eq!(known.phase, Phase::Flying, "a delivery that was not on its way");
        let delivery = known.delivery.clone();
        let is_over = match delivered {
            Delivered::Done => {
                self.hooks.count(Count::Delivered);
                true
            }
            Delivered::Gone => {
                self.give_hook_up(&delivery, Count::Gone, "410");
                true
            }
            Delivered::Refused => {
                self.give_hook_up(&delivery, Count::Refused, "not a public address");
                true
            }
            Delivered::Failed { why, retry_after } => {
                self.hook_failed(&delivery, &why, retry_after)
            }
        };
        if is_over {
            self.keep.write(Write::HookDone { id }, Some(Awaited::HookSettled(id)));
        }
        let known = self.hooks.known.get_mut(&id).expect("it was just found");
        known.phase = Phase::Settling { is_over };
        self.deliver();
    }

    /// Puts a delivery off. Returns true if it has been put off often enough.
    fn hook_failed(
        &mut self,
        delivery: &Delivery,
        why: &str,
        retry_after: Option<Duration>,
    ) -> bool {
        let settings = self.hooks.settings.as_ref().expect("there are no deliveries without");
        let Some(pause) = settings.retries.get(delivery.tries as usize) else {
            self.give_hook_up(delivery, Count::GivenUp, why);
            return true;
        };
        let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).min(HOOK_PAUSE_MS_MAX);
        let spread = ms * u64::try_from((self.ids)() % 1_000).expect("below a thousand") / 5_000;
        let asked = retry_after.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let ms = (ms + spread).max(asked.min(HOOK_PAUSE_MS_MAX));
        let (id, tries) = (delivery.id, delivery.tries + 1);
        let due = Wall(self.now.wall.0 + ms * 1_000);
        self.hooks.count(Count::Retried);
        self.note_hook(delivery, why, Some(ms));
        let known = self.hooks.known.get_mut(&id).expect("the caller just found it");
        let changed = Arc::make_mut(&mut known.delivery);
        (changed.tries, changed.due) = (tries, due);
        known.due = self.now.tick.after(ms);
        self.keep.write(Write::HookLater { id, tries, due }, Some(Awaited::HookSettled(id)));
        false
    }

    fn give_hook_up(&mut self, delivery: &Delivery, what: Count, why: &str) {
        self.hooks.count(what);
        self.note_hook(delivery, why, None);
    }

    fn note_hook(&mut self, delivery: &Delivery, why: &str, again_ms: Option<u64>) {
        self.note(Note::HookFailed(HookFailed {
            id: delivery.id,
            origin: delivery.origin().into(),
            event: delivery.event.clone(),
            why: why.into(),
            tries: delivery.tries + 1,
            again_ms,
        }));
    }

    /// The store knows what came of a try.
    pub(super) fn hook_settled(&mut self, id: HookId) {
        let Some(known) = self.hooks.known.get_mut(&id) else { return };
        if let Phase::Settling { is_over } = known.phase {
            known.phase = Phase::Waiting;
            if is_over {
                self.hooks.remove(id);
            }
        }
        if let Some(asking) = &mut self.hooks.asking {
            asking.settled.push(id);
        }
        self.hooks.is_stale |= self.hooks.beyond;
        self.deliver();
    }

    /// The store has told of deliveries, or could not.
    pub(super) fn hooks_told(&mut self, page: Option<HooksPage>) {
        let asking = self.hooks.asking.take().expect("it was asked");
        match page.filter(|_| !asking.is_void) {
            Some(page) => {
                self.hooks.beyond = page.more;
                let is_news = |it: &Delivery| {
                    !self.hooks.known.contains_key(&it.id) && !asking.settled.contains(&it.id)
                };
                let news: Vec<Delivery> = page.deliveries.into_iter().filter(is_news).collect();
                for delivery in news {
                    let due = tick_of(delivery.due, self.now);
                    self.hooks.insert(Arc::new(delivery), due, Phase::Waiting);
                }
            }
            // Asked again when the wheel reminds us, or at once.
            None => self.hooks.is_stale |= asking.is_void,
        }
        self.deliver();
    }

    /// The run was deleted, and with it what was to be told of it.
    pub(super) fn recall_hooks_of(&mut self, run: RunKey) {
        let Some(run) = self.runs.get(run) else { return };
        let no = run.record.no;
        let of_run = self.hooks.known.values().filter(|known| known.delivery.run == no);
        let ids: Vec<(HookId, Phase)> = of_run.map(|it| (it.delivery.id, it.phase)).collect();
        for (id, phase) in ids {
            match (phase, self.hooks.known.get_mut(&id)) {
                (Phase::Flying | Phase::Recalled, Some(known)) => known.phase = Phase::Recalled,
                _ => self.hooks.remove(id),
            }
        }
        if let Some(asking) = &mut self.hooks.asking {
            asking.is_void = true;
        }
    }

    /// A session was deleted, of whose runs not all need be known here: what waits is looked up anew.
    pub(super) fn recall_all_hooks(&mut self) {
        if !self.keep.is_durable || !self.hooks.are_on() {
            return;
        }
        let waiting = self.hooks.known.values().filter(|known| known.phase == Phase::Waiting);
        let ids: Vec<HookId> = waiting.map(|known| known.delivery.id).collect();
        ids.into_iter().for_each(|id| self.hooks.remove(id));
        if let Some(asking) = &mut self.hooks.asking {
            asking.is_void = true;
        }
        (self.hooks.beyond, self.hooks.is_stale) = (true, true);
        self.deliver();
    }
}

const NONE_HERE: &str = "is of no use here: this server delivers to none; start it with \
                         --webhook-secret, or leave 'webhook' out";

/// The same moment by the other clock. One that was set back must not put it off for ever.
fn tick_of(due: Wall, now: Now) -> Tick {
    now.tick.after((due.0.saturating_sub(now.wall.0) / 1_000).min(2 * HOOK_PAUSE_MS_MAX))
}
