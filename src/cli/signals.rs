//! SIGINT and SIGTERM: each asks for more haste than the one before, the last ends the process.
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal, Write};

/// Calls `heed` at the first `patience` signals; the next one ends the process with 128 and its
/// number.
pub fn watch(patience: usize, mut heed: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || {
        for (heeded, signal) in signals.forever().enumerate() {
            if heeded == patience {
                quit(signal);
            }
            heed();
        }
    })?;
    Ok(())
}

/// Has a write beyond the limit on a file's size fail, as on a full disk, instead of ending the
/// process.
#[cfg(feature = "sqlite")]
pub fn outlive_file_limit() -> io::Result<()> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    signal_hook::flag::register(signal, std::sync::Arc::default()).map(drop)
}

fn quit(signal: i32) -> ! {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // The prompt must not begin behind a half-drawn line.
        let _ = stderr.write_all(b"\n");
    }
    std::process::exit(128 + signal)
}
