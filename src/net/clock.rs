//! The two clocks, read together.
use crate::time::{Now, Tick, Wall};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub struct Clock {
    started: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    pub fn now(&self) -> Now {
        let tick = self.started.elapsed().as_millis();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Now {
            tick: Tick(u64::try_from(tick).unwrap_or(u64::MAX)),
            wall: Wall(u64::try_from(wall).unwrap_or(u64::MAX)),
        }
    }
}
