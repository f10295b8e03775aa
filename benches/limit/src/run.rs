//! A run: the script of its input, and the log of bytes that all its readers are sent.
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const SECOND_NS: u64 = 1_000_000_000;
/// Of an event without its text.
const HEAD_BYTES_MAX: usize = 128;
const SIZE_MAX: usize = 64 * 1024;

/// What a run says, and when. All times are nanoseconds since the program's start.
#[derive(Default)]
pub struct Run {
    pub log: Vec<u8>,
    /// The sockets that read it.
    pub readers: Vec<u32>,
    events_left: u32,
    size: u32,
    step_ns: u64,
    tail_ns: u64,
    /// When the next event is due, or the last one.
    pub due: u64,
    pub is_over: bool,
}

impl Run {
    /// Reads `bench events= size= rate= hold= tail=` out of a request; what is not named is 0.
    pub fn new(request: &[u8], now: u64) -> Run {
        let number = |name: &[u8]| number(request, name);
        let mut run = Run {
            events_left: number(b" events=") as u32,
            size: (number(b" size=") as usize).min(SIZE_MAX) as u32,
            step_ns: SECOND_NS.checked_div(number(b" rate=")).unwrap_or(0),
            tail_ns: number(b" tail=") * 1_000_000,
            due: now + number(b" hold=") * 1_000_000,
            ..Run::default()
        };
        if run.events_left == 0 {
            run.due += run.tail_ns;
        }
        run
    }

    /// Appends the next event, which must be due.
    pub fn say(&mut self, id: u32, text: &[u8]) {
        self.log.reserve(HEAD_BYTES_MAX + self.size as usize);
        if self.events_left == 0 {
            self.head(id, "run.completed");
            self.log.extend_from_slice(b"}\n\n");
            self.is_over = true;
            return;
        }
        self.head(id, "message.delta");
        self.log.extend_from_slice(b",\"delta\":\"");
        self.log.extend_from_slice(&text[..self.size as usize]);
        self.log.extend_from_slice(b"\"}\n\n");
        self.events_left -= 1;
        // The end comes right behind the last delta, or the tail later.
        self.due += if self.events_left == 0 { self.tail_ns } else { self.step_ns };
    }

    fn head(&mut self, id: u32, event: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros) = (since.as_secs(), since.subsec_micros());
        let written = write!(
            self.log,
            "data: {{\"event\":\"{event}\",\"run_id\":\"run_{id:08x}\",\
             \"timestamp\":{seconds}.{micros:06}"
        );
        written.expect("a vector takes all bytes");
    }
}

/// Bytes enough for the longest event.
pub fn text() -> Vec<u8> {
    vec![b'x'; SIZE_MAX]
}

fn number(request: &[u8], name: &[u8]) -> u64 {
    let at = request.windows(name.len()).position(|part| part == name);
    let rest = at.map_or(&[][..], |at| &request[at + name.len()..]);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(input: &str, times: usize) -> String {
        let mut run = Run::new(input.as_bytes(), 0);
        (0..times).for_each(|_| run.say(7, &text()));
        assert!(run.is_over, "{times} events are not all of {input}");
        String::from_utf8(run.log).expect("text")
    }

    #[test]
    fn a_run_says_what_its_input_asks_for_and_then_ends() {
        let log = log_of("{\"input\":\"bench events=2 size=3\"}", 3);
        assert_eq!(log.matches("\"delta\":\"xxx\"}\n\n").count(), 2);
        assert!(log.contains("{\"event\":\"run.completed\",\"run_id\":\"run_00000007\""));
        assert_eq!(log_of("{\"input\":\"bench\"}", 1).matches("\n\n").count(), 1);
    }

    #[test]
    fn events_are_due_at_their_rate_between_hold_and_tail() {
        let mut run = Run::new(b"bench events=3 rate=1000 hold=5 tail=9", 100);
        let mut due_us = Vec::new();
        while !run.is_over {
            due_us.push((run.due - 100) / 1000);
            run.say(1, &text());
        }
        assert_eq!(due_us, [5_000, 6_000, 7_000, 16_000]);
    }
}
