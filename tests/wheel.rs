//! The wheel against the simplest thing that could be right: a sorted set.
use runwire::machine::wheel::Wheel;
use runwire::time::Tick;
use std::collections::BTreeSet;

#[test]
fn the_wheel_agrees_with_a_sorted_set() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut wheel = Wheel::new(Tick(0));
        let mut model = BTreeSet::new();
        let mut now = Tick(0);
        for key in 0..2_000u64 {
            if random.below(3) > 0 {
                let due = now.after(random.distance());
                wheel.insert(due, key);
                model.insert((due, key));
            } else {
                now = now.after(random.distance() / 4);
                let mut fired = Vec::new();
                wheel.advance(now, &mut fired);
                fired.sort();
                let later = model.split_off(&(now.after(1), 0));
                let mut expected: Vec<u64> = model.iter().map(|(_, key)| *key).collect();
                expected.sort();
                assert_eq!(fired, expected, "seed {seed}");
                model = later;
            }
            let first = model.first().map(|(due, _)| *due);
            assert_eq!(wheel.next().is_some(), first.is_some(), "seed {seed} at {now:?}");
            assert!(wheel.next() <= first, "seed {seed} at {now:?}: a reminder would come late");
            assert!(
                wheel.next().is_none_or(|next| next >= now),
                "seed {seed}: a nap into the past"
            );
        }
    }
}

#[test]
fn few_wakes_lead_to_a_far_deadline() {
    let mut wheel = Wheel::new(Tick(123_456));
    wheel.insert(Tick(123_456).after(24 * 60 * 60 * 1000), "far");
    let mut fired = Vec::new();
    let mut wakes = 0;
    while let Some(next) = wheel.next() {
        wheel.advance(next, &mut fired);
        wakes += 1;
    }
    assert_eq!(fired, ["far"]);
    assert!(wakes <= 8, "{wakes} wakes for one deadline");
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Milliseconds, of every order of magnitude alike.
    fn distance(&mut self) -> u64 {
        let magnitude = self.below(28);
        self.below(1 << magnitude)
    }
}
