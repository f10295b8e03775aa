//! Reads the file while another thread writes to it.
use super::{events, fault, hooks, open, runs, said, sessions};
use crate::record::{Answer, Fault, Query};
use crate::store::Reader;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

pub struct SqliteReader {
    path: PathBuf,
    db: Connection,
}

impl SqliteReader {
    pub fn open(path: &Path) -> Result<SqliteReader, Fault> {
        let db = open::reader(path).map_err(|error| fault::of(path, &error))?;
        Ok(SqliteReader { path: path.to_owned(), db })
    }
}

impl Reader for SqliteReader {
    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        answer(&self.db, query).map_err(|error| fault::of(&self.path, &error))
    }
}

/// Answers from one state of the file, however many statements that takes.
pub fn answer(db: &Connection, query: &Query) -> rusqlite::Result<Answer> {
    let state = db.unchecked_transaction()?;
    let answer = match query {
        Query::Run { owner, id } => runs::run(&state, owner, *id),
        Query::Idempotent { owner, key, since } => runs::idempotent(&state, owner, key, *since),
        Query::Runs { owner, status, session_id, after, limit } => {
            runs::list(&state, owner, *status, session_id.as_deref(), *after, *limit)
        }
        Query::Events { no, from_seq, bytes_max } => {
            events::page(&state, *no, *from_seq, *bytes_max)
        }
        Query::History { no, bytes_max } => said::history(&state, *no, *bytes_max),
        Query::Sessions { owner, limit, offset } => sessions::list(&state, owner, *limit, *offset),
        Query::Session { owner, id } => sessions::one(&state, owner, id),
        Query::Hooks { limit } => hooks::next(&state, *limit),
        Query::Messages { owner, id, limit, offset, latest } => {
            said::messages(&state, owner, id, *limit, *offset, *latest)
        }
    };
    state.finish()?;
    answer
}
