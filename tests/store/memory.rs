//! What is true of the store in memory alone.
use crate::desk::{Desk, asked, cancelled, ended, interim, started, steered};
use runwire::config::Retain;
use runwire::limits::SAID_BYTES_MAX;
use runwire::record::{Pruned, Recovered};
use runwire::request::Message;
use runwire::store::{Memory, Store};
use runwire::time::Wall;

#[test]
fn it_lives_in_the_event_loop_and_prunes_nothing() {
    let mut store = Memory::default();
    assert!(!store.is_durable());
    assert!(store.hands().unwrap().is_none());
    assert_eq!(store.recover().unwrap(), Recovered::default());
    let retain = Retain { runs: Some(0), ..Retain::default() };
    assert_eq!(store.prune(&retain, Wall(u64::MAX)).unwrap(), Pruned::default());
}

#[test]
fn a_run_that_says_too_much_loses_its_older_steps_and_tells_how_many() {
    let mut desk = Desk::new(|_| Box::new(Memory::default()));
    let run = desk.begin(asked("Hello").in_session("s"));
    let result = "r".repeat(16 * 1024);
    let rounds = 3 * SAID_BYTES_MAX / result.len();
    for _ in 0..rounds {
        desk.say(run, vec![interim("I look."), started("a", "t"), ended("a", false, &result)]);
        desk.say(run, vec![steered("Go on")]);
    }
    desk.finish(run, cancelled(Some("end")));
    let next = desk.begin(asked("Next").in_session("s"));
    let history = desk.history(next, 0);
    assert_eq!(history.messages.len() + history.omitted, 1 + 3 * rounds + 1);
    let bytes: usize = history.messages.iter().map(Message::len).sum();
    assert!(bytes <= SAID_BYTES_MAX && bytes > SAID_BYTES_MAX / 4, "{bytes} bytes are kept");
    assert_eq!(history.messages[0].content.to_text(), "Hello");
    assert_ne!(history.messages[1].role, "tool", "a result without its call");
    let last = history.messages.last().map(|message| message.content.to_text());
    assert_eq!(last.as_deref(), Some("end"));
}
