//! What a server that was killed has left behind: a copy of its files, looked into.
use crate::served::wire::Frame;
use crate::served::{Place, beside};
use runwire::store::sqlite::check;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

pub struct Autopsy {
    copy: PathBuf,
    db: Connection,
    /// By id.
    pub runs: BTreeMap<String, Left>,
    /// Runs that are gone, of whose events some are left.
    pub leftovers: u64,
    /// The process that opened the files last.
    pub opened_by: Option<u32>,
}

/// A run as it lies in the file.
#[derive(Clone, Debug)]
pub struct Left {
    pub no: u64,
    pub status: String,
    pub session_id: String,
    pub key: Option<String>,
    /// Microseconds; `None` of an unfinished run.
    pub finished_at: Option<u64>,
    pub input: String,
}

impl Left {
    pub fn is_queued(&self) -> bool {
        self.status == "queued"
    }

    pub fn has_begun(&self) -> bool {
        self.finished_at.is_none() && !self.is_queued()
    }
}

impl Autopsy {
    /// Looks into the files in `place`, which no server has open, and leaves them as they are.
    pub fn of(place: &Place) -> Autopsy {
        let copy = place.0.join("autopsy");
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).unwrap();
        let file = copy.join("runs.db");
        for ending in ["", "-wal"] {
            if place.beside(ending).exists() {
                fs::copy(place.beside(ending), beside(&file, ending)).unwrap();
            }
        }
        let opened_by = fs::read_to_string(place.beside(".lock")).ok();
        let opened_by = opened_by.and_then(|pid| pid.trim().parse().ok());
        let db = Connection::open(&file).unwrap();
        let has_tables: bool =
            db.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        let mut autopsy = Autopsy { copy, db, runs: BTreeMap::new(), leftovers: 0, opened_by };
        if has_tables {
            assert_eq!(check(&file).unwrap().problems, [""; 0], "in the file of a killed server");
            autopsy.read();
        }
        autopsy
    }

    fn read(&mut self) {
        let sql = "SELECT id, no, status, session_id, idempotency_key, finished_at, input \
                   FROM runs JOIN requests ON run = no";
        let mut find = self.db.prepare(sql).unwrap();
        let runs = find.query_map([], |row| {
            let left = Left {
                no: row.get(1)?,
                status: row.get(2)?,
                session_id: row.get(3)?,
                key: row.get(4)?,
                finished_at: row.get(5)?,
                input: serde_json::from_str(&row.get::<_, String>(6)?).unwrap(),
            };
            Ok((row.get(0)?, left))
        });
        let runs = runs.unwrap().collect::<Result<_, _>>().unwrap();
        let leftovers = "SELECT count(*) FROM leftovers";
        let leftovers = self.db.query_row(leftovers, [], |row| row.get(0)).unwrap();
        drop(find);
        (self.runs, self.leftovers) = (runs, leftovers);
    }

    /// All frames of a run that lie in the file.
    pub fn frames(&self, left: &Left) -> Vec<Frame> {
        let sql = "SELECT lines FROM events WHERE run = ?1 ORDER BY first_seq";
        let mut find = self.db.prepare_cached(sql).unwrap();
        let rows = find.query_map([left.no], |row| row.get::<_, String>(0)).unwrap();
        let lines: String = rows.collect::<Result<_, _>>().unwrap();
        (0..).zip(lines.lines()).map(|(seq, line)| Frame::of(seq, line)).collect()
    }

    pub fn unfinished(&self) -> impl Iterator<Item = (&String, &Left)> {
        self.runs.iter().filter(|(_, left)| left.finished_at.is_none())
    }

    pub fn finished(&self) -> usize {
        self.runs.len() - self.unfinished().count()
    }
}

impl Drop for Autopsy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.copy);
    }
}
