//! What the machine counts, and the page on which it stands (`GET /metrics`).
//!
//! Counting costs an addition or two; whatever can be looked up is looked up when the page is asked
//! for. What only the outside knows (clocks, memory, threads) is asked for then, by
//! `Output::Measure`, and told by `Input::Measured`.
use super::conn::{Awaits, Conn};
use super::waiting::Done;
use super::{Machine, Output};
use crate::config::About;
use crate::event::{Event, Kind, ToolCompleted, Usage};
use crate::id::ConnId;
use crate::record::Status;
use crate::tally::Tally;
use crate::time::Wall;
use crate::wire::exposition::{COUNTER, GAUGE, Page};
use std::time::Duration;

/// Tools whose calls are told apart; all others are `other`.
const TOOLS_MAX: usize = 64;
/// Reasons of failures that are told apart, likewise.
const REASONS_MAX: usize = 64;
const OTHER: &str = "other";

/// Why something was given up before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// A reader that did not read.
    Reader,
    /// A finished run, to make room in memory.
    Run,
    /// The oldest part of a run's log, likewise.
    Log,
}

#[derive(Debug)]
pub struct Metrics {
    started: Wall,
    pub conns_opened: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// By the first digit of their status.
    replies: [u64; 6],
    /// In the order of `Kind::NAMES`.
    events: [u64; Kind::NAMES.len()],
    pub event_bytes: u64,
    pub runs_begun: u64,
    /// In the order of `Status::ALL`; of what is no end none.
    ended: [u64; Status::ALL.len()],
    reasons: Vec<(&'static str, u64)>,
    durations: Tally,
    usage: Usage,
    /// By the name it was announced with. The last one is `other`.
    tools: Vec<Tool>,
    /// In the order of `Evicted`.
    evicted: [u64; 3],
    pub store_pages: u64,
    pub store_faults: u64,
}

#[derive(Debug, Default)]
struct Tool {
    name: Box<str>,
    took: Tally,
    failed: u64,
}

/// What only the outside knows.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Bytes of memory the process holds, and its threads; 0 where the system does not say.
    pub resident_bytes: u64,
    pub threads: u64,
    /// What the store took for each transaction, each wait for the disk, each question.
    pub commits: Tally,
    pub syncs: Tally,
    pub reads: Tally,
    /// Things written to the store.
    pub rows: u64,
    /// What models took for the first piece of a turn, and for a whole one.
    pub first_pieces: Tally,
    pub turns: Tally,
    /// Turns that ended in an error.
    pub turns_failed: u64,
    /// Lines of the log that nobody took.
    pub log_lines_dropped: u64,
}

impl Metrics {
    pub fn new(about: &About, now: Wall) -> Metrics {
        let announced = about.toolsets.iter().flat_map(|set| &set.tools).take(TOOLS_MAX);
        let names = announced.map(String::as_str).filter(|name| *name != OTHER).chain([OTHER]);
        let mut tools: Vec<Tool> = Vec::new();
        for name in names {
            if !tools.iter().any(|tool| *tool.name == *name) {
                tools.push(Tool { name: name.into(), ..Tool::default() });
            }
        }
        Metrics {
            started: now,
            conns_opened: 0,
            bytes_received: 0,
            bytes_sent: 0,
            replies: [0; 6],
            events: [0; Kind::NAMES.len()],
            event_bytes: 0,
            runs_begun: 0,
            ended: [0; Status::ALL.len()],
            reasons: Vec::new(),
            durations: Tally::default(),
            usage: Usage::default(),
            tools,
            evicted: [0; 3],
            store_pages: 0,
            store_faults: 0,
        }
    }

    pub fn replied(&mut self, status: u16) {
        self.replies[usize::from(status / 100).min(5)] += 1;
    }

    pub fn evict(&mut self, what: Evicted) {
        self.evicted[what as usize] += 1;
    }

    pub fn hear(&mut self, event: &Event) {
        self.events[event.kind.index()] += 1;
        if let Kind::ToolCompleted(call) = &event.kind {
            self.tool_completed(call);
        }
    }

    fn tool_completed(&mut self, call: &ToolCompleted) {
        let last = self.tools.len() - 1;
        let known = self.tools[..last].iter().position(|tool| *tool.name == *call.tool);
        let tool = &mut self.tools[known.unwrap_or(last)];
        // An embedder's agent may say anything; what is no time counts as none.
        tool.took.note(Duration::try_from_secs_f64(call.duration).unwrap_or_default());
        tool.failed += u64::from(call.error);
    }

    pub fn run_ended(&mut self, status: Status, reason: Option<&'static str>, took: Duration) {
        self.ended[status as usize] += 1;
        self.durations.note(took);
        let Some(reason) = reason else { return };
        let has_room = self.reasons.len() < REASONS_MAX;
        let is = |name: &str| name == reason || !has_room && name == OTHER;
        match self.reasons.iter_mut().find(|(name, _)| is(name)) {
            Some((_, count)) => *count += 1,
            None => self.reasons.push((if has_room { reason } else { OTHER }, 1)),
        }
    }

    pub fn spend(&mut self, usage: Usage) {
        self.usage += usage;
    }

    fn write_runs(&self, page: &mut Page) {
        page.one("runwire_runs_begun_total", COUNTER, "Runs that were handed to an agent.", {
            self.runs_begun
        });
        let ended = Status::ALL.iter().filter(|status| status.is_finished());
        page.each(
            "runwire_runs_ended_total",
            COUNTER,
            "Runs that have ended, by how.",
            "status",
            ended.map(|status| (status.name(), self.ended[*status as usize])),
        );
        page.each(
            "runwire_runs_failed_total",
            COUNTER,
            "Runs that have failed, by the reason in their last event.",
            "reason",
            self.reasons.iter().copied(),
        );
        page.times(
            "runwire_run_duration_seconds",
            "From a run's beginning to its end.",
            &self.durations,
        );
        let usage = &self.usage;
        let tokens = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        ];
        page.each(
            "runwire_tokens_total",
            COUNTER,
            "Tokens that ended runs have used.",
            "kind",
            tokens.into_iter(),
        );
        page.each(
            "runwire_events_total",
            COUNTER,
            "Events of runs, by their name.",
            "event",
            Kind::NAMES.into_iter().zip(self.events),
        );
        page.one("runwire_event_bytes_total", COUNTER, "Bytes of these events as frames.", {
            self.event_bytes
        });
    }

    fn write_tools(&self, page: &mut Page) {
        page.begin_times("runwire_tool_duration_seconds", "Calls of tools, by the tool's name.");
        for tool in &self.tools {
            page.histogram(Some(("tool", &tool.name)), &tool.took);
        }
        let failed = self.tools.iter().map(|tool| (&*tool.name, tool.failed));
        page.each(
            "runwire_tool_failures_total",
            COUNTER,
            "Calls of tools that ended in an error.",
            "tool",
            failed,
        );
    }

    fn write_wire(&self, page: &mut Page) {
        page.one("runwire_connections_opened_total", COUNTER, "Connections taken.", {
            self.conns_opened
        });
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        page.each(
            "runwire_requests_total",
            COUNTER,
            "Requests answered, by the class of the status.",
            "code",
            classes.into_iter().zip(self.replies[1..].iter().copied()),
        );
        page.one("runwire_received_bytes_total", COUNTER, "Bytes read from sockets.", {
            self.bytes_received
        });
        page.one("runwire_sent_bytes_total", COUNTER, "Bytes written to sockets.", self.bytes_sent);
        page.each(
            "runwire_evictions_total",
            COUNTER,
            "Readers cut off for not reading, finished runs forgotten early, logs shrunk.",
            "what",
            ["reader", "run", "log"].into_iter().zip(self.evicted),
        );
    }
}

/// How far readers are behind.
#[derive(Debug, Default)]
struct Lag {
    bytes: u64,
    bytes_max: u64,
    /// Readers that are told from the store, and by how many events the last of them is behind.
    behind: u64,
    events_max: u64,
}

impl Machine {
    /// `GET /metrics`: answered once the outside has told what it knows.
    pub(super) fn measure(&mut self, id: ConnId) -> Done {
        self.outputs.push_back(Output::Measure(id));
        Done::Awaits(Awaits::Measures)
    }

    pub(super) fn measured(&mut self, id: ConnId, measures: &Measures) {
        let Some(waiting) = self.end_wait(id) else { return };
        let page = self.metrics_page(measures);
        let manner = waiting.admitted.manner;
        self.reply_text(id, &manner, crate::wire::exposition::CONTENT_TYPE, &page);
        self.answered(id, manner.close || self.is_draining());
    }

    fn metrics_page(&self, measures: &Measures) -> Vec<u8> {
        let mut page = Page::default();
        let page = &mut page;
        self.write_process(page, measures);
        self.write_load(page);
        self.metrics.write_runs(page);
        self.metrics.write_tools(page);
        write_models(page, measures);
        self.metrics.write_wire(page);
        self.write_readers(page);
        self.write_hooks(page);
        self.write_store(page, measures);
        std::mem::take(page).into_bytes()
    }

    fn write_process(&self, page: &mut Page, measures: &Measures) {
        let version = [(env!("CARGO_PKG_VERSION"), 1)];
        page.each(
            "runwire_build_info",
            GAUGE,
            "Which version this is.",
            "version",
            version.into_iter(),
        );
        page.family(
            "process_start_time_seconds",
            GAUGE,
            "When the server started, in seconds since 1970.",
        );
        page.seconds(self.metrics.started.0);
        page.one("process_resident_memory_bytes", GAUGE, "Memory the process holds.", {
            measures.resident_bytes
        });
        page.one("runwire_threads", GAUGE, "Threads of the process.", measures.threads);
        page.one("runwire_log_lines_dropped_total", COUNTER, "Lines of the log nobody took.", {
            measures.log_lines_dropped
        });
    }

    /// What there is now.
    fn write_load(&self, page: &mut Page) {
        let mut runs = [0; Status::ALL.len()];
        self.runs.table.iter().for_each(|(_, run)| runs[run.status as usize] += 1);
        let runs = Status::ALL.into_iter().map(|status| (status.name(), runs[status as usize]));
        page.each(
            "runwire_runs",
            GAUGE,
            "Runs in memory, by status. A durable store may have more that are finished.",
            "status",
            runs,
        );
        let counts = self.counts();
        let budget = self.shares.memory.unwrap_or(0);
        for (name, help, value) in [
            ("runwire_queue_length", "Runs that have not begun.", counts.queued),
            ("runwire_queue_max", "Runs that may wait.", self.config.max_queue),
            ("runwire_working_runs", "Runs that work.", counts.working),
            ("runwire_working_runs_max", "Runs that may work at once.", self.config.max_runs),
            ("runwire_finished_bytes", "Memory that finished runs hold.", counts.history_bytes),
            ("runwire_connections", "Open connections.", counts.conns),
            ("runwire_subscribers", "Readers of events.", counts.subscribers),
            ("runwire_memory_charged_bytes", "What the budget is charged with.", self.charged()),
            ("runwire_memory_budget_bytes", "The budget; 0 without one.", budget),
            ("runwire_draining", "1 while the server is ending.", self.is_draining() as usize),
        ] {
            page.one(name, GAUGE, help, value as u64);
        }
    }

    fn write_hooks(&self, page: &mut Page) {
        let (waiting, counts) = self.hooks.counts();
        page.each(
            "runwire_webhook_tries_total",
            COUNTER,
            "Tries to deliver to webhooks, by what came of them.",
            "outcome",
            super::hooks::COUNTS.into_iter().zip(counts),
        );
        page.one("runwire_webhooks_waiting", GAUGE, "Deliveries in memory that wait.", {
            waiting as u64
        });
        page.one("runwire_webhooks_stored", GAUGE, "1 while the store has further ones.", {
            u64::from(self.hooks.is_beyond())
        });
    }

    fn write_readers(&self, page: &mut Page) {
        let lag = self.lag();
        for (name, help, value) in [
            (
                "runwire_subscriber_lag_bytes",
                "Bytes in memory that readers have not taken yet, all together.",
                lag.bytes,
            ),
            (
                "runwire_subscriber_lag_bytes_max",
                "The same of the reader that is furthest behind.",
                lag.bytes_max,
            ),
            (
                "runwire_subscribers_behind",
                "Readers whose next event is not in memory but in the store.",
                lag.behind,
            ),
            (
                "runwire_subscriber_lag_events_max",
                "How many events the last of those is behind.",
                lag.events_max,
            ),
        ] {
            page.one(name, GAUGE, help, value);
        }
    }

    fn write_store(&self, page: &mut Page, measures: &Measures) {
        let faults = self.metrics.store_faults;
        page.one("runwire_store_failing", GAUGE, "1 while the store takes nothing.", {
            u64::from(self.keep.fault().is_some())
        });
        page.one("runwire_store_backlog_bytes", GAUGE, "Events that wait for the store.", {
            self.keep.backlog_bytes() as u64
        });
        page.one("runwire_store_faults_total", COUNTER, "What the store could not do.", faults);
        page.one("runwire_store_rows_total", COUNTER, "Things written to the store.", {
            measures.rows
        });
        page.one("runwire_store_pages_total", COUNTER, "Pages of events read for readers.", {
            self.metrics.store_pages
        });
        for (name, help, tally) in [
            ("runwire_store_commit_seconds", "Transactions.", &measures.commits),
            ("runwire_store_sync_seconds", "Waits for the disk.", &measures.syncs),
            ("runwire_store_read_seconds", "Questions to the store.", &measures.reads),
        ] {
            page.times(name, help, tally);
        }
    }

    fn lag(&self) -> Lag {
        let mut lag = Lag::default();
        for (_, conn) in self.conns.iter() {
            self.add_lag(&mut lag, conn);
        }
        lag
    }

    fn add_lag(&self, lag: &mut Lag, conn: &Conn) {
        let mut in_log = 0;
        for cursor in conn.cursors() {
            let log = &self.runs.get(cursor.run).expect("a subscriber of a forgotten run").log;
            in_log += match cursor.behind {
                Some(next_seq) => {
                    lag.behind += 1;
                    lag.events_max = lag.events_max.max(log.shown_seq() - next_seq);
                    log.end() - log.start()
                }
                None => log.end() - cursor.at,
            };
        }
        if conn.cursors().is_empty() {
            return;
        }
        let bytes = conn.unsent().len() as u64 + in_log;
        lag.bytes += bytes;
        lag.bytes_max = lag.bytes_max.max(bytes);
    }
}

fn write_models(page: &mut Page, measures: &Measures) {
    page.times(
        "runwire_model_first_piece_seconds",
        "From the question to the first piece of a model's turn.",
        &measures.first_pieces,
    );
    page.times("runwire_model_turn_seconds", "Whole turns of models.", &measures.turns);
    page.one("runwire_model_failures_total", COUNTER, "Turns of models that failed.", {
        measures.turns_failed
    });
}
