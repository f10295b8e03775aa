//! Showing what happens to a run, from wherever it works, until there is no more.
use super::watch::Watch;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// What the thread that has to do with a run tells the one that shows it.
pub enum News {
    /// An event, as its JSON.
    Event(String),
    /// A remark that is no event, such as of a connection lost on the way to a server.
    #[cfg_attr(not(feature = "llm"), expect(dead_code, reason = "only a remote run makes remarks"))]
    Note(String),
}

/// Shows news until there is no more, and calls `overdue` once when `timeout` has passed.
///
/// Fails if nothing can be shown any more, because standard output is closed.
pub fn follow(
    news: &Receiver<News>,
    watch: &mut Watch,
    mut timeout: Option<Duration>,
    overdue: &mut dyn FnMut(),
) -> io::Result<()> {
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(watch.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            // The run still has a last word to say.
            timeout = None;
            overdue();
        }
        let nap =
            watch.patience().min(left.filter(|left| !left.is_zero()).unwrap_or(Duration::MAX));
        match news.recv_timeout(nap) {
            Ok(News::Event(data)) => watch.event(&data)?,
            Ok(News::Note(note)) => watch.note(&note)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        watch.draw()?;
    }
}
