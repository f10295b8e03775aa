//! Stories by chance, as a server might write them: after each step the store must answer every
//! question as the simplest store does.
use crate::chance::Random;
use crate::desk::{
    ANN, Asked, BOB, Desk, Made, asked, cancelled, completed, delta, ended, failed, interim,
    interrupted, started, steered,
};
use crate::model::Model;
use crate::on_each;
use runwire::event::{Event, Kind};
use runwire::id::{Key, RunId, RunKey};
use runwire::record::{Answer, Lineage, Outcome, Query, Status, Stored, Write};
use runwire::time::Wall;
use std::sync::Arc;

const STORIES: u64 = 24;
const STEPS: usize = 60;

/// One story can be told again: `SEED=7 cargo test --test store stories`.
#[test]
fn stories_by_chance_are_answered_as_the_simplest_store_answers() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..STORIES).collect(),
    };
    for seed in seeds {
        on_each(|desk| {
            println!("seed: {seed}");
            let mut story =
                Story { chance: Random::new(seed), desk, model: Model::default(), said: 0 };
            for _ in 0..STEPS {
                story.step();
                story.compare();
            }
        });
    }
}

struct Story<'a> {
    chance: Random,
    desk: &'a mut Desk,
    model: Model,
    /// How many things were said.
    said: u64,
}

impl Story<'_> {
    fn step(&mut self) {
        match self.chance.below(21) {
            20 => self.come_back(),
            0..8 => self.create(),
            8..14 => self.go_on(),
            14..18 => self.finish(),
            18 => self.delete(),
            _ => self.delete_session(),
        }
    }

    fn create(&mut self) {
        let owner = self.chance.pick(&[ANN, ANN, BOB]);
        let mut ask = asked(self.chance.pick(&["One", "Two\nlines", "Three"])).by(owner);
        ask.session = self.session_id(owner);
        if self.chance.once_in(4) {
            ask = ask.given(&["Given", "Twice"]);
        }
        ask.lineage = self.lineage(owner);
        if matches!(ask.lineage, Lineage::After(_)) {
            ask.history.clear();
        }
        ask.key = self.chance.pick(&[None, None, Some("k"), Some("kk")]);
        // A run waits for its session.
        let is_free = !self.is_busy(&ask);
        let begins = is_free && self.chance.once_in(2);
        let status = if begins { Status::Running } else { Status::Queued };
        let (record, request) = self.desk.prepare(ask);
        self.model.create(&record, &request, status);
        self.desk.write(vec![Write::Create { record, request, status }]);
    }

    fn session_id(&mut self, owner: &str) -> Option<String> {
        let runs = self.model.runs.iter().filter(|run| *run.record.owner == *owner);
        let mut ids: Vec<Option<String>> =
            runs.map(|run| Some(run.record.session_id.to_string())).collect();
        ids.extend([None, None, Some("s".to_owned()), Some("t".to_owned())]);
        self.chance.pick(&ids)
    }

    fn lineage(&mut self, owner: &str) -> Lineage {
        let runs = self.model.runs.iter();
        let ended = runs.filter(|run| *run.record.owner == *owner && run.status.is_finished());
        let mut lineages: Vec<Lineage> = ended.map(|run| Lineage::After(run.record.no)).collect();
        lineages.truncate(4);
        lineages.extend([Lineage::Session; 5]);
        lineages.push(Lineage::Given);
        self.chance.pick(&lineages)
    }

    fn is_busy(&self, ask: &Asked) -> bool {
        let session = ask.session.as_deref();
        self.model.runs.iter().any(|run| {
            !run.status.is_finished()
                && *run.record.owner == *ask.owner
                && Some(&*run.record.session_id) == session
        })
    }

    /// A run says something, or begins if it is the first to wait for its session.
    fn go_on(&mut self) {
        let Some(index) = self.unfinished() else { return };
        let run = &self.model.runs[index];
        let made = Made { no: run.record.no, id: run.record.id };
        if run.status == Status::Queued {
            let same = |other: &&crate::model::Run| {
                other.record.owner == run.record.owner
                    && other.record.session_id == run.record.session_id
                    && !other.status.is_finished()
            };
            if self.model.runs[..index].iter().any(|other| same(&other)) {
                return;
            }
            let at = self.desk.tick();
            self.model.begin(made.no, at);
            self.desk.write(vec![Write::Begin { no: made.no, at }]);
            return;
        }
        let before = self.desk.time().0;
        let mut kinds = Vec::new();
        for number in 1..=1 + self.chance.below(4) {
            let kind = self.kind(index);
            self.hear(index, Wall(before + number * 1_500), kind.clone());
            kinds.push(kind);
        }
        self.desk.say(made, kinds);
    }

    fn hear(&mut self, index: usize, at: Wall, kind: Kind) {
        let run = RunKey(Key { slot: 0, generation: 0 });
        let seq = self.model.runs[index].events.len() as u64;
        self.model.say(self.model.runs[index].record.no, Event { run, seq, at, kind });
    }

    fn kind(&mut self, index: usize) -> Kind {
        // No two calls have the same id.
        self.said += 1;
        let number = self.said;
        let open = self.model.runs[index].events.iter().rev().find_map(|event| match &event.kind {
            Kind::ToolStarted(call) => Some(call.tool_call_id.clone()),
            _ => None,
        });
        match (self.chance.below(8), open) {
            (0..3, _) => delta("piece"),
            (3, _) => interim(&format!("Between {number}")),
            (4, _) => steered("Faster"),
            (5, Some(id)) if !self.has_ended(index, &id) => {
                ended(&id, number.is_multiple_of(2), &format!("result {number}"))
            }
            _ => started(&format!("call-{number}"), "terminal"),
        }
    }

    fn has_ended(&self, index: usize, id: &str) -> bool {
        self.model.runs[index]
            .events
            .iter()
            .any(|event| matches!(&event.kind, Kind::ToolCompleted(end) if end.tool_call_id == id))
    }

    fn finish(&mut self) {
        let Some(index) = self.unfinished() else { return };
        let run = &self.model.runs[index];
        let made = Made { no: run.record.no, id: run.record.id };
        let kind = if run.status == Status::Queued {
            cancelled(None)
        } else {
            let kinds =
                [completed("Done"), completed(""), failed("why"), cancelled(None), interrupted()];
            self.chance.pick(&kinds)
        };
        let rows = self.desk.rows(made, vec![kind.clone()]);
        let at = self.desk.time();
        self.hear(index, at, kind.clone());
        self.model.finish(made.no, kind.clone(), at);
        let next_seq = self.model.runs[index].events.len() as u64;
        let status = Status::after(&kind).expect("a terminal event");
        let outcome = Arc::new(Outcome::of(kind));
        let finish = Write::Finish { no: made.no, status, at, next_seq, outcome };
        self.desk.write(vec![Write::Events { no: made.no, rows }, finish]);
    }

    fn unfinished(&mut self) -> Option<usize> {
        let runs = self.model.runs.iter().enumerate();
        let open: Vec<usize> =
            runs.filter(|(_, run)| !run.status.is_finished()).map(|(index, _)| index).collect();
        (!open.is_empty()).then(|| self.chance.pick(&open))
    }

    fn delete(&mut self) {
        let runs = self.model.runs.iter().filter(|run| run.status.is_finished());
        let ended: Vec<_> = runs.map(|run| run.record.no).collect();
        if !ended.is_empty() {
            let no = self.chance.pick(&ended);
            self.model.delete(no);
            self.desk.write(vec![Write::Delete { no }]);
        }
    }

    fn delete_session(&mut self) {
        let owner = self.chance.pick(&[ANN, BOB]);
        let Some(id) = self.session_id(owner) else { return };
        let is_of =
            |run: &&crate::model::Run| *run.record.owner == *owner && *run.record.session_id == *id;
        if self.model.runs.iter().filter(is_of).all(|run| run.status.is_finished()) {
            self.model.delete_session(owner, &id);
            self.desk.delete_session(owner, &id);
        }
    }

    /// The server dies and another one goes on.
    fn come_back(&mut self) {
        if !self.desk.is_durable() {
            return;
        }
        let recovered = self.desk.reopen();
        let unfinished = self.model.runs.iter().filter(|run| !run.status.is_finished());
        let expected: Vec<_> = unfinished
            .map(|run| {
                let is_queued = run.status == Status::Queued;
                (run.record.id, run.events.len() as u64, is_queued)
            })
            .collect();
        let found = recovered.unfinished.iter();
        let found: Vec<_> =
            found.map(|run| (run.record.id, run.next_seq, run.request.is_some())).collect();
        assert_eq!(found, expected);
        assert_eq!(recovered.last_no, self.desk.last_no());
    }

    fn compare(&mut self) {
        for query in self.queries() {
            let expected = known(self.model.answer(&query), &self.model);
            let answer = known(self.desk.ask(&query), &self.model);
            assert_eq!(answer, expected, "{query:?}");
        }
    }

    /// One of every kind at least.
    fn queries(&mut self) -> Vec<Query> {
        let owner: Arc<str> = self.chance.pick(&[ANN, BOB]).into();
        let (limit, offset) = (self.chance.index(6), self.chance.index(4));
        let runs = self.model.runs.iter().map(|run| (run.record.no, run.record.id));
        let runs: Vec<_> = runs.collect();
        let id = self.session_id(&owner).unwrap_or_default();
        let session_id: Box<str> = id.as_str().into();
        let some_run = (!runs.is_empty()).then(|| self.chance.pick(&runs));
        let key = self.chance.pick(&["k", "kk", "none"]).into();
        let since = Wall(self.desk.time().0 - self.chance.below(200) * 1_500);
        let status = self.chance.pick(&Status::ALL);
        let latest = self.chance.once_in(2);
        let after = some_run.map(|(_, id)| id).filter(|_| self.chance.once_in(2));
        let list = |status, session_id, limit| {
            let owner = owner.clone();
            Query::Runs { owner, status, session_id, after, limit }
        };
        let mut queries = vec![
            Query::Run { owner: owner.clone(), id: RunId(3) },
            Query::Idempotent { owner: owner.clone(), key, since },
            list(None, None, limit),
            list(Some(status), None, 99),
            list(None, Some(session_id.clone()), limit),
            list(Some(status), Some(session_id.clone()), limit),
            Query::Sessions { owner: owner.clone(), limit, offset },
            Query::Session { owner: owner.clone(), id: session_id.clone() },
            Query::Messages {
                owner: owner.clone(),
                id: session_id.clone(),
                limit: 999,
                offset: 0,
                latest,
            },
            Query::Messages { owner: owner.clone(), id: session_id, limit, offset, latest },
        ];
        for (no, id) in runs {
            queries.push(Query::Run { owner: owner.clone(), id });
            queries.push(Query::History { no, bytes_max: usize::MAX });
        }
        queries
    }
}

/// What of an answer a store must know: of an unfinished run, and of when things were said, it may
/// know less.
fn known(mut answer: Answer, model: &Model) -> Answer {
    match &mut answer {
        Answer::Run(Some(stored)) => forget(stored, model),
        Answer::Runs(page) => {
            let unfinished = page.runs.iter_mut().filter(|run| !run.status.is_finished());
            unfinished.for_each(|run| run.updated = Wall(0));
        }
        Answer::Messages(Some(page)) => page.messages.iter_mut().for_each(|said| {
            said.at = Wall(0);
        }),
        Answer::Session(Some(session)) => {
            let of_unfinished = model.runs.iter().any(|run| {
                run.record.is_own_session()
                    && run.record.session_id == session.id
                    && !run.status.is_finished()
            });
            if of_unfinished {
                session.updated = Wall(0);
            }
        }
        _ => {}
    }
    answer
}

fn forget(stored: &mut Stored, model: &Model) {
    if !stored.status.is_finished() {
        (stored.updated, stored.next_seq) = (Wall(0), 0);
    }
    // Where it went on from may be told as where that went on from, once that is deleted.
    let is_there = |no| model.runs.iter().any(|run| run.record.no == no);
    let created = model.runs.iter().find(|run| run.record.id == stored.record.id);
    if let Some(Lineage::After(no)) = created.map(|run| run.record.lineage)
        && !is_there(no)
    {
        Arc::make_mut(&mut stored.record).lineage = Lineage::Given;
    }
}
