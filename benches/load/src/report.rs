//! The table: each figure with runs in memory and in a file, what it should reach, and the other
//! server's figure beside it.
use std::collections::BTreeMap;

/// Named values out of one measurement.
pub type Figures = Vec<(&'static str, f64)>;

struct Row {
    name: &'static str,
    what: &'static str,
    unit: Unit,
    goal: Goal,
    /// What is to be reached with runs in a file.
    durable: Goal,
}

enum Unit {
    Count,
    Bytes,
    Millis,
    Micros,
}

/// What is better, and from where on it is good enough.
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// At most so much more than with runs in memory.
    AtMostMore(f64),
    More,
    Less,
}

const MIB: f64 = 1024.0 * 1024.0;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "size core", what: "static binary, core on its five packages", unit: Unit::Bytes, goal: Goal::AtMost(2.0 * MIB), durable: Goal::Less },
    Row { name: "size", what: "static binary, everything", unit: Unit::Bytes, goal: Goal::AtMost(5.0 * MIB), durable: Goal::Less },
    Row { name: "start", what: "exec to the first 200 on /health", unit: Unit::Millis, goal: Goal::AtMost(20.0), durable: Goal::AtMost(20.0) },
    Row { name: "first start", what: "the same for the first time in its folder", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "resident", what: "resident memory, nothing to do", unit: Unit::Bytes, goal: Goal::AtMost(4.0 * MIB), durable: Goal::Less },
    Row { name: "idle stream", what: "server memory an idle stream, of 10,000", unit: Unit::Bytes, goal: Goal::AtMost(1024.0), durable: Goal::AtMost(1024.0) },
    Row { name: "open stream", what: "CPU to open one of them", unit: Unit::Micros, goal: Goal::Less, durable: Goal::Less },
    Row { name: "never-reader", what: "memory grown a reader that never reads, of 100", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::Less },
    Row { name: "p99 alone", what: "p99 of a reader alone", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "p99 beside", what: "p99 of a reader beside 100 that never read", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "deliveries", what: "deliveries a CPU second, 1,000 readers, full speed", unit: Unit::Count, goal: Goal::AtLeast(2e6), durable: Goal::More },
    Row { name: "live deliveries", what: "deliveries a CPU second, 1,000 readers, 20 events/s", unit: Unit::Count, goal: Goal::More, durable: Goal::More },
    Row { name: "live p50", what: "p50 of those", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "live p99", what: "p99 of those", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "posts a second", what: "accepted runs a second, 64 connections", unit: Unit::Count, goal: Goal::More, durable: Goal::AtLeast(5_000.0) },
    Row { name: "posts", what: "accepted runs a CPU second, 64 connections", unit: Unit::Count, goal: Goal::AtLeast(40_000.0), durable: Goal::More },
    Row { name: "refused", what: "refused beside 100,000 accepted", unit: Unit::Count, goal: Goal::Less, durable: Goal::Less },
    Row { name: "post p50", what: "p50 of a post among 64", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "post p99", what: "p99 of a post among 64", unit: Unit::Millis, goal: Goal::Less, durable: Goal::Less },
    Row { name: "run kept", what: "memory a finished run nobody has read", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::Less },
    Row { name: "host streams", what: "32 MiB of addresses: idle streams held", unit: Unit::Count, goal: Goal::AtLeast(1000.0), durable: Goal::AtLeast(1000.0) },
    Row { name: "host runs", what: "32 MiB of addresses: runs completed beside them", unit: Unit::Count, goal: Goal::AtLeast(16.0), durable: Goal::AtLeast(16.0) },
    Row { name: "host peak", what: "32 MiB of addresses: peak of resident memory", unit: Unit::Bytes, goal: Goal::AtMost(32.0 * MIB), durable: Goal::AtMost(32.0 * MIB) },
    Row { name: "delta p50", what: "p50 from agent to reader, 50 runs, 1,000 events/s", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMostMore(1.0) },
    Row { name: "delta p99", what: "p99 of those", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMostMore(5.0) },
    Row { name: "delta cpu", what: "CPU for one of those", unit: Unit::Micros, goal: Goal::Less, durable: Goal::Less },
    Row { name: "flood", what: "deltas a second, 8 runs and their readers", unit: Unit::Count, goal: Goal::More, durable: Goal::AtLeast(100_000.0) },
    Row { name: "flood cpu", what: "deltas a CPU second, 8 runs and their readers", unit: Unit::Count, goal: Goal::More, durable: Goal::More },
    Row { name: "flood peak", what: "peak of resident memory with those", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::Less },
    Row { name: "long peak", what: "run of 1,000,000 deltas: peak of resident memory", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::AtMost(32.0 * MIB) },
    Row { name: "late deltas", what: "run of 1,000,000 deltas: what a late reader gets", unit: Unit::Count, goal: Goal::More, durable: Goal::AtLeast(1e6) },
    Row { name: "late speed", what: "deltas a second to that reader", unit: Unit::Count, goal: Goal::More, durable: Goal::More },
    Row { name: "late cpu", what: "deltas a CPU second to that reader", unit: Unit::Count, goal: Goal::More, durable: Goal::More },
    Row { name: "kept start", what: "100,000 runs kept: exec to the first 200", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(200.0) },
    Row { name: "kept first start", what: "100,000 runs kept: the same after a kill", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(200.0) },
    Row { name: "kept resident", what: "100,000 runs kept: resident memory", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::Less },
    Row { name: "kept file", what: "100,000 runs kept: bytes on disk, a run", unit: Unit::Bytes, goal: Goal::Less, durable: Goal::Less },
    Row { name: "page newest", what: "100,000 runs kept: the newest 50", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(5.0) },
    Row { name: "page p50", what: "100,000 runs kept: 50 from anywhere, p50", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(5.0) },
    Row { name: "page p99", what: "100,000 runs kept: 50 from anywhere, p99", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(5.0) },
    Row { name: "replay p50", what: "100,000 runs kept: first event of a replay, p50", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(5.0) },
    Row { name: "replay p99", what: "100,000 runs kept: first event of a replay, p99", unit: Unit::Millis, goal: Goal::Less, durable: Goal::AtMost(5.0) },
];

/// All values of one server, from as many rounds as there were.
#[derive(Default)]
pub struct Sheet(BTreeMap<&'static str, Vec<f64>>);

impl Sheet {
    pub fn add(&mut self, figures: Figures) {
        for (name, value) in figures {
            assert!(ROWS.iter().any(|row| row.name == name), "`{name}` has no row");
            self.0.entry(name).or_default().push(value);
        }
    }

    /// The median over the rounds.
    fn value(&self, name: &str) -> Option<f64> {
        let mut values = self.0.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }
}

pub fn print(memory: &Sheet, durable: &Sheet, axum: &Sheet) {
    println!(
        "{:<52} {:>12} {:>12} {:>8} {:>12} {:>8}  goal",
        "figure", "memory", "sqlite", "ratio", "axum", "better"
    );
    for row in ROWS {
        let values = [memory, durable, axum].map(|sheet| sheet.value(row.name));
        if values.iter().any(Option::is_some) {
            print_row(row, values);
        }
    }
}

/// `ratio` is sqlite's figure to memory's, `better` how many times as good memory's is as axum's.
fn print_row(row: &Row, values: [Option<f64>; 3]) {
    let [memory, durable, axum] = values;
    let [shown, shown_durable, shown_axum] =
        values.map(|value| value.map_or(String::new(), |value| row.unit.show(value)));
    let ratio = memory.zip(durable).map(|(memory, durable)| durable / memory);
    let ratio = ratio.filter(|ratio| ratio.is_finite());
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let better = memory.zip(axum).and_then(|(memory, axum)| row.goal.better(memory, axum));
    let better = better.map_or(String::new(), |times| format!("{times:.1}x"));
    let verdicts = [
        memory.and_then(|value| row.goal.show(&row.unit, value, value)),
        durable.and_then(|value| row.durable.show(&row.unit, value, memory.unwrap_or(0.0))),
    ];
    let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
    println!(
        "{:<52} {shown:>12} {shown_durable:>12} {ratio:>8} {shown_axum:>12} {better:>8}  {}",
        row.what,
        verdicts.join("; ")
    );
}

impl Unit {
    fn show(&self, value: f64) -> String {
        match self {
            Unit::Count if value >= 1e6 => format!("{:.2} M", value / 1e6),
            Unit::Count => format!("{value:.0}"),
            Unit::Bytes if value >= MIB / 2.0 => format!("{:.2} MiB", value / MIB),
            Unit::Bytes => format!("{value:.0} B"),
            Unit::Millis => format!("{value:.2} ms"),
            Unit::Micros => format!("{value:.1} µs"),
        }
    }
}

impl Goal {
    /// How many times as good the first value is as the second.
    fn better(&self, value: f64, beside: f64) -> Option<f64> {
        let times = match self {
            Goal::AtLeast(_) | Goal::More => value / beside,
            Goal::AtMost(_) | Goal::AtMostMore(_) | Goal::Less => beside / value,
        };
        times.is_finite().then_some(times)
    }

    fn show(&self, unit: &Unit, value: f64, in_memory: f64) -> Option<String> {
        let (sign, goal, reached) = match self {
            Goal::AtLeast(goal) => ("≥ ", goal, value >= *goal),
            Goal::AtMost(goal) => ("≤ ", goal, value <= *goal),
            Goal::AtMostMore(goal) => ("≤ memory + ", goal, value <= in_memory + *goal),
            Goal::More | Goal::Less => return None,
        };
        let verdict = if reached { "reached" } else { "MISSED" };
        Some(format!("{sign}{} {verdict}", unit.show(*goal)))
    }
}
