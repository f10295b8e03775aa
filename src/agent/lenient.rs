//! Sleep that may last a little longer than asked.
//!
//! Of many threads that sleep, each on a timer of its own, the kernel wakes those together that may
//! be woken together: one interrupt, and one turn of the loop for what all of them then say.
#[cfg(all(feature = "sys", target_os = "linux"))]
use std::num::NonZeroU64;

/// Nanoseconds by which a wake may be late. The kernel's own measure is 50 microseconds.
#[cfg(all(feature = "sys", target_os = "linux"))]
const LATE: NonZeroU64 = NonZeroU64::new(1_000_000).expect("it is not 0");

/// While it lives, timers of this thread may be late by `LATE`. Elsewhere than on Linux, or where the
/// kernel does not know of it, they are as they always are.
///
/// It is not left so: processes inherit it, and what a tool starts is to sleep as precisely as ever.
pub(super) struct Lenient(());

impl Lenient {
    pub fn new() -> Lenient {
        #[cfg(all(feature = "sys", target_os = "linux"))]
        let _ = rustix::thread::set_current_timer_slack(Some(LATE));
        Lenient(())
    }
}

impl Drop for Lenient {
    fn drop(&mut self) {
        #[cfg(all(feature = "sys", target_os = "linux"))]
        let _ = rustix::thread::set_current_timer_slack(None);
    }
}

#[cfg(all(test, feature = "sys", target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::current_timer_slack;

    #[test]
    fn a_thread_is_lenient_for_its_pause_only() {
        let before = current_timer_slack().expect("Linux tells");
        let lenient = Lenient::new();
        assert_eq!(current_timer_slack(), Ok(LATE.get()));
        drop(lenient);
        assert_eq!(current_timer_slack(), Ok(before));
    }
}
