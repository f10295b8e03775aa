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
        let asked = Asked::read(&run.request().input.to_text());
        let text = "x".repeat((asked.size as usize).min(SIZE_MAX));
        pause(run, asked.hold)?;
        let began = Instant::now();
        for index in 0..asked.events {
            if let Some(micros) = (index * 1_000_000).checked_div(asked.rate) {
                let due = Duration::from_micros(micros);
                run.pause(due.saturating_sub(began.elapsed()))?;
            }
            run.delta(&text)?;
        }
        pause(run, asked.tail)
    }
}

fn pause(run: &Context<'_>, millis: u64) -> Result<(), Ending> {
    if millis == 0 {
        return Ok(());
    }
    run.pause(Duration::from_millis(millis).min(PAUSE_MAX))
}

/// The numbers of an input, by their names.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    events: u64,
    size: u64,
    rate: u64,
    hold: u64,
    tail: u64,
}

impl Asked {
    /// Word by word. Of a name that comes twice the last counts.
    fn read(input: &str) -> Asked {
        let mut asked = Asked::default();
        for word in input.split(' ') {
            let Some((name, value)) = word.split_once('=') else { continue };
            let number = match name {
                "events" => &mut asked.events,
                "size" => &mut asked.size,
                "rate" => &mut asked.rate,
                "hold" => &mut asked.hold,
                "tail" => &mut asked.tail,
                _ => continue,
            };
            *number = value.parse().unwrap_or(0);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Cancel;
    use crate::event::Cause;

    #[test]
    fn numbers_are_found_by_their_whole_names() {
        let asked = Asked::read("bench events=3 size=64 vents=7 rate= hold=x tail");
        assert_eq!(asked, Asked { events: 3, size: 64, ..Asked::default() });
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
