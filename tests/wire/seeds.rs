//! Every committed seed goes through the fuzz bodies, and so do small changes of it.
use crate::Dice;
use runwire::wire;
use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("the seeds are committed") {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        body(&seed);
        mutate(&seed, body);
        seen += 1;
    }
    assert!(seen > 5, "only {seen} seeds in {}", folder.display());
}

/// A hundred small changes of one seed: a poor fuzzer, but one that runs everywhere.
fn mutate(seed: &[u8], body: fn(&[u8])) {
    const SPICE: &[u8] = b"\0\t\r\n :;,0f\x7f\x80\xff\"{[\\";
    let mut dice = Dice(seed.len() as u64);
    for _ in 0..100 {
        let mut bytes = seed.to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len() + 1);
            match dice.roll(4) {
                0 => bytes.insert(at, *dice.pick(SPICE)),
                1 if at < bytes.len() => bytes[at] = *dice.pick(SPICE),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        body(&bytes);
    }
}

#[test]
fn head_seeds_hold() {
    replay("head", wire::head::fuzz);
}

#[test]
fn body_seeds_hold() {
    replay("body", wire::body::fuzz);
}

#[test]
fn sse_seeds_hold() {
    replay("sse", wire::sse::fuzz);
}

#[test]
fn submit_seeds_hold() {
    replay("submit", wire::submit::fuzz);
}

#[test]
fn approval_seeds_hold() {
    replay("approval", wire::approval::fuzz);
}
