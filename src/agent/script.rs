//! The agent of benchmarks: it does what its input says, as fast as it is told to.
use super::{Agent, Context, Ending};
use std::time::{Duration, Instant};

/// The longest pause an input may ask for, and the longest delta.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
const SIZE_MAX: usize = 16 * 1024;

/// Says as many deltas as its input asks for: `bench events=1000 size=64 rate=20 hold=0 tail=0`.
///
/// `events` deltas of `size` bytes (at most 16 KiB), `rate` of them a second (0: as fast as they
/// go), `hold` milliseconds before the first and `tail` after the last. What is not named is 0.
pub struct Script;

impl Agent for Script {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        let input = run.request().input.to_text();
        let number = |name: &str| number(&input, name);
        let rate = number("rate");
        let text = "x".repeat((number("size") as usize).min(SIZE_MAX));
        pause(run, number("hold"))?;
        let began = Instant::now();
        for index in 0..number("events") {
            if let Some(micros) = (index * 1_000_000).checked_div(rate) {
                let due = Duration::from_micros(micros);
                run.pause(due.saturating_sub(began.elapsed()))?;
            }
            run.delta(&text)?;
        }
        pause(run, number("tail"))
    }
}

fn pause(run: &Context<'_>, millis: u64) -> Result<(), Ending> {
    run.pause(Duration::from_millis(millis).min(PAUSE_MAX))
}

/// The value of `name=` among the words of `input`, or 0.
fn number(input: &str, name: &str) -> u64 {
    // By bytes: to look for characters would cost more than all else a run that says nothing does.
    let mut words = input.as_bytes().split(|byte| *byte == b' ');
    let value = words.find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Cancel;
    use crate::event::Cause;

    #[test]
    fn numbers_are_found_by_their_whole_names() {
        let input = "bench events=3 size=64 rate= hold=x";
        assert_eq!(number(input, "events"), 3);
        assert_eq!(number(input, "size"), 64);
        assert_eq!(number(input, "vents"), 0);
        assert_eq!(number(input, "rate"), 0);
        assert_eq!(number(input, "hold"), 0);
        assert_eq!(number(input, "tail"), 0);
    }

    #[test]
    fn a_wait_ends_with_its_time_or_with_the_word() {
        let cancel = Cancel::new();
        assert!(!cancel.wait(Duration::from_millis(1)));
        let other = cancel.clone();
        let teller = std::thread::spawn(move || other.cancel(Cause::Stop));
        assert!(cancel.wait(Duration::from_secs(60)));
        teller.join().expect("it only tells");
        assert!(cancel.wait(Duration::from_secs(60)), "a word that came before is not waited for");
    }
}
