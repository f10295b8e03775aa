//! How a budget of memory is shared out: what follows from `--memory` for every other bound.
//!
//! Half of it is for agents, an eighth for connections, the rest for runs, their logs and what is
//! on its way to the store. New work is taken up to seven eighths; what is left is for those who
//! stop, steer and read. ARCHITECTURE.md has the formula.
use crate::limits::{
    AGENT_BYTES_MAX, AGENT_BYTES_MIN, BODY_BYTES_MAX, CONN_BYTES, CONNS_MAX, EVENTS_QUEUED_MAX,
    FINISHED_BYTES_MAX, FINISHED_CACHE_BYTES_MAX, HISTORY_BYTES_MAX, HISTORY_LOAD_BYTES_MAX,
    LOG_WINDOW_BYTES_MAX, MEMORY_BYTES_MIN, OUTPUT_BYTES_MAX, PAGE_BYTES_MAX, RUNS_WORKING,
    SAID_BYTES_MAX, SEGMENT_BYTES_MAX, STORE_BACKLOG_BYTES_MAX,
};

/// Questions on their way to the store at once, within a budget.
const ASKS_MAX: usize = 8;
/// A body of so many bytes is taken within any budget.
const BODY_BYTES_LEAST: usize = 32 * 1024;
/// What an event may weigh on its way to the loop, terminal ones aside.
const EVENT_BYTES: usize = 16 * 1024;

/// All of it in bytes, where the name does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The budget itself; `None` where every other bound is its default.
    pub memory: Option<usize>,
    /// Runs that work at once.
    pub runs_max: usize,
    /// What each of them is charged with, beside its run.
    pub agent: usize,
    pub body_max: usize,
    /// Connections open at once.
    pub conns_max: usize,
    /// What connections may hold together; beyond it the slowest are sent away.
    pub conns: usize,
    /// Beyond this charge old logs leave memory.
    pub tight: usize,
    /// Beyond this charge no new work is taken.
    pub work: usize,
    /// Beyond this charge nothing is that holds bytes; what is left is for connections themselves.
    pub all: usize,
    pub segment: usize,
    /// The latest history a run keeps: where a durable store has the rest, where none has, and
    /// while memory is tight.
    pub window: usize,
    pub history: usize,
    pub window_tight: usize,
    /// What finished runs may keep together, with a durable store and without.
    pub finished_cache: usize,
    pub finished: usize,
    /// What was said in one run that a store in memory keeps.
    pub said: usize,
    pub backlog: usize,
    pub page: usize,
    pub history_load: usize,
    /// Questions on their way to the store.
    pub asks: usize,
    /// Events that wait for the loop.
    pub events: usize,
    /// A run's output in its terminal event.
    pub output: usize,
}

impl Shares {
    /// What `memory` comes to where `runs_max` runs may work at once and a body may have `body_max`
    /// bytes. The number of runs is lowered only where it was nobody's choice.
    pub fn of(memory: Option<usize>, runs_max: usize, body_max: usize) -> Shares {
        let Some(memory) = memory else { return Shares::without_budget(runs_max, body_max) };
        let fitting = fitting_runs(memory);
        let runs_max = if runs_max == RUNS_WORKING { runs_max.min(fitting) } else { runs_max };
        let agent = (memory / 2 / runs_max.max(1)).min(AGENT_BYTES_MAX);
        let segment = (memory / 2048).clamp(4 * 1024, SEGMENT_BYTES_MAX);
        Shares {
            memory: Some(memory),
            runs_max,
            agent,
            body_max: body_max.min((memory / 64).max(BODY_BYTES_LEAST)),
            conns_max: (memory / 16 / CONN_BYTES).clamp(16, CONNS_MAX),
            conns: memory / 8,
            tight: memory - memory / 4,
            work: memory - memory / 8,
            all: memory - memory / 16,
            segment,
            window: LOG_WINDOW_BYTES_MAX.min(memory / 32),
            history: HISTORY_BYTES_MAX.min(memory / 4),
            window_tight: 2 * segment,
            finished_cache: FINISHED_CACHE_BYTES_MAX.min(memory / 16),
            finished: FINISHED_BYTES_MAX.min(memory / 4),
            said: SAID_BYTES_MAX.min(agent / 2),
            backlog: STORE_BACKLOG_BYTES_MAX.min(memory / 64),
            page: PAGE_BYTES_MAX.min(memory / 1024),
            history_load: HISTORY_LOAD_BYTES_MAX.min(agent / 2),
            asks: ASKS_MAX,
            events: (memory / 32 / EVENT_BYTES).clamp(8, EVENTS_QUEUED_MAX),
            output: OUTPUT_BYTES_MAX.min(agent / 8),
        }
    }

    fn without_budget(runs_max: usize, body_max: usize) -> Shares {
        Shares {
            memory: None,
            runs_max,
            agent: AGENT_BYTES_MIN,
            body_max,
            conns_max: CONNS_MAX,
            conns: usize::MAX,
            tight: usize::MAX,
            work: usize::MAX,
            all: usize::MAX,
            segment: SEGMENT_BYTES_MAX,
            window: LOG_WINDOW_BYTES_MAX,
            history: HISTORY_BYTES_MAX,
            window_tight: LOG_WINDOW_BYTES_MAX,
            finished_cache: FINISHED_CACHE_BYTES_MAX,
            finished: FINISHED_BYTES_MAX,
            said: SAID_BYTES_MAX,
            backlog: STORE_BACKLOG_BYTES_MAX,
            page: PAGE_BYTES_MAX,
            history_load: HISTORY_LOAD_BYTES_MAX,
            asks: usize::MAX,
            events: EVENTS_QUEUED_MAX,
            output: OUTPUT_BYTES_MAX,
        }
    }

    /// # Errors
    /// For people: why the budget is too small, and what to change.
    pub fn check(&self) -> Result<(), String> {
        let Some(memory) = self.memory else { return Ok(()) };
        if memory < MEMORY_BYTES_MIN {
            return Err(format!(
                "A memory budget of {} is too small: --memory takes {} or more",
                shown(memory),
                shown(MEMORY_BYTES_MIN)
            ));
        }
        if self.agent < AGENT_BYTES_MIN {
            let needed = (2 * AGENT_BYTES_MIN * self.runs_max).next_multiple_of(1 << 20);
            return Err(format!(
                "A memory budget of {} has room for {} runs that work at once, not for {}: lower \
                 --max-runs, or give --memory {}",
                shown(memory),
                fitting_runs(memory),
                self.runs_max,
                shown(needed)
            ));
        }
        Ok(())
    }

    /// For people, on one line: the budget, and what follows from it.
    pub fn note(&self) -> Option<String> {
        let memory = self.memory?;
        Some(format!(
            "{}: {} runs work at once with {} each, {} connections, bodies up to {}, outputs up \
             to {}",
            shown(memory),
            self.runs_max,
            shown(self.agent),
            self.conns_max,
            shown(self.body_max),
            shown(self.output)
        ))
    }
}

impl Default for Shares {
    fn default() -> Shares {
        Shares::without_budget(RUNS_WORKING, BODY_BYTES_MAX)
    }
}

fn fitting_runs(memory: usize) -> usize {
    memory / 2 / AGENT_BYTES_MIN
}

/// As one types it.
fn shown(bytes: usize) -> String {
    match bytes {
        0..0x400 => bytes.to_string(),
        0x400..0x10_0000 => format!("{}K", bytes >> 10),
        _ => format!("{}M", bytes >> 20),
    }
}
