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

/// How long something waited before it began, in whole milliseconds, or that it has not begun as far
/// as is known. It takes half the room of a moment. What waits for 49 days has waited for no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited(u32);

impl Waited {
    pub const STILL: Waited = Waited(u32::MAX);

    pub fn between(created: Wall, began: Wall) -> Waited {
        let ms = began.0.saturating_sub(created.0) / 1_000;
        Waited(u32::try_from(ms).unwrap_or(u32::MAX).min(u32::MAX - 1))
    }

    /// When it began, if it has and was created then.
    pub fn began(self, created: Wall) -> Option<Wall> {
        (self != Waited::STILL).then(|| Wall(created.0 + u64::from(self.0) * 1_000))
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year; 400 years have
/// 146,097 days, and day 0 of 0000-03-01 lies 719,468 days before 1970.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and again: 153 in five.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
