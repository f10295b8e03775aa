//! A durable store as the loop has it: three threads that come to their work when chance says so.
//!
//! It keeps the promises of `net/depot.rs` and no others: batches in order and as groups, a fault
//! drops all until a retry, what is synced lags, answers come whenever they come, and what it tells
//! is told in the order in which it happened.
use crate::random::Random;
use crate::store::Content;
use runwire::config::Retain;
use runwire::id::{GrantId, RunNo};
use runwire::machine::{Asker, Input};
use runwire::record::{Answer, Batch, Fault, FaultKind, Pruned, Query};
use runwire::time::Wall;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Default)]
pub struct Depot {
    /// What outlives the process, and what outlives a loss of power; between them lies `unsynced`.
    pub committed: Content,
    synced: Content,
    unsynced: VecDeque<(u64, Change)>,
    orders: VecDeque<Order>,
    questions: Vec<(Asker, Query)>,
    /// Up to which batch a sync is wanted, and whether a retry is among them.
    wish: Option<(u64, bool)>,
    sync_has_failed: bool,
    is_shut: bool,
    was_short: bool,
    committed_number: u64,
    synced_number: u64,
    news: VecDeque<News>,
    /// Runs it has cleaned up of late.
    pub gone: Vec<RunNo>,
    /// Once in how many looks one of its threads does something.
    pub pace: u64,
    /// Nothing fails.
    pub is_sound: bool,
    /// Commits and syncs fail.
    pub is_sick: bool,
    /// It lives off its reserve.
    pub is_short: bool,
}

enum Order {
    Commit(Arc<Batch>),
    Prune(Retain, Wall),
    Unsynced,
}

#[derive(Clone)]
enum Change {
    Batch(Arc<Batch>),
    Gone(Vec<RunNo>),
}

/// What is told, and `Unsynced`, which the loop hands on.
pub enum News {
    Stored { committed: u64, synced: u64 },
    Unstored(u64),
    Unsynced,
    Answered(Asker, Query, Option<Answer>),
    Pruned(Vec<RunNo>, Vec<GrantId>),
    Short(bool),
}

impl News {
    pub fn input(self) -> Input<'static> {
        match self {
            News::Stored { committed, synced } => Input::Stored { committed, synced },
            News::Unstored(number) => Input::Unstored { number, fault: fault() },
            News::Answered(asker, _, answer) => {
                Input::Answered { asker, answer: answer.ok_or_else(fault) }
            }
            News::Pruned(gone, revoked) => {
                let more = gone.len() > 1;
                Input::Pruned(Ok(Pruned { gone, revoked, more }))
            }
            News::Short(is_short) => Input::Short(is_short),
            News::Unsynced => unreachable!("the machine is not told of syncs that failed"),
        }
    }
}

fn fault() -> Fault {
    Fault { kind: FaultKind::Other, message: "The store is sick.".to_owned() }
}

impl Depot {
    /// One that is quick or slow, and may fail or not.
    pub fn new(random: &mut Random) -> Depot {
        let pace = random.pick(&[1, 1, 3, 12]);
        Depot { pace, is_sound: random.once_in(2), ..Depot::default() }
    }

    pub fn commit(&mut self, batch: Arc<Batch>) {
        self.orders.push_back(Order::Commit(batch));
    }

    pub fn ask(&mut self, asker: Asker, query: Query) {
        self.questions.push((asker, query));
    }

    pub fn prune(&mut self, retain: Retain, now: Wall) {
        self.orders.push_back(Order::Prune(retain, now));
    }

    /// The next thing the machine is to be told.
    pub fn hear(&mut self) -> Option<News> {
        while let Some(news) = self.news.pop_front() {
            match news {
                News::Unsynced => self.orders.push_back(Order::Unsynced),
                news => return Some(news),
            }
        }
        None
    }

    /// True if there is nothing to be done and nothing to be told.
    pub fn is_idle(&self) -> bool {
        let asked = self.orders.is_empty() && self.questions.is_empty();
        asked && self.wish.is_none() && self.news.is_empty()
    }

    /// One of its threads may do something.
    pub fn may_work(&mut self, random: &mut Random) {
        if random.once_in(self.pace) {
            self.works(random);
        }
    }

    pub fn works(&mut self, random: &mut Random) {
        match random.below(3) {
            0 => self.write(random),
            1 => self.sync(random),
            _ => self.read(random),
        }
    }

    fn fails(&self, random: &mut Random, of: u64) -> bool {
        !self.is_sound && if self.is_sick { !random.once_in(8) } else { random.once_in(of) }
    }

    fn write(&mut self, random: &mut Random) {
        match self.orders.pop_front() {
            Some(Order::Commit(batch)) => self.write_group(batch, random),
            Some(Order::Prune(retain, now)) => {
                let gone = self.committed.superfluous(retain.runs, now);
                gone.iter().for_each(|no| self.committed.delete(*no));
                let revoked = sweep(&mut self.committed);
                self.change(Change::Gone(gone.clone()));
                self.gone.extend(&gone);
                self.news.push_back(News::Pruned(gone, revoked));
            }
            Some(Order::Unsynced) if !std::mem::replace(&mut self.is_shut, true) => {
                self.news.push_back(News::Unstored(self.committed_number + 1));
            }
            Some(Order::Unsynced) | None => {}
        }
    }

    fn write_group(&mut self, first: Arc<Batch>, random: &mut Random) {
        self.is_shut &= !first.is_retry;
        if self.is_shut {
            return;
        }
        let (number, mut group) = (first.number, vec![first]);
        while let Some(Order::Commit(next)) = self.orders.front()
            && !random.once_in(3)
        {
            group.push(next.clone());
            self.orders.pop_front();
        }
        if self.fails(random, 400) {
            self.is_shut = true;
            return self.news.push_back(News::Unstored(number));
        }
        if std::mem::replace(&mut self.was_short, self.is_short) != self.is_short {
            self.news.push_back(News::Short(self.is_short));
        }
        let wants_sync = group.iter().any(|batch| batch.sync || batch.is_retry);
        let is_retry = group.iter().any(|batch| batch.is_retry);
        for batch in group {
            assert!(batch.number > self.committed_number, "batches out of order");
            self.committed_number = batch.number;
            self.change(Change::Batch(batch));
        }
        self.tell_stored();
        if wants_sync {
            let had_retry = self.wish.is_some_and(|(_, is_retry)| is_retry);
            self.wish = Some((self.committed_number, is_retry || had_retry));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.committed);
        self.unsynced.push_back((self.committed_number, change));
    }

    fn tell_stored(&mut self) {
        let (committed, synced) = (self.committed_number, self.synced_number);
        self.news.push_back(News::Stored { committed, synced });
    }

    fn sync(&mut self, random: &mut Random) {
        let Some((number, is_retry)) = self.wish.take() else { return };
        self.sync_has_failed &= !is_retry;
        if self.sync_has_failed {
            return;
        }
        if self.fails(random, 400) {
            self.sync_has_failed = true;
            return self.news.push_back(News::Unsynced);
        }
        self.synced_number = number;
        while self.unsynced.front().is_some_and(|(of, _)| *of <= number) {
            let (_, change) = self.unsynced.pop_front().expect("it was there a moment ago");
            change.apply(&mut self.synced);
        }
        self.tell_stored();
    }

    fn read(&mut self, random: &mut Random) {
        if self.questions.is_empty() {
            return;
        }
        let (asker, query) = self.questions.swap_remove(random.index(self.questions.len()));
        let is_refused = self.fails(random, 300);
        let answer = (!is_refused).then(|| self.committed.answer(&query));
        self.news.push_back(News::Answered(asker, query, answer));
    }

    /// The process ends: in an orderly way if `closes`, so that all that was given is stored unless
    /// it fails; else wherever its threads are. With the power goes what was not synced, as far as
    /// chance says.
    pub fn end(self, closes: bool, loses_power: bool, random: &mut Random) -> Depot {
        let mut last = self;
        let mut looks = if closes { usize::MAX } else { random.index(4) };
        while looks > 0 && !last.orders.is_empty() {
            last.write(random);
            looks -= 1;
        }
        let mut committed = last.committed;
        if loses_power {
            last.unsynced.truncate(random.index(last.unsynced.len() + 1));
            committed = last.synced;
            last.unsynced.iter().for_each(|(_, change)| change.apply(&mut committed));
        }
        // What the next process finds is on the disk before it shows anything of it.
        Depot {
            synced: committed.clone(),
            committed,
            gone: last.gone,
            pace: last.pace,
            is_sound: last.is_sound,
            ..Depot::default()
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Change::Batch(batch) => content.apply(batch),
            Change::Gone(gone) => {
                gone.iter().for_each(|no| content.delete(*no));
                sweep(content);
            }
        }
    }
}

/// Takes away grants for sessions that have no runs any more.
fn sweep(content: &mut Content) -> Vec<GrantId> {
    let mut gone = Vec::new();
    let Content { runs, grants, .. } = content;
    grants.retain(|grant| {
        let of = |session: &str| runs.values().any(|run| *run.record.session_id == *session);
        let stays = grant.session_id.as_deref().is_none_or(of);
        gone.extend((!stays).then_some(grant.id));
        stays
    });
    gone
}
