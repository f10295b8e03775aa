//! The text format of metrics, as Prometheus reads it (exposition format 0.0.4).
use super::digits::{decimal, padded};
use crate::tally::{BOUNDS, Tally};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub const COUNTER: &str = "counter";
pub const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";

/// A page of metrics being written: families one after the other, each with all its samples.
#[derive(Debug, Default)]
pub struct Page {
    out: Vec<u8>,
    name: &'static str,
}

impl Page {
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A family of one sample without labels.
    pub fn one(&mut self, name: &'static str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(None, value);
    }

    /// A family whose samples differ in one label.
    pub fn each<'a>(
        &mut self,
        name: &'static str,
        kind: &str,
        help: &str,
        label: &str,
        samples: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, kind, help);
        for (value, count) in samples {
            self.sample(Some((label, value)), count);
        }
    }

    /// A family of one histogram.
    pub fn times(&mut self, name: &'static str, help: &str, tally: &Tally) {
        self.begin_times(name, help);
        self.histogram(None, tally);
    }

    pub fn begin_times(&mut self, name: &'static str, help: &str) {
        self.family(name, HISTOGRAM, help);
    }

    /// Begins a family, to which all samples belong until the next one.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.words(&["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    }

    pub fn sample(&mut self, label: Option<(&str, &str)>, value: u64) {
        self.series("", label, None);
        decimal(&mut self.out, value);
        self.out.push(b'\n');
    }

    /// A sample in seconds.
    pub fn seconds(&mut self, us: u64) {
        self.series("", None, None);
        self.decimal_seconds(us);
    }

    pub fn histogram(&mut self, label: Option<(&str, &str)>, tally: &Tally) {
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let mut total = 0;
        for (bound, count) in bounds.zip(tally.counts) {
            total += count;
            self.series("_bucket", label, Some(("le", bound)));
            decimal(&mut self.out, total);
            self.out.push(b'\n');
        }
        self.series("_sum", label, None);
        self.decimal_seconds(tally.sum_us);
        self.series("_count", label, None);
        decimal(&mut self.out, total);
        self.out.push(b'\n');
    }

    fn decimal_seconds(&mut self, us: u64) {
        decimal(&mut self.out, us / 1_000_000);
        self.out.push(b'.');
        padded(&mut self.out, us % 1_000_000, 6);
        self.out.push(b'\n');
    }

    fn series(&mut self, ending: &str, one: Option<(&str, &str)>, other: Option<(&str, &str)>) {
        self.words(&[self.name, ending]);
        let mut mark = b'{';
        for (label, value) in one.into_iter().chain(other) {
            self.out.push(mark);
            self.words(&[label, "=\""]);
            self.escaped(value);
            self.out.push(b'"');
            mark = b',';
        }
        if mark == b',' {
            self.out.push(b'}');
        }
        self.out.push(b' ');
    }

    /// A label's value, in which these three characters are written in two.
    fn escaped(&mut self, value: &str) {
        for byte in value.bytes() {
            match byte {
                b'\n' => self.words(&["\\n"]),
                b'"' => self.words(&["\\\""]),
                b'\\' => self.words(&["\\\\"]),
                byte => self.out.push(byte),
            }
        }
    }

    fn words(&mut self, words: &[&str]) {
        words.iter().for_each(|word| self.out.extend_from_slice(word.as_bytes()));
    }
}
