//! The log on stderr: one line for each thing that happened, for people or for programs.
//!
//! A line is a moment, a level, what happened, and fields. Whatever a client may have chosen in
//! it is escaped, so that it cannot end a line, begin another, or steer a terminal.
use super::log_queue::{self, Queue};
use super::settings::{LogForm, Settings};
use super::shown::clean;
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use runwire::time::civil;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the end waits for lines that nobody takes.
const FLUSH: Duration = Duration::from_secs(1);

struct Stderr {
    is_json: bool,
}

static LOGGER: OnceLock<Stderr> = OnceLock::new();
/// There only where nothing may wait for whoever reads stderr: in a server.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Has log lines written from now on. Call once.
pub fn start(settings: &Settings) {
    let logger = LOGGER.get_or_init(|| Stderr { is_json: settings.log == LogForm::Json });
    log::set_logger(logger).expect("only main starts the logger, and once");
    let is_off = settings.log == LogForm::Off;
    log::set_max_level(if is_off { LevelFilter::Off } else { settings.log_level });
}

/// Has all that is written from now on handed to a thread, so that nobody waits for stderr.
pub fn queue() -> std::io::Result<()> {
    let queue = log_queue::start(dropped)?;
    QUEUE.get_or_init(|| queue);
    // What a panic says may be part of what it choked on.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        log::error!(place = place.unwrap_or_default().as_str(); "panic");
    }));
    Ok(())
}

/// True if standard error is for programs: nothing but log lines may be written there.
pub fn is_json() -> bool {
    LOGGER.get().is_some_and(|logger| logger.is_json)
}

/// Writes this as it is.
pub fn print(text: String) {
    match QUEUE.get() {
        Some(queue) => queue.put(text),
        // Where nobody listens there is nobody to tell.
        None => drop(std::io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until all is written, but not for long.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

impl Log for Stderr {
    /// What libraries say in passing may hold more than belongs here.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("runwire") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            print(line(self.is_json, now(), record));
        }
    }

    fn flush(&self) {
        flush();
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The line that says how many lines there is no trace of.
fn dropped(count: u64) -> String {
    let fields = [("lines", Value::from(count))];
    let fields = fields.as_slice();
    let mut record = Record::builder();
    record.level(Level::Warn).key_values(&fields);
    line(is_json(), now(), &record.args(format_args!("log.dropped")).build())
}

fn line(is_json: bool, since: Duration, record: &Record<'_>) -> String {
    let time = utc(since.as_secs(), since.subsec_millis());
    let what = record.args().to_string();
    let fields = record.key_values();
    let mut line = Line { text: String::with_capacity(256), is_json };
    let level = record.level();
    if is_json {
        line.text.push_str("{\"ts\":\"");
        line.text.push_str(&time);
        line.text.push_str("\",\"level\":\"");
        line.text.push_str(&level.as_str().to_ascii_lowercase());
        line.text.push_str("\",\"event\":");
        let is_message = fields.count() == 0 && what.contains(' ');
        line.quoted(if is_message { "message" } else { &what });
        if is_message {
            line.text.push_str(",\"message\":");
            line.quoted(&what);
        }
    } else {
        let what = clean(&what).replace('\n', " ");
        write!(line.text, "{time} {level:<5} {what}").expect("a String takes any text");
    }
    fields.visit(&mut line).expect("a line takes any field");
    line.text.push_str(if is_json { "}\n" } else { "\n" });
    line.text
}

struct Line {
    text: String,
    is_json: bool,
}

impl<'kvs> VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.text.push_str(if self.is_json { ",\"" } else { " " });
        self.text.push_str(key.as_str());
        self.text.push_str(if self.is_json { "\":" } else { "=" });
        let number = value.to_u64().filter(|_| value.to_borrowed_str().is_none());
        match number {
            Some(number) => write!(self.text, "{number}").expect("a String takes any text"),
            None => self.value(&value.to_string()),
        }
        Ok(())
    }
}

impl Line {
    fn value(&mut self, text: &str) {
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"\\=".contains(&b);
        if self.is_json || text.is_empty() || !text.bytes().all(is_plain) {
            self.quoted(text);
        } else {
            self.text.push_str(text);
        }
    }

    /// `text` as a string of JSON, in which nothing is left that a terminal would obey.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                c if c.is_control() || turns => {
                    write!(self.text, "\\u{:04x}", c as u32).expect("a String takes any text");
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

/// A moment as RFC 3339 writes it.
pub fn utc(unix_seconds: u64, ms: u32) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(seconds, 0), written);
        }
    }

    fn written(is_json: bool, what: &str, fields: &[(&'static str, Value<'_>)]) -> String {
        let mut record = Record::builder();
        record.level(Level::Info).key_values(&fields);
        line(is_json, Duration::ZERO, &record.args(format_args!("{what}")).build())
    }

    const HOSTILE: &str = "a\nb\r\x1b[2J\u{9b}\u{202e}\u{2028}\0\u{7f}\"\\ é";

    #[test]
    fn a_text_line_stays_one_line_whatever_is_in_it() {
        let fields = [("path", HOSTILE.into()), ("status", 200_u64.into()), ("owner", "a".into())];
        let line = written(false, "request", &fields);
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z INFO  request path=\"a\\u000ab\\u000d\\u001b[2J\\u009b\
             \\u202e\\u2028\\u0000\\u007f\\\"\\\\ é\" status=200 owner=a\n"
        );
        let message = written(false, HOSTILE, &[]);
        assert_eq!(message.matches(|c: char| c.is_control()).count(), 1, "{message:?}");
    }

    #[test]
    fn a_json_line_says_exactly_what_it_was_given() {
        let digits = "12";
        let fields = [("path", HOSTILE.into()), ("ms", 7_u64.into()), ("digits", digits.into())];
        let line = written(true, "request", &fields);
        assert_eq!(line.matches(|c: char| c.is_control()).count(), 1, "{line:?}");
        let value: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "ts": "1970-01-01T00:00:00.000Z", "level": "info", "event": "request",
                "path": HOSTILE, "ms": 7, "digits": "12",
            })
        );
        let message: serde_json::Value =
            serde_json::from_str(&written(true, "All is well.", &[])).expect("it is JSON");
        assert_eq!(
            (&message["event"], &message["message"]),
            (&"message".into(), &"All is well.".into())
        );
    }
}
