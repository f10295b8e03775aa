//! SIGINT and SIGTERM: each asks for more haste than the one before, the last ends the process.
//! SIGHUP, for a server: its files are to be read again.
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, IsTerminal, Write};

/// Calls `heed` at the first `patience` signals; the next one ends the process with 128 and its
/// number.
pub fn watch(patience: usize, heed: impl FnMut() + Send + 'static) -> io::Result<()> {
    watch_for(&[SIGINT, SIGTERM], patient(patience, heed), Box::new(|| ()))
}

/// Calls `heed` at each signal, and tells it if that is Ctrl-C; false ends the process likewise.
pub fn watch_while(mut heed: impl FnMut(bool) -> bool + Send + 'static) -> io::Result<()> {
    watch_for(&[SIGINT, SIGTERM], Box::new(move |signal| heed(signal == SIGINT)), Box::new(|| ()))
}

/// Likewise, and calls `reload` at each SIGHUP; but one that says that the terminal is gone in which
/// the server was started is a wish that it end.
pub fn watch_server(
    patience: usize,
    heed: impl FnMut() + Send + 'static,
    reload: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    watch_for(&[SIGINT, SIGTERM, SIGHUP], patient(patience, heed), Box::new(reload))
}

/// Boxed, so that one thread's code does for all commands.
type Heed = Box<dyn FnMut(i32) -> bool + Send>;

fn patient(patience: usize, mut heed: impl FnMut() + Send + 'static) -> Heed {
    let mut left = patience;
    Box::new(move |_| {
        let Some(less) = left.checked_sub(1) else { return false };
        left = less;
        heed();
        true
    })
}

fn watch_for(
    wanted: &[i32],
    mut heed: Heed,
    mut reload: Box<dyn FnMut() + Send>,
) -> io::Result<()> {
    let mut signals = Signals::new(wanted)?;
    let had_terminal = io::stderr().is_terminal();
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP && had_terminal == io::stderr().is_terminal() {
                reload();
                continue;
            }
            if !heed(signal) {
                quit(signal);
            }
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
