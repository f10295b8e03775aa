//! The store as the loop has it: it is given orders, tells how they went, and nobody waits for it.
//!
//! A store without hands does all at once, on the loop's own thread. Any other has three threads:
//! `runwire-store` writes, `runwire-sync` waits for the disk, `runwire-load` reads. What they tell
//! is bounded by what they were asked, so their way to the loop is not, and never holds them up.
//!
//! - All batches that wait are stored as one, up to a bound: what a transaction costs is paid once.
//! - `Input::Stored` rises. Every batch up to `committed` is in the store, every batch up to
//!   `synced` is on the disk; `synced` moves only where a sync was wanted, so whoever wanted none
//!   looks at `committed` alone.
//! - After a fault nothing is taken until a batch that is a retry. `Input::Unstored` names the
//!   first batch that is not in the store; all before it are.
//! - A failed sync is such a fault too: it names the batch after the last one stored, given or not.
//!   What is stored stays so, and is on the disk once a retry is: each retry is synced, whether it
//!   asks for it or not, and until then no sync is tried, since the kernel may have dropped what
//!   it could not write and would call a second try a success.
//! - A store that panics has failed. Its threads go on.
mod keeper;
mod ledger;
mod load;
#[cfg(test)]
mod scripted;
mod store;
mod sync;
#[cfg(test)]
mod tests;

use super::doorbell::Doorbell;
use super::measures::StoreTimes;
use super::workers::STACK_BYTES;
use crate::config::Retain;
use crate::machine::{Asker, Input, Shelf};
use crate::record::{Answer, Batch, Fault, FaultKind, Pruned, Query};
use crate::store::{Hands, Store};
use crate::time::Wall;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use keeper::{Keeper, guarded};
use ledger::Ledger;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub struct Depot {
    way: Way,
    ledger: Ledger,
    times: Arc<StoreTimes>,
}

/// How the store is reached.
enum Way {
    AtOnce { keeper: Keeper, told: VecDeque<News> },
    Threads(Threads),
}

struct Threads {
    orders: Sender<Order>,
    questions: Sender<Question>,
    /// The other end of `questions`, to take back what nobody waits for any more.
    unanswered: Receiver<Question>,
    /// Ends once every thread has let go of the store.
    news: Receiver<News>,
}

/// What the store's thread is told.
enum Order {
    Commit(Arc<Batch>),
    Prune(Retain, Wall),
    /// A sync has failed, which counts as a failed commit.
    Unsynced(Fault),
}

type Question = (Asker, Query);

/// What the store's threads tell.
enum News {
    Committed(u64),
    /// Implies that it is committed.
    Synced(u64),
    Unstored {
        number: u64,
        fault: Fault,
    },
    Unsynced(Fault),
    /// The store has begun, or ceased, to live off its reserve.
    Short(bool),
    Answered {
        asker: Asker,
        answer: Result<Answer, Fault>,
    },
    Pruned(Result<Pruned, Fault>),
}

/// A thread's way to the loop.
#[derive(Clone)]
struct Teller {
    news: Sender<News>,
    doorbell: Arc<Doorbell>,
}

impl Teller {
    fn tell(&self, news: News) {
        // A loop that is gone has nobody left to tell of it.
        if self.news.send(news).is_ok() {
            self.doorbell.ring();
        }
    }
}

impl Depot {
    /// Asks `store` what it holds, and starts its threads if it has hands for them. They ring
    /// `doorbell` when `hear` has something.
    ///
    /// Fails with the store's fault, or if the system has no thread to give.
    pub fn open(
        mut store: Box<dyn Store>,
        doorbell: Arc<Doorbell>,
    ) -> Result<(Depot, Shelf), Fault> {
        let recovered = guarded(|| store.recover())?;
        let shelf = Shelf { name: store.name(), is_durable: store.is_durable(), recovered };
        let hands = guarded(|| store.hands())?;
        let times = Arc::new(StoreTimes::default());
        let keeper = Keeper::new(store, times.clone());
        let way = match hands {
            None => Way::AtOnce { keeper, told: VecDeque::new() },
            Some(hands) => Way::Threads(Threads::start(keeper, hands, doorbell, times.clone())?),
        };
        Ok((Depot { way, ledger: Ledger::default(), times }, shelf))
    }

    /// What the store has taken so far.
    pub fn times(&self) -> &StoreTimes {
        &self.times
    }

    pub fn commit(&mut self, batch: Arc<Batch>) {
        self.ledger.give(&batch);
        match &mut self.way {
            Way::AtOnce { keeper, told } => told.extend(commit_at_once(keeper, &batch)),
            Way::Threads(threads) => threads.order(Order::Commit(batch)),
        }
    }

    pub fn ask(&mut self, asker: Asker, query: Query) {
        match &mut self.way {
            Way::AtOnce { keeper, told } => {
                let answer = keeper.answer(&query);
                told.push_back(News::Answered { asker, answer });
            }
            Way::Threads(threads) => {
                threads.questions.send((asker, query)).expect("`unanswered` is its other end");
            }
        }
    }

    /// With threads it is done once no batch waits.
    pub fn prune(&mut self, retain: Retain, now: Wall) {
        match &mut self.way {
            Way::AtOnce { keeper, told } => {
                told.push_back(News::Pruned(keeper.prune(&retain, now)));
            }
            Way::Threads(threads) => threads.order(Order::Prune(retain, now)),
        }
    }

    /// The next thing to tell the machine. Empty it after the doorbell has rung, and after the
    /// orders of a turn: what is done at once rings no bell.
    pub fn hear(&mut self) -> Option<Input<'static>> {
        let news = match &mut self.way {
            Way::AtOnce { told, .. } => told.pop_front(),
            Way::Threads(threads) => threads.hear(),
        };
        self.ledger.enter(news?)
    }

    /// True if `hear` has something for which no bell rings.
    pub fn has_news(&self) -> bool {
        matches!(&self.way, Way::AtOnce { told, .. } if !told.is_empty())
    }

    /// Returns once all batches are stored, those synced that wished it, and the store is closed.
    ///
    /// Fails if some could not be, or if all this takes longer than `wait`.
    pub fn close(mut self, wait: Duration) -> Result<(), Fault> {
        match self.way {
            Way::AtOnce { told, .. } => self.ledger.enter_all(told),
            Way::Threads(threads) => threads.close(&mut self.ledger, wait)?,
        }
        self.ledger.close()
    }
}

fn commit_at_once(keeper: &mut Keeper, batch: &Batch) -> Option<News> {
    if !keeper.admits(batch) {
        return None;
    }
    let number = batch.number;
    Some(match keeper.commit(batch) {
        Ok(()) => News::Synced(number),
        Err(fault) => News::Unstored { number, fault },
    })
}

impl Threads {
    fn start(
        keeper: Keeper,
        hands: Hands,
        doorbell: Arc<Doorbell>,
        times: Arc<StoreTimes>,
    ) -> Result<Threads, Fault> {
        let (orders, orders_in) = unbounded();
        let (wishes, wishes_in) = unbounded();
        let (questions, unanswered) = unbounded();
        let (news_out, news) = unbounded();
        let teller = Teller { news: news_out, doorbell };
        let (syncing, loading) = (teller.clone(), teller.clone());
        let (questions_in, synced) = (unanswered.clone(), times.clone());
        spawn("runwire-store", move || store::serve(keeper, orders_in, wishes, teller))?;
        spawn("runwire-sync", move || sync::serve(hands.syncer, wishes_in, syncing, &synced))?;
        spawn("runwire-load", move || load::serve(hands.reader, questions_in, loading, &times))?;
        Ok(Threads { orders, questions, unanswered, news })
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the store's thread waits for orders to the end");
    }

    fn hear(&self) -> Option<News> {
        loop {
            match self.news.try_recv().ok()? {
                // Only the store's thread knows which batch comes next. It has no other way to
                // hear of this: with a way from thread to thread neither would ever end.
                News::Unsynced(fault) => self.order(Order::Unsynced(fault)),
                news => return Some(news),
            }
        }
    }

    fn close(self, ledger: &mut Ledger, wait: Duration) -> Result<(), Fault> {
        let Threads { orders, questions, unanswered, news } = self;
        drop((orders, questions));
        unanswered.try_iter().for_each(drop);
        let deadline = Instant::now() + wait;
        loop {
            match news.recv_deadline(deadline) {
                Ok(news) => ledger.enter_all([news]),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(too_slow(wait)),
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    match builder.spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault {
            kind: FaultKind::Other,
            message: format!("The system gives no thread for the store: {error}."),
        }),
    }
}

fn too_slow(wait: Duration) -> Fault {
    let seconds = wait.as_secs_f64();
    let message = format!(
        "The store has not come to an end within {seconds} s, and is left behind: the latest \
         events may be missing from it. Look at how busy its disk is."
    );
    Fault { kind: FaultKind::Other, message }
}
