//! All that clients were told, and whether a server that comes later says the same.
use crate::autopsy::{Autopsy, Left};
use crate::served::Server;
use crate::served::wire::{Frame, Stream};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Book {
    /// By id.
    pub runs: BTreeMap<String, Told>,
    /// Idempotency keys, and what was posted with them.
    pub keys: BTreeMap<String, Posted>,
}

/// What is known of a run.
#[derive(Default)]
pub struct Told {
    pub session_id: String,
    pub input: String,
    pub is_keyed: bool,
    /// Every frame anybody was shown.
    pub seen: BTreeMap<u64, Frame>,
    /// Its status page, once it was finished and all of it was compared.
    page: Option<Value>,
    finished_at: Option<u64>,
    /// Somebody wants it deleted; whether it was may be unknown.
    is_doomed: bool,
    /// Deleted by a clean-up, or because somebody wanted it so.
    is_gone: bool,
}

pub struct Posted {
    pub body: String,
    /// The run that was named in the answer, if one came.
    pub run: Option<String>,
    /// That run was named again after the last kill.
    pub is_confirmed: bool,
}

impl Told {
    pub fn see(&mut self, frame: Frame) {
        let known = self.seen.entry(frame.seq).or_insert_with(|| frame.clone());
        assert_eq!(*known, frame, "an event has changed");
    }

    /// The last event up to which none is missing.
    fn unbroken(&self) -> Option<u64> {
        let next = (0..).find(|seq| !self.seen.contains_key(seq)).expect("no run is endless");
        next.checked_sub(1)
    }

    /// Nobody has compared all of it yet.
    pub fn is_new(&self) -> bool {
        self.page.is_none()
    }

    pub fn has_seen_end(&self) -> bool {
        self.seen.values().next_back().is_some_and(Frame::is_terminal)
    }
}

impl Book {
    /// Somebody was told that this run was taken.
    pub fn promise(&mut self, id: &str, input: &str, session_id: Option<&str>, is_keyed: bool) {
        let (session_id, input) = (session_id.unwrap_or(id).to_owned(), input.to_owned());
        let told = Told { session_id, input, is_keyed, ..Told::default() };
        self.runs.entry(id.to_owned()).or_insert(told);
    }

    pub fn see(&mut self, id: &str, frames: Vec<Frame>) {
        let told = self.runs.get_mut(id).expect("only promised runs are read");
        frames.into_iter().for_each(|frame| told.see(frame));
    }

    /// Somebody is about to ask for the end of this run.
    pub fn doom(&mut self, id: &str) {
        self.runs.get_mut(id).expect("only promised runs are deleted").is_doomed = true;
    }

    /// Somebody was told that it is gone.
    pub fn deleted(&mut self, id: &str) {
        self.runs.get_mut(id).expect("only promised runs are deleted").is_gone = true;
    }

    /// Compares with what a killed server has left. Runs nobody was told of are known from now on;
    /// their number is returned.
    pub fn compare(&mut self, autopsy: &Autopsy, retain: Option<usize>) -> usize {
        self.bury(autopsy, retain);
        for (id, told) in self.runs.iter_mut().filter(|(_, told)| !told.is_gone) {
            let left = &autopsy.runs[id];
            told.finished_at = left.finished_at;
            assert!(told.page.is_none() || left.finished_at.is_some(), "{id} is unfinished again");
            if told.page.is_some() {
                continue;
            }
            let frames = autopsy.frames(left);
            for (seq, seen) in &told.seen {
                assert_eq!(frames.get(*seq as usize), Some(seen), "{id} has lost what was shown");
            }
            assert!(!told.has_seen_end() || left.finished_at.is_some(), "{id} has lost its end");
        }
        let new: Vec<_> =
            autopsy.runs.iter().filter(|(id, _)| !self.runs.contains_key(*id)).collect();
        for (id, left) in &new {
            self.promise(id, &left.input, Some(&left.session_id), left.key.is_some());
        }
        new.len()
    }

    /// Takes note of what a clean-up that keeps `retain` finished runs has deleted.
    fn bury(&mut self, autopsy: &Autopsy, retain: Option<usize>) {
        let is_missing = |id: &String, told: &Told| !told.is_gone && !autopsy.runs.contains_key(id);
        let mut youngest = 0;
        for (id, told) in self.runs.iter_mut() {
            assert!(!told.is_gone || !autopsy.runs.contains_key(id), "{id} is back");
            if is_missing(id, told) && told.is_doomed {
                told.is_gone = true;
            } else if is_missing(id, told) {
                let retain = retain.unwrap_or_else(|| panic!("{id} is lost: {:?}", told.input));
                assert!(told.finished_at.is_some() && !told.is_keyed, "{id} had to stay");
                assert!(autopsy.finished() >= retain, "too much was deleted");
                youngest = youngest.max(told.finished_at.unwrap_or(0));
                told.is_gone = true;
            }
        }
        for (id, left) in &autopsy.runs {
            let is_known = self.runs.get(id).is_some_and(|told| told.finished_at.is_some());
            if is_known && left.key.is_none() {
                assert!(left.finished_at >= Some(youngest), "{id} is older than what went");
            }
        }
    }

    /// Compares with a server that has started on what `autopsy` saw. Waits until all runs have
    /// come to their end.
    pub fn verify(&mut self, server: &Server, autopsy: &Autopsy) {
        self.confirm_keys(server, autopsy);
        let alive: Vec<String> = self.alive().map(|(id, _)| id.clone()).collect();
        for (index, id) in alive.iter().enumerate() {
            let told = self.runs.get_mut(id).expect("it is in the list");
            // Whoever wanted that asked another server.
            told.is_doomed = false;
            match &told.page {
                None => verify_run(server, id, told, autopsy.runs.get(id)),
                // Those that were compared before are looked at now and then.
                Some(page) if index % 10 == autopsy.runs.len() % 10 => {
                    assert_eq!(server.get(&format!("/v1/runs/{id}")).json(), *page);
                    let known: Vec<Frame> = told.seen.values().cloned().collect();
                    assert_eq!(server.frames(id), known, "{id}");
                }
                Some(_) => {}
            }
        }
        self.verify_lists(server);
    }

    pub fn alive(&self) -> impl Iterator<Item = (&String, &Told)> {
        self.runs.iter().filter(|(_, told)| !told.is_gone)
    }

    /// Posts again what was posted with a key: it is the same run if it was created at all.
    fn confirm_keys(&mut self, server: &Server, autopsy: &Autopsy) {
        let keys: Vec<String> = self.keys.keys().cloned().collect();
        for key in keys {
            let posted = self.keys.get_mut(&key).expect("it is in the list");
            if posted.is_confirmed {
                continue;
            }
            let left = autopsy.runs.iter().find(|(_, left)| left.key.as_deref() == Some(&key));
            let known = posted.run.clone().or_else(|| left.map(|(id, _)| id.clone()));
            let (first, was_there) = post_again(server, &key, &posted.body);
            assert_eq!(was_there, known.is_some(), "{key}");
            assert!(known.is_none() || known.as_ref() == Some(&first), "{key} has become another");
            assert_eq!(post_again(server, &key, &posted.body), (first.clone(), true));
            (posted.run, posted.is_confirmed) = (Some(first.clone()), true);
            let body: Value = serde_json::from_str(&posted.body).unwrap();
            let (input, session) = (body["input"].as_str(), body["session_id"].as_str());
            self.promise(&first, input.unwrap(), session, true);
        }
    }

    /// The lists hold all runs, the newest first; each session what was said in it, in order.
    fn verify_lists(&self, server: &Server) {
        let listed = list_runs(server);
        let ids: BTreeSet<&str> =
            listed.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), listed.len(), "a run is listed twice");
        let alive: BTreeSet<&str> = self.alive().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, alive);
        let created: Vec<f64> =
            listed.iter().map(|run| run["created_at"].as_f64().unwrap()).collect();
        assert!(created.windows(2).all(|pair| pair[0] >= pair[1]), "not in order of creation");
        let mut sessions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for run in listed.iter().rev() {
            let told = &self.runs[run["run_id"].as_str().unwrap()];
            if told.seen.len() > 1 {
                sessions.entry(&told.session_id).or_default().push(&told.input);
            }
        }
        sessions.retain(|id, _| !id.starts_with("run_"));
        for (id, inputs) in sessions {
            assert_eq!(asked_in(server, id), inputs, "in session {id}");
        }
    }
}

/// Reads a run to its end from where its readers were, and then once more from the start.
fn verify_run(server: &Server, id: &str, told: &mut Told, left: Option<&Left>) {
    let last = told.unbroken();
    match Stream::open(server.addr, id, last).unwrap() {
        None => assert!(told.has_seen_end(), "{id}: its end was never shown"),
        Some(mut stream) => {
            let mut next = last.map_or(0, |last| last + 1);
            while let Some(frame) = stream.next().expect("this server lives") {
                assert_eq!(frame.seq, next, "{id}: a gap, or something twice");
                next += 1;
                told.see(frame);
            }
        }
    }
    let all = server.frames(id);
    assert_eq!(all, told.seen.values().cloned().collect::<Vec<_>>(), "{id}");
    let times: Vec<f64> = all.iter().map(|it| it.json()["timestamp"].as_f64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{id}: {times:?}");
    let ends = all.iter().filter(|frame| frame.is_terminal()).count();
    let end = all.last().expect("a run has events");
    assert!(ends == 1 && end.is_terminal(), "{id}: {ends} ends");
    let status = end.event().trim_start_matches("run.").to_owned();
    if let Some(left) = left {
        let wanted = match left.status.as_str() {
            "queued" => "completed",
            _ if left.has_begun() => "interrupted",
            finished => finished,
        };
        assert_eq!(status, wanted, "{id} was {} when its server was killed", left.status);
    }
    let page = server.get(&format!("/v1/runs/{id}")).json();
    assert_eq!(page["status"], status, "{page}");
    assert_eq!(page["last_event"], end.event(), "{page}");
    assert_eq!(page.get("output"), end.json().get("output"), "{page}");
    told.page = Some(page);
}

fn post_again(server: &Server, key: &str, body: &str) -> (String, bool) {
    let reply = server.post("/v1/runs", &format!("Idempotency-Key: {key}\r\n"), body);
    assert_eq!(reply.status, 202, "{reply:?}");
    let page = reply.json();
    (page["run_id"].as_str().unwrap().to_owned(), page["replayed"] == true)
}

fn list_runs(server: &Server) -> Vec<Value> {
    let mut runs: Vec<Value> = Vec::new();
    loop {
        let after = runs.last().map_or("", |run| run["run_id"].as_str().unwrap());
        let page = server.get(&format!("/v1/runs?limit=100&after={after}")).json();
        runs.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            return runs;
        }
    }
}

/// What users have said in a session.
fn asked_in(server: &Server, session: &str) -> Vec<String> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let path = format!("/v1/sessions/{session}/messages?limit=100&offset={}", messages.len());
        let page = server.get(&path).json();
        messages.extend(page["data"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        if page["has_more"] == false {
            break;
        }
    }
    let asked = messages.iter().filter(|message| message["role"] == "user");
    asked.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}
