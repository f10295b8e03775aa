//! The only time the pure layers know: numbers handed to them.
use std::time::Duration;

/// Milliseconds since the server started, on a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    pub fn after(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms))
    }

    pub fn after_duration(self, duration: Duration) -> Tick {
        self.after(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Microseconds since 1970-01-01 00:00 UTC, by the clock on the wall, which may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

impl Wall {
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Float seconds. Exact to the microsecond for two centuries from 1970.
    pub fn as_float(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// Float Unix seconds, as the wire has them.
impl std::fmt::Display for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The moment something happened, by both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub tick: Tick,
    pub wall: Wall,
}
