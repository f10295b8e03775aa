//! The wire layer from outside: bytes in, values out, and however they are cut the same answer.
mod approval;
mod body;
mod head;
mod json;
mod message;
mod reject;
mod reply;
mod seeds;
mod sse;
mod steer;
mod submit;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}
