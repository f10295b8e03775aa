//! The depot against a store that ends each call when, and as, a test says.
use super::scripted::Verdict::{Badly, Crash, Well};
use super::scripted::{DEADLINE, Script, Verdict, scripted};
use super::{Depot, Doorbell, Question, Way};
use crate::config::Retain;
use crate::id::{ConnId, Key, RunNo};
use crate::limits::{STORE_GROUP_BYTES_MAX, STORE_GROUP_WRITES_MAX};
use crate::machine::{Asker, Input};
use crate::record::{Batch, Fault, FaultKind, Query, Row, Write};
use crate::time::Wall;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

struct Bench {
    depot: Depot,
    script: Script,
    poll: mio::Poll,
    doorbell: Arc<Doorbell>,
}

impl Bench {
    fn with_hands() -> Bench {
        Bench::open(true)
    }

    fn at_once() -> Bench {
        Bench::open(false)
    }

    fn open(has_hands: bool) -> Bench {
        let (store, script) = scripted(has_hands);
        let (poll, doorbell) = doorbell();
        script.store.send(Well).expect("the store waits for it");
        let (depot, shelf) = Depot::open(store, doorbell.clone()).expect("all went well");
        assert_eq!((shelf.name, shelf.is_durable, shelf.recovered.last_no), ("scripted", true, 7));
        let bench = Bench { depot, script, poll, doorbell };
        bench.await_call("recover");
        bench
    }

    /// Gives a batch of one write.
    fn give(&mut self, number: u64) {
        self.give_as(Batch { number, ..one_write() });
    }

    fn give_as(&mut self, batch: Batch) {
        self.depot.commit(Arc::new(batch));
    }

    fn give_to_sync(&mut self, number: u64) {
        self.give_as(Batch { number, sync: true, ..one_write() });
    }

    fn give_again(&mut self, number: u64) {
        self.give_as(Batch { number, is_retry: true, ..one_write() });
    }

    fn ask(&mut self, slot: u32) {
        let query = Query::Sessions { owner: "".into(), limit: 1, offset: 0 };
        self.depot.ask(asker(slot), query);
    }

    /// Waits for the next call, which must be this one.
    fn await_call(&self, call: &str) {
        assert_eq!(self.script.calls.recv_timeout(DEADLINE).as_deref(), Ok(call));
    }

    fn end_call(&self, call: &str, part: &Sender<Verdict>, verdict: Verdict) {
        self.await_call(call);
        part.send(verdict).expect("the part waits for it");
    }

    fn end_commit(&self, call: &str, verdict: Verdict) {
        self.end_call(call, &self.script.store, verdict);
    }

    fn end_sync(&self, verdict: Verdict) {
        self.end_call("sync", &self.script.syncer, verdict);
    }

    /// Waits for the next news, which must be this.
    fn must_hear(&mut self, word: &str) {
        assert_eq!(self.next_word(), word);
    }

    /// For moments at which every thread waits for the test.
    fn must_hear_no_more(&mut self) {
        assert!(self.depot.hear().is_none());
        assert_eq!(self.script.calls.try_recv(), Err(TryRecvError::Empty));
    }

    /// Sleeps, as the loop does, until there is something to hear.
    fn next_word(&mut self) -> String {
        let mut ready = mio::Events::with_capacity(1);
        loop {
            if let Some(input) = self.depot.hear() {
                return in_words(input);
            }
            self.poll.poll(&mut ready, Some(DEADLINE)).expect("a poll polls");
            assert!(!ready.is_empty(), "waited in vain for news");
            self.doorbell.answer();
        }
    }

    fn unanswered(&self) -> Receiver<Question> {
        let Way::Threads(threads) = &self.depot.way else { panic!("a store with hands") };
        threads.unanswered.clone()
    }

    /// What closing comes to. The store is closed then.
    fn close(self) -> Result<(), Fault> {
        let closed = self.depot.close(DEADLINE);
        assert!(self.script.is_gone());
        closed
    }
}

impl Script {
    fn is_gone(&self) -> bool {
        self.calls.try_recv() == Err(TryRecvError::Disconnected)
    }
}

fn doorbell() -> (mio::Poll, Arc<Doorbell>) {
    let poll = mio::Poll::new().expect("the system gives a poll");
    let doorbell = Doorbell::new(poll.registry(), mio::Token(0)).expect("and a waker");
    (poll, Arc::new(doorbell))
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain");
        thread::yield_now();
    }
}

fn one_write() -> Batch {
    Batch { writes: vec![Write::Probe], ..Batch::default() }
}

fn asker(slot: u32) -> Asker {
    Asker::Conn(ConnId(Key { slot, generation: 0 }))
}

fn in_words(input: Input<'_>) -> String {
    match input {
        Input::Stored { committed, synced } => format!("stored {committed}, synced {synced}"),
        Input::Unstored { number, fault } => format!("unstored {number}: {fault}"),
        Input::Answered { asker: Asker::Conn(id), answer: Ok(_) } => {
            format!("answered {}", id.0.slot)
        }
        Input::Answered { answer: Err(fault), .. } => format!("not answered: {fault}"),
        Input::Pruned(Ok(_)) => "pruned".to_owned(),
        Input::Pruned(Err(fault)) => format!("not pruned: {fault}"),
        other => panic!("{other:?} is not the depot's to tell"),
    }
}

const CRASHED: &str = "The store crashed: as the script says.";

#[test]
fn batches_that_wait_are_stored_as_one() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    (2..=4).for_each(|number| bench.give(number));
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 4, 3 writes", Well);
    bench.must_hear("stored 1, synced 0");
    bench.must_hear("stored 4, synced 0");
    bench.must_hear_no_more();
}

#[test]
fn a_group_is_synced_if_anything_in_it_is_to_be() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    bench.give(2);
    bench.give_to_sync(3);
    bench.give(4);
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 4, 3 writes", Well);
    bench.end_sync(Well);
    for word in ["1, synced 0", "4, synced 0", "4, synced 4"] {
        bench.must_hear(&format!("stored {word}"));
    }
    bench.give(5);
    bench.await_call("commit 5, 1 writes");
    bench.give(6);
    bench.give_again(7);
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 7, 2 writes", Well);
    bench.end_sync(Well);
    for word in ["5, synced 4", "7, synced 4", "7, synced 7"] {
        bench.must_hear(&format!("stored {word}"));
    }
}

#[test]
fn a_batch_that_waits_is_stored_as_it_is_though_its_giver_keeps_it() {
    let mut bench = Bench::with_hands();
    let kept: Vec<_> = (1..=3).map(|number| Arc::new(Batch { number, ..one_write() })).collect();
    kept.iter().for_each(|batch| bench.depot.commit(batch.clone()));
    // The first may have been taken before the second was there.
    let mut last = 0;
    while last < 3 {
        let call = bench.script.calls.recv_timeout(DEADLINE).expect("a commit");
        bench.script.store.send(Well).expect("the store waits for it");
        last = call["commit ".len()..].split(',').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    }
    assert!(kept.iter().zip(1..).all(|(batch, number)| batch.number == number));
    assert!(kept.iter().all(|batch| batch.writes == [Write::Probe]));
}

#[test]
fn a_group_ends_where_one_transaction_would_grow_too_long() {
    let many =
        |number, count| Batch { number, writes: vec![Write::Probe; count], ..Batch::default() };
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    bench.give_as(many(2, STORE_GROUP_WRITES_MAX - 1));
    bench.give(3);
    bench.give(4);
    bench.give_as(many(5, STORE_GROUP_WRITES_MAX * 2));
    bench.give_as(long(6, STORE_GROUP_BYTES_MAX));
    bench.give_as(long(7, 1));
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 3, 1000 writes", Well);
    bench.end_commit("commit 4, 1 writes", Well);
    bench.end_commit("commit 5, 2000 writes", Well);
    bench.end_commit("commit 6, 1 writes", Well);
    bench.end_commit("commit 7, 1 writes", Well);
    for number in [1, 3, 4, 5, 6, 7] {
        bench.must_hear(&format!("stored {number}, synced 0"));
    }
}

fn long(number: u64, bytes: usize) -> Batch {
    let lines = "x".repeat(bytes);
    let row = Row { first_seq: 0, last_seq: 0, at: Wall(0), event: "message.delta", lines };
    Batch {
        number,
        writes: vec![Write::Events { no: RunNo(1), rows: vec![row] }],
        ..Batch::default()
    }
}

#[test]
fn after_a_fault_every_batch_is_dropped_until_a_retry() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    bench.give_to_sync(2);
    bench.give(3);
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 3, 2 writes", Badly);
    bench.must_hear("stored 1, synced 0");
    bench.must_hear("unstored 2: The disk is full.");
    bench.give_to_sync(4);
    bench.give_again(5);
    bench.end_commit("commit 5, 1 writes", Badly);
    bench.must_hear("unstored 5: The disk is full.");
    bench.give(6);
    bench.give_again(7);
    bench.end_commit("commit 7, 1 writes", Well);
    bench.end_sync(Well);
    bench.must_hear("stored 7, synced 0");
    bench.must_hear("stored 7, synced 7");
    bench.give(8);
    bench.end_commit("commit 8, 1 writes", Well);
    bench.must_hear("stored 8, synced 7");
    bench.must_hear_no_more();
}

#[test]
fn one_sync_serves_all_who_wait_for_it_and_holds_up_nobody_else() {
    let mut bench = Bench::with_hands();
    bench.give_to_sync(1);
    bench.end_commit("commit 1, 1 writes", Well);
    bench.await_call("sync");
    for number in 2..=5 {
        if number < 5 {
            bench.give_to_sync(number)
        } else {
            bench.give(number)
        }
        bench.end_commit(&format!("commit {number}, 1 writes"), Well);
    }
    for number in 1..=5 {
        bench.must_hear(&format!("stored {number}, synced 0"));
    }
    bench.script.syncer.send(Well).expect("the syncer waits for it");
    bench.must_hear("stored 5, synced 1");
    bench.end_sync(Well);
    bench.must_hear("stored 5, synced 4");
    bench.must_hear_no_more();
}

#[test]
fn a_failed_sync_is_a_fault_after_the_last_batch_stored() {
    let mut bench = Bench::with_hands();
    bench.give_to_sync(1);
    bench.end_commit("commit 1, 1 writes", Well);
    bench.await_call("sync");
    bench.give_to_sync(2);
    bench.end_commit("commit 2, 1 writes", Well);
    bench.must_hear("stored 1, synced 0");
    bench.must_hear("stored 2, synced 0");
    bench.script.syncer.send(Badly).expect("the syncer waits for it");
    bench.must_hear("unstored 3: The disk is full.");
    // No sync is tried for the second batch: it could succeed although the first one's is lost.
    bench.give_to_sync(3);
    bench.give_again(4);
    bench.end_commit("commit 4, 1 writes", Well);
    bench.must_hear("stored 4, synced 0");
    bench.end_sync(Well);
    bench.must_hear("stored 4, synced 4");
    bench.must_hear_no_more();
}

#[test]
fn a_failed_sync_is_told_of_once_where_a_commit_failed_too() {
    let mut bench = Bench::with_hands();
    bench.give_to_sync(1);
    bench.end_commit("commit 1, 1 writes", Well);
    bench.must_hear("stored 1, synced 0");
    bench.await_call("sync");
    bench.give(2);
    bench.end_commit("commit 2, 1 writes", Badly);
    bench.must_hear("unstored 2: The disk is full.");
    bench.script.syncer.send(Badly).expect("the syncer waits for it");
    let Way::Threads(threads) = &bench.depot.way else { panic!("a store with hands") };
    wait_until(|| !threads.news.is_empty());
    bench.must_hear_no_more();
    bench.give_again(3);
    bench.end_commit("commit 3, 1 writes", Well);
    bench.must_hear("stored 3, synced 0");
    bench.end_sync(Well);
    bench.must_hear("stored 3, synced 3");
    bench.must_hear_no_more();
}

#[test]
fn a_panic_is_a_fault_and_the_threads_go_on() {
    let mut bench = Bench::with_hands();
    bench.give_to_sync(1);
    bench.end_commit("commit 1, 1 writes", Crash);
    bench.must_hear(&format!("unstored 1: {CRASHED}"));
    bench.give_again(2);
    bench.end_commit("commit 2, 1 writes", Well);
    bench.end_sync(Crash);
    bench.must_hear("stored 2, synced 0");
    bench.must_hear(&format!("unstored 3: {CRASHED}"));
    bench.give_again(3);
    bench.end_commit("commit 3, 1 writes", Well);
    bench.end_sync(Well);
    bench.must_hear("stored 3, synced 0");
    bench.must_hear("stored 3, synced 3");
    bench.ask(1);
    bench.end_call("read", &bench.script.reader, Crash);
    bench.must_hear(&format!("not answered: {CRASHED}"));
    bench.ask(2);
    bench.end_call("read", &bench.script.reader, Well);
    bench.must_hear("answered 2");
    bench.depot.prune(Retain::default(), Wall(1));
    bench.end_commit("prune 1", Crash);
    bench.must_hear(&format!("not pruned: {CRASHED}"));
}

#[test]
fn a_clean_up_waits_until_no_batch_does() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    bench.depot.prune(Retain::default(), Wall(1));
    bench.give_as(long(2, STORE_GROUP_BYTES_MAX));
    bench.depot.prune(Retain::default(), Wall(2));
    bench.give(3);
    bench.give_as(long(4, 1));
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 3, 2 writes", Well);
    bench.end_commit("commit 4, 1 writes", Well);
    bench.await_call("prune 1");
    bench.give(5);
    bench.script.store.send(Well).expect("the store waits for it");
    bench.end_commit("commit 5, 1 writes", Well);
    bench.end_commit("prune 2", Badly);
    for number in [1, 3, 4] {
        bench.must_hear(&format!("stored {number}, synced 0"));
    }
    bench.must_hear("pruned");
    bench.must_hear("stored 5, synced 0");
    bench.must_hear("not pruned: The disk is full.");
}

#[test]
fn questions_are_answered_in_turn_while_a_batch_is_being_stored() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    (1..=3).for_each(|slot| bench.ask(slot));
    bench.end_call("read", &bench.script.reader, Well);
    bench.end_call("read", &bench.script.reader, Badly);
    bench.end_call("read", &bench.script.reader, Well);
    bench.must_hear("answered 1");
    bench.must_hear("not answered: The disk is full.");
    bench.must_hear("answered 3");
    bench.script.store.send(Well).expect("the store waits for it");
    bench.must_hear("stored 1, synced 0");
}

#[test]
fn closing_stores_and_syncs_all_that_was_given_and_answers_nobody() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    bench.give_to_sync(2);
    bench.depot.prune(Retain::default(), Wall(1));
    bench.ask(1);
    bench.await_call("read");
    bench.ask(2);
    let (unanswered, script) = (bench.unanswered(), bench.script);
    let closing = thread::spawn(move || bench.depot.close(DEADLINE));
    wait_until(|| unanswered.is_empty());
    for part in [&script.reader, &script.store, &script.store, &script.syncer] {
        part.send(Well).expect("the part waits for it");
    }
    assert_eq!(closing.join().expect("no panic"), Ok(()));
    assert_eq!(script.calls.try_iter().collect::<Vec<_>>(), ["commit 2, 1 writes", "sync"]);
    assert!(script.is_gone());
}

#[test]
fn closing_fails_if_something_is_missing_from_the_store_or_from_the_disk() {
    let full = |closed: Result<(), Fault>| closed.is_err_and(|fault| fault.kind == FaultKind::Full);
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.end_commit("commit 1, 1 writes", Badly);
    assert!(full(bench.close()));

    let mut bench = Bench::with_hands();
    bench.give_to_sync(1);
    bench.end_commit("commit 1, 1 writes", Well);
    bench.end_sync(Badly);
    assert!(full(bench.close()));

    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.end_commit("commit 1, 1 writes", Badly);
    bench.must_hear("unstored 1: The disk is full.");
    bench.give(2);
    bench.give_again(3);
    bench.end_commit("commit 3, 1 writes", Well);
    bench.end_sync(Well);
    assert_eq!(bench.close(), Ok(()), "what was given again is there");
}

#[test]
fn a_store_that_hangs_is_left_behind() {
    let mut bench = Bench::with_hands();
    bench.give(1);
    bench.await_call("commit 1, 1 writes");
    let closed = bench.depot.close(Duration::from_millis(1));
    assert!(closed.is_err_and(|fault| fault.message.contains("left behind")));
}

#[test]
fn a_store_without_hands_does_all_at_once() {
    let mut bench = Bench::at_once();
    for verdict in [Well, Badly, Well, Crash, Well, Badly, Crash] {
        bench.script.store.send(verdict).expect("the store waits for it");
    }
    bench.give(1);
    assert!(bench.depot.has_news());
    assert_eq!(bench.next_word(), "stored 1, synced 1");
    assert!(!bench.depot.has_news());
    bench.give(2);
    bench.give(3);
    bench.give_again(4);
    assert_eq!(bench.next_word(), "unstored 2: The disk is full.");
    assert_eq!(bench.next_word(), "stored 4, synced 4");
    bench.give(5);
    assert_eq!(bench.next_word(), format!("unstored 5: {CRASHED}"));
    bench.ask(1);
    bench.ask(2);
    bench.depot.prune(Retain::default(), Wall(1));
    assert_eq!(bench.next_word(), "answered 1");
    assert_eq!(bench.next_word(), "not answered: The disk is full.");
    assert_eq!(bench.next_word(), format!("not pruned: {CRASHED}"));
    let calls: Vec<_> = bench.script.calls.try_iter().collect();
    let commits = ["commit 1, 1 writes", "commit 2, 1 writes", "commit 4, 1 writes"];
    assert_eq!(calls[..3], commits);
    assert_eq!(calls[3..], ["commit 5, 1 writes", "answer", "answer", "prune 1"]);
    assert!(bench.close().is_err(), "batch 5 is missing");
}

#[test]
fn a_store_that_cannot_be_read_at_the_start_is_not_opened() {
    for (verdict, message) in [(Badly, "The disk is full."), (Crash, CRASHED)] {
        let (store, script) = scripted(true);
        script.store.send(verdict).expect("the store waits for it");
        let (_poll, doorbell) = doorbell();
        let fault = Depot::open(store, doorbell).err().expect("it cannot be opened");
        assert_eq!(fault.message, message);
    }
}
