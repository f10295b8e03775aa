//! The world's store: what it is told, what it tells, and what is left when its process ends.
use crate::agent::Agent;
use crate::depot::News;
use crate::script::{Ask, Hand};
use crate::world::{Stock, World};
use runwire::config::About;
use runwire::id::{ConnId, RunId, RunKey, RunNo};
use runwire::limits::STORE_RETRY_MS;
use runwire::machine::{Asker, Ids, Input, Machine, Shelf};
use runwire::record::{Answer, Batch, Lineage, Query, Recovered, Write};
use runwire::request::{Message, Request};
use runwire::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a world with a durable store remembers of it and of the processes before.
#[derive(Default)]
pub struct Life {
    pub seed: u64,
    /// Some of its agents say very much.
    pub is_loud: bool,
    pub crashes: u64,
    pub faults: u64,
    pub fell_behind: u64,
    /// The machine has been told of a fault, and not yet that it is over.
    pub has_fault: bool,
    /// The last thing it was told about the reserve.
    pub is_short: bool,
    /// The retry that ends the fault.
    pub retry: u64,
    /// What each run that begins was told it goes on with.
    pub histories: BTreeMap<RunKey, Vec<Message>>,
    /// How each run that was written down goes on.
    pub lineages: BTreeMap<RunId, (RunNo, Lineage)>,
    /// Readers that have lost their server: their run, the last event they were shown, and
    /// whether that is lost too.
    pub lost: Vec<(RunId, Option<u64>, bool)>,
}

impl Stock {
    pub fn shelf(&self) -> Shelf {
        match self {
            Stock::Memory(_) => Shelf::default(),
            Stock::Durable(depot) => {
                let recovered: Recovered = depot.committed.recover();
                Shelf { name: "model", is_durable: true, recovered }
            }
        }
    }
}

/// Ids that no process of this world has given out before.
pub fn ids(seed: u64, life: u64) -> Ids {
    let mut id = seed + (life << 40);
    Box::new(move || {
        id += 1;
        u128::from(id) << 64 | u128::from(id)
    })
}

impl World {
    pub fn start(&mut self, run: RunKey, request: &Request) {
        let agent = Agent::new(run, request.run_id, self.durable.is_loud, &mut self.random);
        let working = self.agents.values().map(|agent| agent.id);
        self.book.begins(agent.id, run, working);
        let (_, lineage) = self.durable.lineages[&agent.id];
        let told = self.durable.histories.remove(&run);
        assert_eq!(told.is_some(), lineage != Lineage::Given, "a history nobody asked for");
        if let Some(told) = told {
            assert_eq!(request.history, told, "the agent is told something else");
            self.book.histories += u64::from(!told.is_empty());
        }
        let tenant = self.agents.insert(run, agent);
        assert!(tenant.is_none(), "{run:?} started twice");
    }

    pub fn commit(&mut self, batch: Arc<Batch>) {
        for write in &batch.writes {
            if let Write::HookDone { id } = write {
                assert!(self.mail.posted.contains_key(id), "{id} was forgotten, not delivered");
            }
            if let Write::Create { record, request, .. } = write {
                // Once more where it is tried again.
                self.book.created(record, request);
                self.durable.lineages.insert(record.id, (record.no, record.lineage));
            }
        }
        if batch.is_retry {
            self.durable.retry = batch.number;
        }
        match &mut self.stock {
            Stock::Memory(memory) => {
                memory.commit(&batch).expect("a store in memory takes everything");
                let number = batch.number;
                self.tell(Input::Stored { committed: number, synced: number });
            }
            Stock::Durable(depot) => depot.commit(batch),
        }
    }

    pub fn store_asked(&mut self, asker: Asker, query: Query) {
        match &mut self.stock {
            Stock::Memory(memory) => {
                let answer = memory.answer(&query).expect("a store in memory answers");
                self.store_answers(asker, query, Some(answer));
            }
            Stock::Durable(depot) => {
                if let (Asker::Conn(_), Query::Events { from_seq, .. }) = (asker, &query) {
                    self.durable.fell_behind += u64::from(*from_seq > 0);
                }
                depot.ask(asker, query);
            }
        }
    }

    fn store_answers(&mut self, asker: Asker, query: Query, answer: Option<Answer>) {
        match (asker, &answer) {
            (Asker::Run(run), Some(Answer::History(history))) => {
                self.durable.histories.insert(run, history.messages.clone());
            }
            (Asker::Hooks, _) => {}
            (Asker::Run(run), _) => {
                assert!(answer.is_none() && matches!(query, Query::History { .. }), "{run:?}");
            }
            (Asker::Conn(id), None) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.refusals += 1;
                }
            }
            (Asker::Conn(_), Some(_)) => {}
        }
        self.tell(News::Answered(asker, query, answer).input());
    }

    /// Whatever chance has the store do before a turn ends, and be heard of.
    pub fn store_works(&mut self) {
        let Stock::Durable(depot) = &mut self.stock else { return };
        let random = &mut self.random;
        if !depot.is_sound {
            depot.is_sick = if depot.is_sick { !random.once_in(15) } else { random.once_in(150) };
            depot.is_short = if depot.is_short { !random.once_in(9) } else { random.once_in(150) };
        }
        for _ in 0..random.below(8) {
            depot.may_work(random);
        }
        self.note_pruned();
        for _ in 0..self.random.below(6) {
            self.hear_store();
        }
        if self.durable.is_failing() {
            self.book.failing_at = Some(self.book.turn);
        }
    }

    /// Returns false if it has nothing to tell.
    fn hear_store(&mut self) -> bool {
        let Stock::Durable(depot) = &mut self.stock else { return false };
        let Some(news) = depot.hear() else { return false };
        let life = &mut self.durable;
        match &news {
            News::Stored { committed, .. } => life.has_fault &= *committed < life.retry,
            News::Unstored(_) => {
                (life.has_fault, life.retry) = (true, u64::MAX);
                life.faults += 1;
            }
            News::Short(is_short) => {
                life.is_short = *is_short;
                life.faults += 1;
            }
            News::Pruned(..) | News::Answered(..) | News::Unsynced => {}
        }
        // Before and after: what it does to the machine falls into this turn.
        if self.durable.is_failing() {
            self.book.failing_at = Some(self.book.turn);
        }
        match news {
            News::Answered(asker, query, answer) => self.store_answers(asker, query, answer),
            news => self.tell(news.input()),
        }
        true
    }

    /// What a clean-up has taken may be missed from now on.
    fn note_pruned(&mut self) {
        let Stock::Durable(depot) = &mut self.stock else { return };
        let gone = std::mem::take(&mut depot.gone);
        for record in self.book.runs.values_mut().filter(|record| gone.contains(&record.no)) {
            record.is_doomed = true;
        }
    }

    /// The store does and tells all there is.
    pub fn store_catches_up(&mut self) {
        while let Stock::Durable(depot) = &mut self.stock
            && !depot.is_idle()
        {
            depot.works(&mut self.random);
            self.note_pruned();
            while self.hear_store() {}
        }
    }

    pub fn is_store_idle(&self) -> bool {
        match &self.stock {
            Stock::Memory(_) => true,
            Stock::Durable(depot) => depot.is_idle(),
        }
    }

    pub fn heal(&mut self) {
        if let Stock::Durable(depot) = &mut self.stock {
            (depot.is_sound, depot.is_sick, depot.is_short) = (true, false, false);
        }
    }

    /// Lets the time pass after which the store is tried again. Returns false if it need not be.
    pub fn await_retry(&mut self) -> bool {
        let must = self.durable.is_failing();
        if must {
            self.pass(STORE_RETRY_MS);
        }
        must
    }

    /// What whoever comes after the end must be told all of.
    pub fn lasting(&self) -> Vec<RunId> {
        let ids: Vec<RunId> = match &self.stock {
            Stock::Memory(_) => self.book.runs.keys().copied().collect(),
            Stock::Durable(depot) => {
                depot.committed.runs.values().map(|run| run.record.id).collect()
            }
        };
        ids.into_iter().filter(|id| !self.book.may_be_forgotten(*id)).collect()
    }
}

impl World {
    /// The process is gone, and another one begins with what is left in the store.
    pub fn live_on(&mut self) {
        let closes = self.exited;
        let loses_power = !closes && self.random.once_in(2);
        for id in self.ids() {
            self.lose_client(id);
        }
        let Stock::Durable(depot) = &mut self.stock else {
            unreachable!("only a durable store outlives its process")
        };
        let old = std::mem::take(&mut **depot);
        **depot = old.end(closes, loses_power, &mut self.random);
        self.note_pruned();
        let Stock::Durable(depot) = &mut self.stock else { unreachable!("it was a moment ago") };
        self.book.crashed(&depot.committed, loses_power);
        for (run, after, is_lost) in &mut self.durable.lost {
            let kept = depot.committed.by_id(*run);
            let count = kept.map_or(0, |kept| kept.lines.len() as u64);
            *is_lost |= after.is_some_and(|after| after >= count);
        }
        let life = &mut self.durable;
        (life.has_fault, life.is_short, life.retry) = (false, false, 0);
        life.histories.clear();
        life.crashes += 1;
        self.agents.clear();
        self.mail.flying.clear();
        self.just_ended.clear();
        self.book.draining = false;
        (self.drained_at, self.exited, self.reads_all) = (None, false, false);
        let ids = ids(life.seed, life.crashes);
        let shelf = self.stock.shelf();
        self.machine = Machine::new(self.config.clone(), About::default(), shelf, ids, self.now);
        self.turn();
    }

    /// What was on its way to a client may still reach it.
    fn lose_client(&mut self, id: ConnId) {
        let mut client = self.clients.remove(&id).expect("just listed");
        if self.random.once_in(2) {
            client.read(client.pending.len(), &mut self.book);
        }
        if let Some((run, after)) = client.place() {
            self.durable.lost.push((run, after, false));
        }
    }

    /// A reader that has lost its server comes back.
    pub fn resume(&mut self, hand: &Hand) -> Option<Ask> {
        let (run, after, is_lost) = self.durable.lost.pop()?;
        let is_known = self.book.runs.contains_key(&run);
        is_known.then(|| hand.resume(&self.book, run, after, is_lost))
    }
}

impl Life {
    pub fn is_failing(&self) -> bool {
        self.has_fault || self.is_short
    }
}
