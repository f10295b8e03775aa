//! What was measured, as a table for people and as one object for programs.
use serde_json::{Map, Value};
use std::fmt::Write;

/// What is told, in its order: the key of the figure, what it is, and in what it is counted. A key
/// in braces stands for that figure. Those whose line is empty are told to programs only.
const ROWS: &[(&str, &str, Unit)] = &[
    ("cores", "processors of this machine", Unit::Count),
    ("binary_bytes", "the program's file", Unit::Bytes),
    ("start_best_us", "exec to the first 200, best of {starts}", Unit::Micros),
    ("start_median_us", "    median", Unit::Micros),
    ("idle_resident_bytes", "resident memory, nothing to do", Unit::Bytes),
    ("idle_stream_bytes", "memory an idle stream, of {idle_streams}", Unit::Bytes),
    (
        "fanout_per_cpu_second",
        "full speed, {fanout_readers} readers: deliveries a CPU second",
        Unit::Count,
    ),
    ("fanout_per_second", "    deliveries a second", Unit::Count),
    ("live_p50_us", "20 events/s, {live_readers} readers: agent to reader, p50", Unit::Micros),
    ("live_p99_us", "    p99", Unit::Micros),
    (
        "post_per_cpu_second",
        "POST, {post_connections} connections: runs accepted a CPU second",
        Unit::Count,
    ),
    ("post_per_second", "    runs accepted a second", Unit::Count),
    ("post_p50_us", "    request to 202, p50", Unit::Micros),
    ("post_p99_us", "    p99", Unit::Micros),
    ("event_p50_us", "{event_runs} runs, a reader each: agent to reader, p50", Unit::Micros),
    ("event_p99_us", "    p99", Unit::Micros),
    ("events_checked", "deliveries, all there and in order", Unit::Count),
];

enum Unit {
    Bytes,
    Micros,
    Count,
}

/// Figures by name; `None` where this machine does not tell.
#[derive(Default)]
pub struct Figures(Vec<(&'static str, Option<u64>)>);

impl Figures {
    pub fn put(&mut self, figures: &[(&'static str, Option<u64>)]) {
        self.0.extend_from_slice(figures);
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == key)?.1
    }

    /// A line for each row of the table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (key, label, unit) in ROWS {
            let told = self.get(key).map(|value| unit.text(value));
            let told = told.unwrap_or_else(|| "not told here".to_owned());
            writeln!(text, "  {:62}{told:>14}", self.label(label)).expect("a String");
        }
        text
    }

    fn label(&self, label: &str) -> String {
        let Some((before, rest)) = label.split_once('{') else { return label.to_owned() };
        let (key, after) = rest.split_once('}').expect("the table is well written");
        format!("{before}{}{after}", grouped(self.get(key).unwrap_or(0)))
    }

    pub fn json(&self, said: &[(&str, &str)]) -> String {
        let mut object = Map::new();
        for (key, text) in said {
            object.insert((*key).to_owned(), (*text).into());
        }
        for (key, value) in &self.0 {
            object.insert((*key).to_owned(), value.map_or(Value::Null, Value::from));
        }
        format!("{}\n", Value::from(object))
    }
}

impl Unit {
    fn text(&self, value: u64) -> String {
        const MIB: u64 = 1024 * 1024;
        match self {
            Unit::Count => grouped(value),
            Unit::Bytes if value < MIB => format!("{} B", grouped(value)),
            Unit::Bytes => format!("{} MiB", hundredths(value * 100 / MIB)),
            Unit::Micros => format!("{} ms", hundredths(value / 10)),
        }
    }
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", grouped(value / 100), value % 100)
}

/// 1234567 as 1,234,567.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
