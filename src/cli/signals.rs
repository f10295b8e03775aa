//! SIGINT and SIGTERM: the first asks, the second insists.
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal, Write};

/// Calls `first` at the first signal; the second ends the process with 128 and its number.
pub fn watch(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || {
        let mut first = Some(first);
        for signal in signals.forever() {
            match first.take() {
                Some(first) => first(),
                None => quit(signal),
            }
        }
    })?;
    Ok(())
}

fn quit(signal: i32) -> ! {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // The prompt must not begin behind a half-drawn line.
        let _ = stderr.write_all(b"\n");
    }
    std::process::exit(128 + signal)
}
