//! The table: each figure, what it should reach, and the other server's figure beside it.
use std::collections::BTreeMap;

/// Named values out of one measurement.
pub type Figures = Vec<(&'static str, f64)>;

struct Row {
    name: &'static str,
    what: &'static str,
    unit: Unit,
    goal: Goal,
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
    More,
    Less,
}

const MIB: f64 = 1024.0 * 1024.0;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "size core", what: "static binary, core with its command line", unit: Unit::Bytes, goal: Goal::AtMost(2.0 * MIB) },
    Row { name: "size", what: "static binary, everything", unit: Unit::Bytes, goal: Goal::AtMost(5.0 * MIB) },
    Row { name: "start", what: "exec to the first 200 on /health", unit: Unit::Millis, goal: Goal::AtMost(20.0) },
    Row { name: "resident", what: "resident memory, nothing to do", unit: Unit::Bytes, goal: Goal::AtMost(4.0 * MIB) },
    Row { name: "idle stream", what: "server memory an idle stream, of 10,000", unit: Unit::Bytes, goal: Goal::AtMost(1024.0) },
    Row { name: "open stream", what: "CPU to open one of them", unit: Unit::Micros, goal: Goal::Less },
    Row { name: "never-reader", what: "memory grown a reader that never reads, of 100", unit: Unit::Bytes, goal: Goal::Less },
    Row { name: "p99 alone", what: "p99 of a reader alone", unit: Unit::Millis, goal: Goal::Less },
    Row { name: "p99 beside", what: "p99 of a reader beside 100 that never read", unit: Unit::Millis, goal: Goal::Less },
    Row { name: "deliveries", what: "deliveries a CPU second, 1,000 readers, full speed", unit: Unit::Count, goal: Goal::AtLeast(2e6) },
    Row { name: "live deliveries", what: "deliveries a CPU second, 1,000 readers, 20 events/s", unit: Unit::Count, goal: Goal::More },
    Row { name: "live p50", what: "p50 of those", unit: Unit::Millis, goal: Goal::Less },
    Row { name: "live p99", what: "p99 of those", unit: Unit::Millis, goal: Goal::Less },
    Row { name: "posts", what: "accepted runs a CPU second, 64 connections", unit: Unit::Count, goal: Goal::AtLeast(40_000.0) },
    Row { name: "refused", what: "refused of 100,000 posts", unit: Unit::Count, goal: Goal::Less },
    Row { name: "post p99", what: "p99 of a post among 64", unit: Unit::Millis, goal: Goal::Less },
    Row { name: "run kept", what: "memory a finished run nobody has read", unit: Unit::Bytes, goal: Goal::Less },
    Row { name: "host streams", what: "32 MiB of addresses: idle streams held", unit: Unit::Count, goal: Goal::AtLeast(1000.0) },
    Row { name: "host runs", what: "32 MiB of addresses: runs completed beside them", unit: Unit::Count, goal: Goal::AtLeast(16.0) },
    Row { name: "host peak", what: "32 MiB of addresses: peak of resident memory", unit: Unit::Bytes, goal: Goal::AtMost(32.0 * MIB) },
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

pub fn print(own: &Sheet, other: &Sheet) {
    println!("{:<52} {:>12} {:>12} {:>8}  goal", "figure", "runwire", "axum", "better");
    for row in ROWS {
        let Some(value) = own.value(row.name) else { continue };
        let beside = other.value(row.name);
        let shown = beside.map_or(String::new(), |value| row.unit.show(value));
        let better = beside.and_then(|beside| row.goal.better(value, beside));
        let better = better.map_or(String::new(), |times| format!("{times:.1}x"));
        let goal = row.goal.show(&row.unit, value);
        println!("{:<52} {:>12} {shown:>12} {better:>8}  {goal}", row.what, row.unit.show(value));
    }
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
            Goal::AtMost(_) | Goal::Less => beside / value,
        };
        times.is_finite().then_some(times)
    }

    fn show(&self, unit: &Unit, value: f64) -> String {
        let (sign, goal, reached) = match self {
            Goal::AtLeast(goal) => ("≥", goal, value >= *goal),
            Goal::AtMost(goal) => ("≤", goal, value <= *goal),
            Goal::More | Goal::Less => return String::new(),
        };
        let verdict = if reached { "reached" } else { "MISSED" };
        format!("{sign} {} {verdict}", unit.show(*goal))
    }
}
