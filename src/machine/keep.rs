//! The machine's side of the store: what it is told, in batches, and what waits until it has it.
//!
//! A batch is on its way from `Output::Commit` until `Input::Stored` says that the store has it,
//! and, if it holds more than deltas, that it would outlive a loss of power. Then comes to pass what
//! waited for it: events are shown, runs begin, clients are answered. A batch that fails is put
//! together anew with all that came after it, without the runs nobody was promised, and tried again
//! until the store takes it.
use super::log::Place;
use super::note::Note;
use super::run::{Spoken, Taken};
use super::{Machine, Output, Shelf, Timer};
use crate::event::Cause;
use crate::id::{ConnId, HookId, RunKey, RunNo};
use crate::limits::STORE_RETRY_MS;
use crate::record::{Batch, Fault, FaultKind, Outcome, Row, Status, Write};
use crate::time::Wall;
use crate::wire::{Reject, sse};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a row of deltas may grow to within one batch.
const ROW_BYTES_MAX: usize = 64 * 1024;
/// How often each byte that waits for the store may be in memory: here, where a row may have as
/// much room again, and among others in one transaction.
const COPIES: usize = 3;
/// What a batch takes beside its bytes and what its runs are charged with.
const FLIGHT_BYTES: usize = 512;

pub struct Keep {
    pub name: &'static str,
    pub is_durable: bool,
    /// The number of the youngest run.
    last_no: u64,
    /// The batch being put together.
    next: Flight,
    /// Batches on their way, the oldest first.
    flights: VecDeque<Flight>,
    health: Health,
    /// The store has said last that it lives off its reserve.
    is_short: bool,
    /// What came of runs is in batches on their way: bytes of it that the store does not have.
    bytes: usize,
    /// Clients that are to be told of runs which the store does not have yet.
    creating: BTreeMap<RunKey, Vec<ConnId>>,
}

/// A batch, and what comes to pass once the store has it.
#[derive(Debug, Default)]
struct Flight {
    batch: Arc<Batch>,
    marks: Vec<Mark>,
    awaited: Vec<Awaited>,
    bytes: usize,
    is_committed: bool,
}

impl Flight {
    /// The store has all of it: nothing but its number, and what waits for the disk, is needed.
    fn let_go(&mut self) {
        let Batch { number, sync, is_retry, .. } = *self.batch;
        self.batch = Arc::new(Batch { number, sync, is_retry, writes: Vec::new() });
    }
}

/// How far a run may be shown.
#[derive(Debug)]
struct Mark {
    run: RunKey,
    written: Place,
    name: &'static str,
    at: Wall,
}

/// What waits until a batch is on the disk.
#[derive(Debug)]
pub enum Awaited {
    Created(RunKey),
    Begun(RunKey),
    Ended { run: RunKey, status: Status, outcome: Arc<Outcome>, name: &'static str, at: Wall },
    RunDeleted { conn: ConnId, run: RunKey },
    SessionDeleted { conn: ConnId, owner: Arc<str>, session_id: Box<str> },
    Revoked { conn: ConnId },
    Hooked { run: RunKey, id: HookId },
    HookSettled(HookId),
}

#[derive(Debug)]
enum Health {
    Well,
    /// The store took nothing at the last try; what it must take is `next`.
    Failing(Fault),
    /// It is being tried again.
    Trying(Fault),
    /// It takes everything, but from its reserve, which is for last words.
    Short(Fault),
}

impl Keep {
    pub fn new(shelf: &Shelf) -> Keep {
        let mut keep = Keep {
            name: shelf.name,
            is_durable: shelf.is_durable,
            last_no: shelf.recovered.last_no,
            next: Flight::default(),
            flights: VecDeque::new(),
            health: Health::Well,
            is_short: false,
            bytes: 0,
            creating: BTreeMap::new(),
        };
        keep.begin_batch(1);
        keep
    }

    pub fn next_no(&mut self) -> RunNo {
        self.last_no += 1;
        RunNo(self.last_no)
    }

    /// Why the store takes nothing at the moment.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.health {
            Health::Well => None,
            Health::Failing(fault) | Health::Trying(fault) | Health::Short(fault) => Some(fault),
        }
    }

    /// Bytes of events that wait for the store.
    pub fn backlog(&self) -> usize {
        self.bytes
    }

    /// What all that waits for the store is charged with.
    pub fn weight(&self) -> usize {
        COPIES * self.bytes + self.flights.len() * FLIGHT_BYTES
    }

    pub fn check(&self) {
        let waits = self.flights.iter().filter(|flight| !flight.is_committed).chain([&self.next]);
        assert_eq!(self.bytes, waits.map(|flight| flight.bytes).sum::<usize>());
    }

    /// Bytes of events that the store does not have yet.
    pub fn backlog_bytes(&self) -> usize {
        self.bytes
    }

    /// True until the store has taken in this run.
    pub fn is_creating(&self, run: RunKey) -> bool {
        self.creating.contains_key(&run)
    }

    /// Has this client told of the run once the store has taken it in.
    pub fn tell_of(&mut self, run: RunKey, conn: ConnId) {
        self.creating.entry(run).or_default().push(conn);
    }

    /// Writes something that has more weight than a delta; `awaited` waits for it.
    pub fn write(&mut self, write: Write, awaited: Option<Awaited>) {
        let batch = self.batch();
        batch.writes.push(write);
        batch.sync |= awaited.is_some();
        self.next.awaited.extend(awaited);
    }

    /// Writes what a run has said. Returns where that lies in the batch.
    fn say(&mut self, no: RunNo, spoken: Spoken, taken: &Taken, line: &str) -> Spoken {
        self.bytes += line.len();
        self.next.bytes += line.len();
        let mark = self.next.marks.len();
        let batch = self.batch();
        let spoken = if spoken.batch == batch.number {
            spoken
        } else {
            batch.writes.push(Write::Events { no, rows: Vec::new() });
            Spoken { batch: batch.number, write: batch.writes.len() - 1, mark }
        };
        let Some(Write::Events { rows, .. }) = batch.writes.get_mut(spoken.write) else {
            unreachable!("a run's words lie where it was told they would")
        };
        let joins = |row: &&mut Row| {
            row.event == taken.name && is_delta(row.event) && row.lines.len() < ROW_BYTES_MAX
        };
        let row = match rows.last_mut().filter(joins) {
            Some(row) => row,
            None => {
                let (first_seq, event) = (taken.seq, taken.name);
                rows.push(Row {
                    first_seq,
                    last_seq: 0,
                    at: taken.at,
                    event,
                    lines: String::new(),
                });
                rows.last_mut().expect("it was just pushed")
            }
        };
        (row.last_seq, row.at) = (taken.seq, taken.at);
        row.lines.push_str(line);
        row.lines.push('\n');
        spoken
    }

    fn mark(&mut self, spoken: Spoken, mark: Mark) {
        match self.next.marks.get_mut(spoken.mark).filter(|known| known.run == mark.run) {
            Some(known) => *known = mark,
            None => self.next.marks.push(mark),
        }
    }

    /// Writes down a new run, of which clients are told once the store has it.
    pub fn create(&mut self, write: Write, run: RunKey) {
        self.creating.insert(run, Vec::new());
        self.write(write, Some(Awaited::Created(run)));
    }

    /// Has something else wait for what was written last.
    pub fn also_awaits(&mut self, awaited: Awaited) {
        self.next.awaited.push(awaited);
    }

    fn batch(&mut self) -> &mut Batch {
        Arc::get_mut(&mut self.next.batch).expect("a batch is shared once it is complete")
    }

    fn begin_batch(&mut self, number: u64) {
        self.batch().number = number;
    }

    /// The next batch, if the store is to have one now.
    pub fn flush(&mut self) -> Option<Output> {
        let takes = matches!(self.health, Health::Well | Health::Short(_));
        (takes && !self.next.batch.writes.is_empty()).then(|| self.send())
    }

    fn send(&mut self) -> Output {
        let flight = std::mem::take(&mut self.next);
        self.begin_batch(flight.batch.number + 1);
        let batch = flight.batch.clone();
        self.flights.push_back(flight);
        Output::Commit(batch)
    }

    /// True while something is on its way to the store, or is to be.
    pub fn is_busy(&self) -> bool {
        !self.flights.is_empty() || !self.next.batch.writes.is_empty()
    }

    /// Takes back all that the store did not take from batch `number` on: it becomes the next batch.
    /// Returns what waited for it.
    fn take_back(&mut self, number: u64) -> Vec<Awaited> {
        let first = self.flights.partition_point(|flight| flight.batch.number < number);
        let last = std::mem::take(&mut self.next);
        let mut next = Batch { number: last.batch.number + 1, is_retry: true, ..Batch::default() };
        let mut awaited = Vec::new();
        for flight in self.flights.drain(first..).chain([last]) {
            let batch = Arc::unwrap_or_clone(flight.batch);
            next.sync |= batch.sync;
            next.writes.extend(batch.writes);
            self.next.marks.extend(flight.marks);
            self.next.bytes += flight.bytes;
            awaited.extend(flight.awaited);
        }
        self.next.batch = Arc::new(next);
        awaited
    }

    /// Takes out of the next batch all that is about these runs, and all clients had asked to have
    /// deleted.
    fn give_up(&mut self, runs: &[RunNo]) {
        let is_wanted = |write: &Write| match write {
            Write::Create { record, .. } => !runs.contains(&record.no),
            Write::Begin { no, .. } | Write::Events { no, .. } | Write::Finish { no, .. } => {
                !runs.contains(no)
            }
            Write::Hook(delivery) => !runs.contains(&delivery.run),
            Write::Grant(_)
            | Write::Revoke { .. }
            | Write::HookLater { .. }
            | Write::HookDone { .. } => true,
            Write::Delete { .. } | Write::DeleteSession { .. } | Write::Probe => false,
        };
        self.batch().writes.retain(is_wanted);
    }
}

impl Machine {
    /// False while so much waits for the store that agents must.
    pub fn takes_events(&self) -> bool {
        self.keep.backlog() < self.shares.backlog
    }

    /// Takes note of an event that its run has just taken in; its frame is in `scratch`.
    pub(super) fn keep_said(&mut self, run: RunKey, taken: Taken) {
        let record = self.runs.get_mut(run).expect("the caller just used it");
        let is_durable = self.keep.is_durable;
        let Taken { name, at, written, .. } = taken;
        // How a run has ended a store in memory is told by `Write::Finish`.
        if is_durable || taken.end.is_none() && !is_delta(name) {
            let line = sse::json_of(&self.scratch);
            let no = record.record.no;
            let live = record.live_mut();
            live.spoke_in = self.keep.say(no, live.spoke_in, &taken, line);
            let stored_max = live.stored_max;
            if !is_durable {
                record.stored_bytes = stored_max.min(record.stored_bytes + line.len());
            }
        }
        self.hook_said(run, &taken);
        let record = self.runs.get_mut(run).expect("it was there a moment ago");
        match taken.end {
            Some((status, outcome)) => {
                let (no, outcome) = (record.record.no, Arc::new(outcome));
                record.live_mut().ending_bytes = outcome.len();
                let next_seq = written.seq;
                let kept = outcome.clone();
                self.keep.write(
                    Write::Finish { no, status, at, next_seq, outcome: kept },
                    Some(Awaited::Ended { run, status, outcome, name, at }),
                );
            }
            None if is_durable => {
                let spoken = record.live().spoke_in;
                self.keep.mark(spoken, Mark { run, written, name, at });
            }
            None => self.show(run, written, name, at),
        }
    }

    /// The store has this much.
    pub(super) fn stored(&mut self, committed: u64, synced: u64) {
        let mut marks = Vec::new();
        let mut begun = Vec::new();
        let mut is_well_again = false;
        for flight in self.keep.flights.iter_mut().filter(|flight| !flight.is_committed) {
            if flight.batch.number > committed {
                break;
            }
            flight.is_committed = true;
            self.keep.bytes -= flight.bytes;
            marks.append(&mut flight.marks);
            begun.extend(flight.awaited.iter().filter_map(|awaited| match awaited {
                Awaited::Begun(run) => Some(*run),
                _ => None,
            }));
            if flight.batch.is_retry && matches!(self.keep.health, Health::Trying(_)) {
                self.keep.health = Health::Well;
                is_well_again = true;
            }
            flight.let_go();
        }
        if is_well_again && self.keep.is_short {
            // It takes everything again, but had said before it failed that its reserve is gone.
            self.run_short();
        } else if is_well_again {
            self.note(Note::StoreIsWell);
        }
        marks.into_iter().for_each(|mark| self.show(mark.run, mark.written, mark.name, mark.at));
        begun.into_iter().for_each(|run| self.ask_history(run));
        let is_done = |flight: &Flight| {
            flight.is_committed && (!flight.batch.sync || flight.batch.number <= synced)
        };
        while self.keep.flights.front().is_some_and(is_done) {
            let flight = self.keep.flights.pop_front().expect("it was there a moment ago");
            flight.awaited.into_iter().for_each(|awaited| self.comes_to_pass(awaited));
        }
        self.start_next();
        self.drain_on();
    }

    /// What waited for the store may come to pass.
    fn comes_to_pass(&mut self, awaited: Awaited) {
        match awaited {
            Awaited::Created(run) => {
                let clients = self.keep.creating.remove(&run).unwrap_or_default();
                self.announce(run);
                clients.into_iter().for_each(|conn| self.created(conn));
            }
            Awaited::Begun(run) => self.is_begun(run),
            Awaited::Ended { run, status, outcome, name, at } => {
                self.finish(run, status, outcome, name, at);
            }
            Awaited::RunDeleted { conn, run } => self.run_deleted(conn, run),
            Awaited::SessionDeleted { conn, owner, session_id } => {
                self.session_deleted(conn, &owner, &session_id);
            }
            Awaited::Revoked { conn } => self.deleted(conn),
            Awaited::Hooked { id, .. } => self.hooked(id),
            Awaited::HookSettled(id) => self.hook_settled(id),
        }
    }

    /// The store took nothing from batch `number` on. Runs that clients have not been told of are
    /// refused, those at work are ended, and the rest is tried again.
    pub(super) fn unstored(&mut self, number: u64, fault: Fault) {
        let awaited = self.keep.take_back(number);
        let mut refused = Vec::new();
        for awaited in awaited {
            match awaited {
                Awaited::Created(run) => refused.push(run),
                Awaited::RunDeleted { conn, .. }
                | Awaited::SessionDeleted { conn, .. }
                | Awaited::Revoked { conn } => {
                    self.refuse_waiting(conn, &Reject::StoreUnavailable);
                }
                Awaited::Hooked { run, id } if refused.contains(&run) => self.unhooked(id),
                Awaited::Begun(run) | Awaited::Ended { run, .. } if refused.contains(&run) => {}
                awaited => self.keep.next.awaited.push(awaited),
            }
        }
        let numbers = refused.iter().filter_map(|run| Some(self.runs.get(*run)?.record.no));
        let numbers: Vec<RunNo> = numbers.collect();
        self.keep.give_up(&numbers);
        for run in refused {
            let clients = self.keep.creating.remove(&run).unwrap_or_default();
            self.drop_uncreated(run);
            for conn in clients {
                self.refuse_waiting(conn, &Reject::StoreUnavailable);
            }
        }
        self.metrics.store_faults += 1;
        if self.keep.fault().is_none() {
            self.note(Note::StoreFails(fault.message.clone()));
        }
        self.keep.health = Health::Failing(fault);
        self.wheel.insert(self.now.tick.after(STORE_RETRY_MS), Timer::Retry);
        self.cancel_working(Cause::Store);
        self.drain_on();
    }

    /// The store lives off its reserve: runs may still say their last word, and nothing new begins
    /// until it has the reserve back.
    pub(super) fn store_is_short(&mut self, is_short: bool) {
        self.keep.is_short = is_short;
        match (&self.keep.health, is_short) {
            (Health::Well | Health::Trying(_), true) => self.run_short(),
            (Health::Short(_), false) => {
                self.keep.health = Health::Well;
                self.note(Note::StoreIsWell);
                self.start_next();
            }
            _ => {}
        }
    }

    fn run_short(&mut self) {
        let (kind, message) = (FaultKind::Full, SHORT.to_owned());
        self.note(Note::StoreFails(message.clone()));
        self.keep.health = Health::Short(Fault { kind, message });
        self.wheel.insert(self.now.tick.after(STORE_RETRY_MS), Timer::Retry);
        self.cancel_working(Cause::Store);
    }

    /// The store is tried again, with all that waits for it.
    pub(super) fn retry_store(&mut self) {
        match std::mem::replace(&mut self.keep.health, Health::Well) {
            Health::Failing(fault) => self.keep.health = Health::Trying(fault),
            Health::Short(fault) => {
                self.keep.health = Health::Short(fault);
                self.wheel.insert(self.now.tick.after(STORE_RETRY_MS), Timer::Retry);
                return self.keep.write(Write::Probe, None);
            }
            other => {
                self.keep.health = other;
                return;
            }
        }
        if self.keep.next.batch.writes.is_empty() {
            self.keep.batch().writes.push(Write::Probe);
        }
        let output = self.keep.send();
        self.outputs.push_back(output);
    }
}

const SHORT: &str = "The disk is full: the store has given up its reserve. Free some space; new runs \
                     are taken again as soon as there is any.";

/// Deltas are many and small; all other events are steps.
fn is_delta(event: &str) -> bool {
    event.ends_with(".delta")
}
