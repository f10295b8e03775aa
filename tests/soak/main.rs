//! Hours of everything at once: clients of every kind and runs of every kind against the real program
//! in its release build, over real sockets, through stops and kills. At the end nothing is left over,
//! and every good client has had every event exactly once.
//!
//! `make soak`; `RUNWIRE_MINUTES` says how long, `RUNWIRE_SEED` where chance begins; the seed is
//! printed. The first half of the work is many short lives of the server, ended by SIGTERM or SIGKILL. The second
//! is one life: after a warm-up it comes to rest, and what it holds then is what it must hold again at
//! each later rest. How things fall together is the machine's choice: a seed draws the same acts, not
//! the same moments.
#![cfg(all(
    feature = "cli",
    feature = "llm",
    feature = "sqlite",
    feature = "tokens",
    target_os = "linux"
))]
mod bad;
mod client;
mod fleet;
mod good;
mod order;
mod reading;
mod rest;
#[path = "../served/mod.rs"]
mod served;
mod tally;
mod watcher;

use client::Client;
use fleet::{Fleet, PATIENCE};
use rest::{Rest, SLACK_KIB};
use served::Server;
use served::chance::Chance;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tally::Tally;

const MINUTES: f64 = 10.0;
const GOOD: u64 = 6;
/// The longest of the many lives.
const LIFE_MAX: Duration = Duration::from_secs(20);
/// The longest warm-up.
const WARM_UP_MAX: Duration = Duration::from_secs(300);
/// Rests of the long life, behind the first.
const RESTS: u32 = 3;
/// A soak shorter than this has one.
const SHORT: Duration = Duration::from_secs(200);

#[test]
#[ignore = "as long as one wants: make soak"]
fn after_everything_at_once_nothing_is_left_over_and_nothing_is_lost() {
    let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let minutes = text("RUNWIRE_MINUTES").map_or(MINUTES, |it| it.parse().expect("minutes"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = text("RUNWIRE_SEED").map_or(now, |it| it.parse().expect("a seed"));
    println!("RUNWIRE_SEED={seed} RUNWIRE_MINUTES={minutes}");
    let soak = Soak {
        fleet: Fleet::new(),
        tally: Tally::default(),
        length: Duration::from_secs_f64(minutes * 60.0),
        begun: Instant::now(),
    };
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| soak.run(Chance(seed))));
    if let Err(panic) = caught
        && !soak.tally.has_failed()
    {
        soak.tally.fail(format!("the soak itself: {}", client::text_of(&*panic)));
    }
    println!("\n{}", soak.tally);
    assert!(!soak.tally.has_failed(), "RUNWIRE_SEED={seed} RUNWIRE_MINUTES={minutes}");
}

struct Soak {
    fleet: Fleet,
    tally: Tally,
    length: Duration,
    begun: Instant,
}

impl Soak {
    fn run(&self, mut chance: Chance) {
        let last = self.work(&mut chance, Soak::many_lives);
        self.fleet.stop(last);
        self.long_life(&mut chance);
        self.at_the_end(&mut chance);
    }

    fn long_life(&self, chance: &mut Chance) {
        let server = self.fleet.start();
        let fresh = Rest::of(&server);
        self.show("at its start", fresh);
        // Every way to be bad once, and a while of all the rest.
        let warm_up = (self.length / 8).min(WARM_UP_MAX);
        let before = bad::times(&self.tally);
        let is_warm = || bad::times(&self.tally).iter().zip(&before).all(|(now, then)| now > then);
        let until = self.begun.elapsed() + warm_up;
        self.work(chance, |soak, _| soak.go_on(&server, until, is_warm));
        let first = self.rest(&server, fresh, "after the warm-up");
        let rests = if self.length < SHORT { 1 } else { RESTS };
        for _ in 0..rests {
            let until = self.begun.elapsed() + (self.length / 2 - warm_up) / rests;
            self.work(chance, |soak, _| soak.go_on(&server, until, || true));
            let rest = self.rest(&server, fresh, "later");
            let grown = rest.rss_kib.saturating_sub(first.rss_kib);
            assert!(grown <= SLACK_KIB, "memory has grown: {first:?}, and later {rest:?}");
        }
        self.fleet.stop(server);
    }

    /// A last server finds everything as it was, and cleans up.
    fn at_the_end(&self, chance: &mut Chance) {
        let server = self.fleet.start();
        let bytes = rest::await_retention(&self.fleet);
        println!("{:8.1} s  the store has {} KiB", self.begun.elapsed().as_secs_f64(), bytes >> 10);
        let client = Client::new(&self.fleet, &self.tally, chance.next(), "the last".to_owned());
        client.attempt(good::compare_entries);
        self.fleet.stop(server);
    }

    /// Has all clients work while `conduct` does its own, and waits until they are done. Panics if
    /// any has failed: there is no more to be learnt.
    fn work<T>(&self, chance: &mut Chance, conduct: impl FnOnce(&Soak, &mut Chance) -> T) -> T {
        self.fleet.set_closing(false);
        let done = std::thread::scope(|scope| {
            let mut client =
                |name: String| Client::new(&self.fleet, &self.tally, chance.next(), name);
            for index in 0..GOOD {
                let client = client(format!("good {index}"));
                scope.spawn(|| good::work(client));
            }
            for index in 0..2 {
                let client = client(format!("watcher {index}"));
                scope.spawn(|| watcher::work(client));
            }
            for (name, acts) in
                [("vanishing", bad::VANISHING), ("hostile", bad::HOSTILE), ("dripping", bad::SLOW)]
            {
                for index in 0..2 {
                    let client = client(format!("{name} {index}"));
                    scope.spawn(|| bad::work(client, acts));
                }
            }
            let _closing = Closing(&self.fleet);
            conduct(self, chance)
        });
        assert!(!self.tally.has_failed(), "clients have failed");
        done
    }

    /// Half of the time: servers that are stopped or killed at any moment. The last of them lives.
    fn many_lives(&self, chance: &mut Chance) -> Server {
        let mut server = self.fleet.start();
        while self.begun.elapsed() < self.length / 2 && !self.tally.has_failed() {
            // Short ones are many, and some are long.
            let most = (self.length / [100, 50, 20][chance.below(3) as usize]).min(LIFE_MAX);
            let life = Duration::from_millis(200 + chance.below(most.as_millis() as u64));
            let until = self.begun.elapsed() + life;
            self.go_on(&server, until.min(self.length / 2), || true);
            if chance.one_in(2) {
                self.fleet.stop(server);
                self.tally.count("servers stopped (SIGTERM)");
            } else {
                self.fleet.kill(server);
                self.tally.count("servers killed (SIGKILL)");
            }
            server = self.fleet.start();
        }
        server
    }

    /// Until then, and until it is enough; a server that ends by itself is a failure.
    fn go_on(&self, server: &Server, until: Duration, is_enough: impl Fn() -> bool) {
        while (self.begun.elapsed() < until || !is_enough()) && !self.tally.has_failed() {
            std::thread::sleep(Duration::from_millis(20));
            let process = std::fs::read_to_string(format!("/proc/{}/stat", server.pid()));
            let is_alive = process.is_ok_and(|stat| !stat.contains(") Z "));
            assert!(is_alive, "the server has ended by itself");
            assert!(self.begun.elapsed() < until + PATIENCE, "not all was done in time");
        }
    }

    fn rest(&self, server: &Server, fresh: Rest, name: &str) -> Rest {
        let rest = Rest::await_after(&self.fleet, server, fresh);
        self.show(name, rest);
        rest
    }

    fn show(&self, name: &str, rest: Rest) {
        let Rest { rss_kib, descriptors, threads } = rest;
        let seconds = self.begun.elapsed().as_secs_f64();
        println!(
            "{seconds:8.1} s  {name:18} {rss_kib:6} KiB, {descriptors} descriptors, {threads} threads, {} runs posted",
            self.fleet.posts()
        );
    }
}

/// Has clients come to an end, also where the test has failed.
struct Closing<'a>(&'a Fleet);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.set_closing(true);
    }
}
