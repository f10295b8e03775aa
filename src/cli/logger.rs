//! Log lines on stderr: when, how grave, what.
use super::shown::clean;
use log::{LevelFilter, Log, Metadata, Record};
use runwire::time::civil;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

struct Stderr;

/// Has log lines up to `level` written from now on. Call once.
pub fn start(level: LevelFilter) {
    log::set_logger(&Stderr).expect("only main starts the logger, and once");
    log::set_max_level(level);
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = utc(since.as_secs(), since.subsec_millis());
        let text = clean(&record.args().to_string()).replace('\n', " ");
        // Where nobody listens there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{time} {:<5} {text}", record.level());
    }

    fn flush(&self) {}
}

/// A moment as RFC 3339 writes it.
fn utc(unix_seconds: u64, ms: u32) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

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
}
