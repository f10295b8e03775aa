//! Servers killed at any moment: nothing that a client has been shown is lost.
//!
//! `RUNWIRE_KILLS` says how often, `RUNWIRE_SEED` where chance begins; the seed is printed.
#![cfg(all(feature = "cli", feature = "llm", feature = "sqlite", target_os = "linux"))]
mod autopsy;
mod book;
mod census;
mod load;
#[path = "../served/mod.rs"]
mod served;

use autopsy::Autopsy;
use book::Book;
use census::{Census, KINDS};
use served::chance::Chance;
use served::model::Model;
use served::{Place, Server};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Kills unless told otherwise.
const KILLS: u32 = 200;
/// Kills after which a new directory is begun, so that the files stay small.
const KILLS_OF_A_PLACE: u32 = 25;
/// Finished runs a clean-up leaves.
const RETAINED: usize = 10;
/// From so many kills of one worker on each kind must be met, if need be by going on.
const KILLS_FOR_ALL: u32 = 100;

#[test]
fn whatever_moment_a_server_is_killed_at_nothing_shown_is_lost() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("RUNWIRE_KILLS").map_or(KILLS, |kills| kills as u32);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = number("RUNWIRE_SEED").unwrap_or(now);
    println!("RUNWIRE_SEED={seed}");
    let begun = Instant::now();
    let census = Mutex::new(Census::default());
    thread::scope(|scope| {
        // Two at once: while one waits for its server to start the other uses the processor.
        for worker in 0..2_u64 {
            let census = &census;
            scope.spawn(move || {
                let mut chance = Chance(seed ^ worker << 32);
                let mut done = 0;
                let is_over = |done: u32| {
                    let wanted = kills.div_ceil(2);
                    let has_all = wanted < KILLS_FOR_ALL || census.lock().unwrap().has_all();
                    done >= wanted && (has_all || done >= 2 * wanted)
                };
                while !is_over(done) {
                    Killer::new(&mut chance, census).kill(KILLS_OF_A_PLACE);
                    done += KILLS_OF_A_PLACE;
                }
            });
        }
    });
    let census = census.into_inner().unwrap();
    println!("{} kills in {:.1} s", census.kills, begun.elapsed().as_secs_f64());
    for kind in KINDS {
        let count = census.left.get(kind).copied().unwrap_or(0);
        println!("{count:6} left {kind}");
    }
    assert!(census.kills >= kills);
    assert!(kills < 2 * KILLS_FOR_ALL || census.has_all(), "not all was met");
}

/// One directory, and the servers that work and die on it.
struct Killer<'a> {
    place: Place,
    model: Model,
    book: Mutex<Book>,
    chance: &'a mut Chance,
    census: &'a Mutex<Census>,
}

impl<'a> Killer<'a> {
    fn new(chance: &'a mut Chance, census: &'a Mutex<Census>) -> Killer<'a> {
        let (place, model) = (Place::new(), Model::start());
        Killer { place, model, book: Mutex::default(), chance, census }
    }

    fn flags(&self) -> Vec<&str> {
        [&self.model.flags()[..], &["--max-runs", "3"]].concat()
    }

    fn kill(mut self, kills: u32) {
        let mut server = self.place.start(&self.flags());
        let mut done = 0;
        while done < kills {
            load::until_killed(&mut server, &self.book, self.chance, done);
            let mut autopsy = Autopsy::of(&self.place);
            let book = self.book.get_mut().unwrap();
            let unpromised = book.compare(&autopsy, None);
            self.census.lock().unwrap().under_load(&autopsy, book, unpromised);
            done += 1;
            while done < kills && self.chance.one_in(2) {
                autopsy = self.kill_at_start(&autopsy);
                done += 1;
            }
            server = self.place.start(&self.flags());
            self.verify(&server, &autopsy);
            if done < kills && autopsy.finished() > 2 * RETAINED {
                drop(server);
                let mut autopsy = self.kill_in_clean_up();
                done += 1;
                while done < kills && autopsy.finished() > RETAINED && self.chance.one_in(2) {
                    autopsy = self.kill_in_clean_up();
                    done += 1;
                }
                server = self.place.start(&self.flags());
                self.verify(&server, &autopsy);
            }
        }
    }

    fn verify(&mut self, server: &Server, autopsy: &Autopsy) {
        self.book.get_mut().unwrap().verify(server, autopsy);
    }

    /// Starts a server and kills it before it has served anybody.
    fn kill_at_start(&mut self, before: &Autopsy) -> Autopsy {
        let mut starting = self.place.spawn(&self.flags());
        if self.chance.one_in(2) {
            starting.await_addr().expect("it starts");
        }
        thread::park_timeout(Duration::from_micros(self.chance.below(15_000)));
        let pid = starting.pid();
        starting.kill();
        let after = Autopsy::of(&self.place);
        self.book.get_mut().unwrap().compare(&after, None);
        self.census.lock().unwrap().at_start(before, &after, pid);
        after
    }

    /// Starts a server that keeps few runs, and kills it while it deletes the others.
    fn kill_in_clean_up(&mut self) -> Autopsy {
        let before = Autopsy::of(&self.place);
        self.book.get_mut().unwrap().compare(&before, None);
        let retained = RETAINED.to_string();
        let flags = [&self.flags()[..], &["--retain-runs", &retained]].concat();
        let mut server = self.place.start(&flags);
        thread::park_timeout(Duration::from_micros(self.chance.below(45_000)));
        server.kill();
        let after = Autopsy::of(&self.place);
        self.book.get_mut().unwrap().compare(&after, Some(RETAINED));
        self.census.lock().unwrap().in_clean_up(&before, &after, RETAINED);
        after
    }
}
