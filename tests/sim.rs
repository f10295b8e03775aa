//! The whole server against a hostile world, hours in milliseconds.
//!
//! Clients cut their bytes anywhere, pipeline, read slowly or never, half-close, hang up, and ask
//! for nonsense. Agents speak, stall, and stop when told, or not. One seed decides everything; a
//! failure prints its seed, and `SEED=n cargo test --test sim` lives that world again.
#[path = "sim/agent.rs"]
mod agent;
#[path = "sim/book.rs"]
mod book;
#[path = "sim/client.rs"]
mod client;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/response.rs"]
mod response;
#[path = "sim/script.rs"]
mod script;
#[path = "sim/world.rs"]
mod world;

use world::World;

const WORLDS: u64 = 1_000;

#[test]
fn a_thousand_worlds() {
    let one = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let (mut frames, mut heard, mut late) = (0, 0, 0);
    for seed in one.map_or(0..=WORLDS - 1, |seed| seed..=seed) {
        let outcome = std::panic::catch_unwind(|| World::new(seed).live());
        match outcome {
            Ok(outcome) => {
                frames += outcome.frames_read;
                heard += outcome.steers_told.0;
                late += outcome.steers_told.1;
            }
            Err(_) => panic!("rerun this world with SEED={seed}"),
        }
    }
    let steered = one.is_some() || heard > 100 && late > 100;
    assert!(steered, "{heard} steers were heard, {late} were late: nothing is proved");
    assert!(one.is_some() || frames > 10_000, "only {frames} frames were read: nothing is proved");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..20 {
        assert_eq!(World::new(seed).live(), World::new(seed).live(), "seed {seed}");
    }
}
