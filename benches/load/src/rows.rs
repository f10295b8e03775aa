//! The rows of the table: what each figure is, its unit, and what it should reach.

/// A figure of one measurement.
pub struct Row {
    /// The measurement it comes from, and its own name among that one's values.
    pub measure: &'static str,
    pub name: &'static str,
    pub what: &'static str,
    pub unit: Unit,
    pub goal: Goal,
    /// What is to be reached with runs in a file.
    pub durable: Goal,
}

pub enum Unit {
    Count,
    Bytes,
    Millis,
    Micros,
    Times,
}

/// What is better, and from where on it is good enough. Of two numbers the first must be reached
/// and the second is the aim; where there is no aim they are the same.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// At most so many times the limit's figure of the same round.
    TimesLimit(f64, f64),
    /// At least this share of the limit's figure of the same round.
    ShareOfLimit(f64, f64),
    /// At most so much more than with runs in memory.
    AtMostMore(f64),
    /// Only told, not held to anything.
    Told,
}

use Goal::{AtLeast, AtMost, AtMostMore, ShareOfLimit, TimesLimit, Told};
use Unit::{Bytes, Count, Micros, Millis, Times};

pub const MIB: f64 = 1024.0 * 1024.0;
/// Memory that has grown by less than this has not grown: a few pages come and go by themselves.
const PAGES: f64 = 16.0 * 1024.0;

const fn row(
    measure: &'static str,
    name: &'static str,
    what: &'static str,
    unit: Unit,
    goal: Goal,
    durable: Goal,
) -> Row {
    Row { measure, name, what, unit, goal, durable }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("sizes", "size core", "static binary, core", Bytes, AtMost(2.0 * MIB, 1.6 * MIB), Told),
    row("sizes", "size small", "static binary, core and command line", Bytes, AtMost(2.5 * MIB, 2.5 * MIB), Told),
    row("sizes", "size", "static binary, everything", Bytes, AtMost(5.0 * MIB, 4.0 * MIB), Told),
    row("start", "start", "exec to the first 200 on /health", Millis, AtMost(20.0, 5.0), AtMost(20.0, 5.0)),
    row("start", "first start", "the same for the first time in its folder", Millis, Told, Told),
    row("start", "resident", "resident memory, nothing to do", Bytes, AtMost(4.0 * MIB, 2.0 * MIB), Told),
    row("idle", "idle stream", "user memory an idle stream, of 10,000", Bytes, AtMost(512.0, 128.0), AtMost(512.0, 128.0)),
    row("idle", "open stream", "CPU to open one of them", Micros, Told, Told),
    row("paced", "live cpu", "CPU for a delivery, 20 events/s to 1,000 readers", Micros, TimesLimit(1.15, 1.0), Told),
    row("paced", "live deliveries", "the same: deliveries a CPU second", Count, Told, Told),
    row("paced", "live p50", "the same: p50", Millis, Told, Told),
    row("paced", "live p99", "the same: p99", Millis, TimesLimit(1.1, 1.0), Told),
    row("fan_out", "deliveries", "deliveries a CPU second, 1,000 readers, full speed (limit: batch)", Count, ShareOfLimit(0.3, 0.6), Told),
    row("post", "post cpu", "CPU to accept a run, 64 connections", Micros, TimesLimit(1.5, 1.2), Told),
    row("post", "post p50", "the same: p50", Millis, Told, Told),
    row("post", "post p99", "the same: p99", Millis, TimesLimit(1.19, 1.04), Told),
    row("post", "posts", "the same: accepted runs a CPU second", Count, AtLeast(40_000.0, 40_000.0), Told),
    row("post", "posts a second", "the same: accepted runs a second", Count, Told, AtLeast(5_000.0, 5_000.0)),
    row("post", "run kept", "memory of a run nobody has read", Bytes, AtMost(1000.0, 400.0), Told),
    row("runs", "runs", "runs of 100 events at full speed a CPU second, 200 at once", Count, AtLeast(5_000.0, 9_000.0), Told),
    row("runs", "runs a second", "the same: runs a second", Count, Told, Told),
    row("runs", "runs peak", "the same: peak of resident memory", Bytes, Told, Told),
    row("runs_paced", "event cpu", "CPU for an event of 200 runs, each 50 events/s on its own thread", Micros, TimesLimit(2.5, 2.0), Told),
    row("runs_paced", "event p99", "the same: p99 from agent to reader", Millis, Told, Told),
    row("never_readers", "deaf user", "user memory 100 readers that never read add, beside the log", Bytes, AtMost(MIB, MIB), AtMost(MIB, MIB)),
    row("never_readers", "deaf kernel", "kernel socket memory they hold", Bytes, AtMost(10.0 * MIB, 10.0 * MIB), AtMost(10.0 * MIB, 10.0 * MIB)),
    row("never_readers", "p99 alone", "p99 of a reader alone", Millis, Told, Told),
    row("never_readers", "p99 beside", "p99 of a reader beside them", Millis, Told, Told),
    row("never_readers", "p99 ratio", "p99 beside them against alone", Times, AtMost(1.4, 1.0), Told),
    row("churn", "churn cpu", "CPU for a reader that comes, reads 3 events and goes", Micros, TimesLimit(1.3, 1.1), Told),
    row("churn", "churn fds", "descriptors left over by 10,000 of those", Count, AtMost(0.0, 0.0), AtMost(0.0, 0.0)),
    row("churn", "churn memory", "memory grown by the second 5,000 of those", Bytes, AtMost(PAGES, PAGES), AtMost(PAGES, PAGES)),
    row("tools", "tools cpu", "CPU for a run through the tool loop: `read_file`, 200 deltas", Millis, AtMost(5.0, 2.0), Told),
    row("tools", "tools took", "100 of those at once: all done after", Millis, AtMost(2000.0, 2000.0), Told),
    row("tools", "tools peak", "the same: peak of resident memory", Bytes, AtMost(24.0 * MIB, 12.0 * MIB), Told),
    row("tools", "command cpu", "CPU for a run with a command: `terminal`, 200 deltas", Millis, AtMost(5.0, 2.0), Told),
    row("tools", "command children", "of that, the command's processes", Millis, Told, Told),
    row("tools", "command took", "100 of those at once: all done after", Millis, AtMost(2000.0, 2000.0), Told),
    row("tools", "command peak", "the same: peak of resident memory", Bytes, AtMost(24.0 * MIB, 12.0 * MIB), Told),
    row("small_host", "host streams", "32 MiB of addresses: idle streams held", Count, AtLeast(1000.0, 1000.0), Told),
    row("small_host", "host runs", "32 MiB of addresses: runs completed beside them", Count, AtLeast(16.0, 16.0), Told),
    row("small_host", "host peak", "32 MiB of addresses: peak of resident memory", Bytes, AtMost(32.0 * MIB, 32.0 * MIB), Told),
    row("pace", "delta p50", "p50 from agent to reader, 50 runs, 1,000 events/s", Millis, Told, AtMostMore(1.0)),
    row("pace", "delta p99", "p99 of those", Millis, Told, AtMostMore(5.0)),
    row("pace", "delta cpu", "CPU for one of those", Micros, Told, Told),
    row("flood", "flood", "deltas a second, 8 runs and their readers", Count, Told, AtLeast(100_000.0, 100_000.0)),
    row("flood", "flood cpu", "deltas a CPU second, 8 runs and their readers", Count, Told, Told),
    row("flood", "flood peak", "peak of resident memory with those", Bytes, Told, Told),
    row("long", "long peak", "run of 1,000,000 deltas: peak of resident memory", Bytes, Told, AtMost(32.0 * MIB, 32.0 * MIB)),
    row("long", "late deltas", "run of 1,000,000 deltas: what a late reader gets", Count, Told, AtLeast(1e6, 1e6)),
    row("long", "late speed", "deltas a second to that reader", Count, Told, Told),
    row("long", "late cpu", "deltas a CPU second to that reader", Count, Told, Told),
    row("kept", "kept start", "100,000 runs kept: exec to the first 200", Millis, Told, AtMost(200.0, 200.0)),
    row("kept", "kept first start", "100,000 runs kept: the same after a kill", Millis, Told, AtMost(200.0, 200.0)),
    row("kept", "kept resident", "100,000 runs kept: resident memory", Bytes, Told, Told),
    row("kept", "kept file", "100,000 runs kept: bytes on disk, a run", Bytes, Told, Told),
    row("kept", "page newest", "100,000 runs kept: the newest 50", Millis, Told, AtMost(5.0, 5.0)),
    row("kept", "page p50", "100,000 runs kept: 50 from anywhere, p50", Millis, Told, AtMost(5.0, 5.0)),
    row("kept", "page p99", "100,000 runs kept: 50 from anywhere, p99", Millis, Told, AtMost(5.0, 5.0)),
    row("kept", "replay p50", "100,000 runs kept: first event of a replay, p50", Millis, Told, AtMost(5.0, 5.0)),
    row("kept", "replay p99", "100,000 runs kept: first event of a replay, p99", Millis, Told, AtMost(5.0, 5.0)),
];

impl Unit {
    pub fn show(&self, value: f64) -> String {
        match self {
            Count if value >= 1e6 => format!("{:.2} M", value / 1e6),
            Count => thousands(value),
            Bytes if value.abs() >= MIB / 2.0 => format!("{:.2} MiB", value / MIB),
            Bytes => format!("{} B", thousands(value)),
            Millis if value >= 100.0 => format!("{value:.0} ms"),
            Millis => format!("{value:.2} ms"),
            Micros => format!("{value:.1} µs"),
            Times => format!("{value:.2}"),
        }
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value <= -0.5 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Goal {
    /// The goal and whether `value` reaches it; `None` where there is none, or where what it is
    /// compared with was not measured. `times` is the value against the limit's.
    pub fn judge(
        self,
        unit: &Unit,
        value: f64,
        times: Option<f64>,
        in_memory: Option<f64>,
    ) -> Option<String> {
        let (text, value, must, aim, more_is_better) = match self {
            AtLeast(must, aim) => (format!("≥ {}", unit.show(must)), value, must, aim, true),
            AtMost(must, aim) => (format!("≤ {}", unit.show(must)), value, must, aim, false),
            TimesLimit(must, aim) => (format!("≤ {must} × limit"), times?, must, aim, false),
            ShareOfLimit(must, aim) => (format!("≥ {must} × limit"), times?, must, aim, true),
            AtMostMore(more) => {
                let most = in_memory? + more;
                (format!("≤ memory + {}", unit.show(more)), value, most, most, false)
            }
            Told => return None,
        };
        let reaches = |goal: f64| if more_is_better { value >= goal } else { value <= goal };
        let verdict = match (reaches(must), reaches(aim), must == aim) {
            (false, ..) => "MISSED",
            (true, _, true) => "met",
            (true, true, false) => "met, and its aim",
            (true, false, false) => "met, not its aim",
        };
        let aim = if must == aim {
            String::new()
        } else if matches!(self, TimesLimit(..) | ShareOfLimit(..)) {
            format!(" (aim {aim})")
        } else {
            format!(" (aim {})", unit.show(aim))
        };
        Some(format!("{text}{aim}: {verdict}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_says_whether_it_is_reached() {
        let judge = |goal: Goal, value, times| goal.judge(&Micros, value, times, Some(2.0));
        let times = TimesLimit(1.5, 1.2);
        assert_eq!(judge(times, 9.0, Some(1.6)).unwrap(), "≤ 1.5 × limit (aim 1.2): MISSED");
        assert!(judge(times, 9.0, Some(1.4)).unwrap().ends_with("met, not its aim"));
        assert!(judge(times, 9.0, Some(1.2)).unwrap().ends_with("met, and its aim"));
        assert_eq!(judge(times, 9.0, None), None, "without a limit nothing is known");
        assert!(judge(ShareOfLimit(0.3, 0.6), 9.0, Some(0.2)).unwrap().ends_with("MISSED"));
        assert_eq!(judge(AtLeast(9.0, 9.0), 9.0, None).unwrap(), "≥ 9.0 µs: met");
        assert_eq!(judge(AtMostMore(1.0), 3.5, None).unwrap(), "≤ memory + 1.0 µs: MISSED");
        assert_eq!(judge(Told, 3.5, None), None);
    }

    #[test]
    fn numbers_are_shown_in_threes() {
        let shown = [0.2, -1234.0, 999.6, 1234567.0].map(thousands);
        assert_eq!(shown, ["0", "-1,234", "1,000", "1,234,567"]);
    }
}
