//! A store for tests: it says what it was called for, and waits to be told how that ends.
use crate::config::Retain;
use crate::record::{Answer, Batch, Fault, FaultKind, Pruned, Query, Recovered, RunsPage};
use crate::store::{Hands, Reader, Store, Syncer};
use crate::time::Wall;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::time::Duration;

/// Nothing a test waits for takes nearly as long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How a call ends.
pub enum Verdict {
    Well,
    Badly,
    Crash,
}

/// One part of the store, as it has it.
#[derive(Clone)]
struct Part {
    /// Its end is seen once all parts are gone.
    calls: Sender<String>,
    verdicts: Receiver<Verdict>,
}

impl Part {
    fn call(&self, call: String) -> Result<(), Fault> {
        self.calls.send(call).expect("the test waits for this call");
        match self.verdicts.recv_timeout(DEADLINE).expect("the test says how this ends") {
            Verdict::Well => Ok(()),
            Verdict::Badly => {
                Err(Fault { kind: FaultKind::Full, message: "The disk is full.".to_owned() })
            }
            Verdict::Crash => panic!("as the script says"),
        }
    }
}

pub struct Scripted {
    store: Part,
    hands: Option<(Part, Part)>,
}

/// What the test keeps of it: its calls, and what each part is told.
pub struct Script {
    pub calls: Receiver<String>,
    pub store: Sender<Verdict>,
    pub syncer: Sender<Verdict>,
    pub reader: Sender<Verdict>,
}

pub fn scripted(has_hands: bool) -> (Box<Scripted>, Script) {
    let (calls_out, calls) = unbounded();
    let part = || {
        let (verdicts_out, verdicts) = unbounded();
        (verdicts_out, Part { calls: calls_out.clone(), verdicts })
    };
    let ((store, store_part), (syncer, syncer_part), (reader, reader_part)) =
        (part(), part(), part());
    let hands = has_hands.then_some((reader_part, syncer_part));
    (Box::new(Scripted { store: store_part, hands }), Script { calls, store, syncer, reader })
}

impl Store for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn recover(&mut self) -> Result<Recovered, Fault> {
        self.store.call("recover".to_owned())?;
        Ok(Recovered { last_no: 7, ..Recovered::default() })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.store.call(format!("commit {}, {} writes", batch.number, batch.writes.len()))
    }

    fn answer(&mut self, _: &Query) -> Result<Answer, Fault> {
        self.store.call("answer".to_owned())?;
        Ok(Answer::Runs(RunsPage::default()))
    }

    fn prune(&mut self, _: &Retain, now: Wall) -> Result<Pruned, Fault> {
        self.store.call(format!("prune {}", now.0))?;
        Ok(Pruned::default())
    }

    fn hands(&self) -> Result<Option<Hands>, Fault> {
        Ok(self.hands.clone().map(|(reader, syncer)| Hands {
            reader: Box::new(ScriptedReader(reader)),
            syncer: Box::new(ScriptedSyncer(syncer)),
        }))
    }
}

struct ScriptedReader(Part);

impl Reader for ScriptedReader {
    fn answer(&mut self, _: &Query) -> Result<Answer, Fault> {
        self.0.call("read".to_owned())?;
        Ok(Answer::Runs(RunsPage::default()))
    }
}

struct ScriptedSyncer(Part);

impl Syncer for ScriptedSyncer {
    fn sync(&mut self) -> Result<(), Fault> {
        self.0.call("sync".to_owned())
    }
}
