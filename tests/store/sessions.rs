//! Sessions: lists of them, and what was said in them.
use crate::desk::{ANN, BOB, Desk, asked, completed, delta};
use crate::on_each;
use runwire::record::SessionListed;
use runwire::time::Wall;

fn ids(sessions: &[SessionListed]) -> Vec<&str> {
    sessions.iter().map(|session| &*session.id).collect()
}

#[test]
fn a_session_tells_when_it_was_used_how_often_and_how_it_began() {
    on_each(|desk| {
        let first = desk.whole(asked("Hello\nthere").in_session("s"), "Hi");
        let created = desk.run(ANN, first.id).expect("it is there").record.created;
        desk.whole(asked("Two").in_session("s").after(first), "2");
        let last = desk.whole(asked("Two b").in_session("s").after(first), "2b");
        let updated = desk.run(ANN, last.id).expect("it is there").updated;
        let (id, preview) = ("s".into(), "Hello there".into());
        let expected = SessionListed { id, created, updated, runs: 3, preview };
        assert_eq!(desk.session(ANN, "s"), Some(expected.clone()));
        assert_eq!(desk.sessions(ANN, 9, 0).sessions, [expected]);
    });
}

#[test]
fn a_session_is_used_as_soon_as_a_run_is_created_in_it() {
    on_each(|desk| {
        desk.whole(asked("1").in_session("a"), "1");
        desk.whole(asked("2").in_session("b"), "2");
        let run = desk.queue(asked("3").in_session("a"));
        let created = desk.run(ANN, run.id).expect("it is there").record.created;
        assert_eq!(desk.session(ANN, "a").unwrap().updated, created);
        assert_eq!(ids(&desk.sessions(ANN, 9, 0).sessions), ["a", "b"]);
    });
}

#[test]
fn sessions_come_in_pages_the_latest_used_first() {
    on_each(|desk| {
        for id in ["a", "b", "c", "d", "a"] {
            desk.whole(asked("Hello").in_session(id), "Hi");
        }
        desk.whole(asked("Hello").in_session("e").by(BOB), "Hi");
        desk.whole(asked("Hello"), "Hi");
        let page = desk.sessions(ANN, 2, 0);
        assert_eq!((ids(&page.sessions), page.has_more), (vec!["a", "d"], true));
        let page = desk.sessions(ANN, 2, 2);
        assert_eq!((ids(&page.sessions), page.has_more), (vec!["c", "b"], false));
        let page = desk.sessions(ANN, 2, 3);
        assert_eq!((ids(&page.sessions), page.has_more), (vec!["b"], false));
        assert_eq!(desk.sessions(ANN, 2, 4).sessions, []);
        assert_eq!(ids(&desk.sessions(BOB, 2, 0).sessions), ["e"]);
        assert_eq!(desk.sessions("carl", 2, 0).sessions, []);
    });
}

#[test]
fn a_session_that_is_not_there_is_not_found() {
    on_each(|desk| {
        desk.whole(asked("Hello").in_session("s"), "Hi");
        assert_eq!(desk.session(BOB, "s"), None);
        assert_eq!(desk.session(ANN, "t"), None);
        assert_eq!(desk.messages(BOB, "s", 9, 0, false), None);
        assert_eq!(desk.messages(ANN, "t", 9, 0, false), None);
    });
}

#[test]
fn a_run_that_is_its_own_session_is_found_under_its_id_but_not_listed() {
    on_each(|desk| {
        let run = desk.whole(asked("Hello"), "Hi");
        let id = run.id.to_string();
        let stored = desk.run(ANN, run.id).expect("it is there");
        let expected = SessionListed {
            id: id.as_str().into(),
            created: stored.record.created,
            updated: stored.updated,
            runs: 1,
            preview: "Hello".into(),
        };
        assert_eq!(desk.session(ANN, &id), Some(expected));
        assert_eq!(desk.conversation(ANN, &id).unwrap(), ["user: Hello", "assistant: Hi"]);
        assert_eq!(desk.session(BOB, &id), None);
        assert_eq!(desk.conversation(BOB, &id), None);
        assert_eq!(desk.session(ANN, &run.id.response_id()), None);
        assert_eq!(desk.sessions(ANN, 9, 0).sessions, []);
        desk.delete_session(ANN, &id);
        assert_eq!(desk.run(ANN, run.id), None);
    });
}

#[test]
fn a_run_that_was_its_own_session_is_part_of_it_once_it_is_gone_on_with() {
    on_each(|desk| {
        let own = desk.whole(asked("Hello"), "Hi");
        let created = desk.run(ANN, own.id).expect("it is there").record.created;
        desk.queue(asked("Two").in_session(&own.id.to_string()));
        let session = desk.session(ANN, &own.id.to_string()).expect("it is there");
        assert_eq!((session.created, session.runs), (created, 2));
        assert_eq!(*session.preview, *"Hello");
        assert_eq!(desk.sessions(ANN, 9, 0).sessions.len(), 1);
    });
}

#[test]
fn a_session_goes_with_all_its_runs_and_nothing_else() {
    on_each(|desk| {
        let first = desk.whole(asked("One").in_session("s").given(&["Given"]), "1");
        let second = desk.whole(asked("Two").in_session("s"), "2");
        let of_bob = desk.whole(asked("Three").in_session("s").by(BOB), "3");
        let other = desk.whole(asked("Four").in_session("t").after(second), "4");
        desk.delete_session(ANN, "s");
        assert_eq!((desk.run(ANN, first.id), desk.run(ANN, second.id)), (None, None));
        assert_eq!(desk.session(ANN, "s"), None);
        assert!(desk.run(BOB, of_bob.id).is_some() && desk.session(BOB, "s").is_some());
        assert_eq!(desk.told(other), ["user: Given"]);
        let again = desk.begin(asked("Five").in_session("s"));
        assert_eq!(desk.told(again).len(), 0);
        assert_eq!(desk.session(ANN, "s").unwrap().runs, 1);
    });
}

#[test]
fn a_session_goes_with_the_last_of_its_runs() {
    on_each(|desk| {
        let first = desk.whole(asked("One").in_session("s"), "1");
        let second = desk.whole(asked("Two").in_session("s"), "2");
        desk.delete(first);
        let session = desk.session(ANN, "s").expect("one run is left");
        assert_eq!((session.runs, &*session.preview), (1, "Two"));
        desk.delete(second);
        assert_eq!(desk.session(ANN, "s"), None);
        assert_eq!(desk.messages(ANN, "s", 9, 0, false), None);
    });
}

/// A page of the numbers `desk` was asked in session `s`, the run each was said in being right.
fn page(desk: &mut Desk, limit: usize, offset: usize, latest: bool) -> (String, bool) {
    let page = desk.messages(ANN, "s", limit, offset, latest).expect("it is there");
    let texts = page.messages.iter().map(|said| said.message.content.to_text());
    (texts.collect::<Vec<_>>().join(" "), page.has_more)
}

#[test]
fn messages_come_in_pages_from_either_end() {
    on_each(|desk| {
        desk.whole(asked("2").in_session("s").given(&["0", "1"]), "3");
        desk.whole(asked("4").in_session("s"), "5");
        let mut page = |limit, offset, latest| page(desk, limit, offset, latest);
        let is = |text: &str, has_more| (text.to_owned(), has_more);
        assert_eq!(page(4, 0, false), is("0 1 2 3", true));
        assert_eq!(page(4, 4, false), is("4 5", false));
        assert_eq!(page(6, 0, false), is("0 1 2 3 4 5", false));
        assert_eq!(page(1, 6, false), is("", false));
        assert_eq!(page(9, 99, false), is("", false));
        assert_eq!(page(3, 0, true), is("3 4 5", true));
        assert_eq!(page(3, 3, true), is("0 1 2", false));
        assert_eq!(page(3, 2, true), is("1 2 3", true));
        assert_eq!(page(3, 5, true), is("0", false));
        assert_eq!(page(3, 99, true), is("", false));
    });
}

#[test]
fn each_message_tells_the_run_it_was_said_in_and_when() {
    on_each(|desk| {
        let given = desk.whole(asked("One").in_session("s").given(&["Given"]), "1");
        let next = desk.whole(asked("Two").in_session("s"), "2");
        let page = desk.messages(ANN, "s", 9, 0, false).expect("it is there");
        let runs: Vec<_> = page.messages.iter().map(|said| said.run).collect();
        let (one, two) = (Some(given.id), Some(next.id));
        assert_eq!(runs, [None, one, one, two, two]);
        let times: Vec<Wall> = page.messages.iter().map(|said| said.at).collect();
        assert!(times.is_sorted(), "{times:?}");
        let stored = desk.run(ANN, next.id).expect("it is there");
        assert_eq!(times[3], stored.record.created);
        assert!(times[4] > times[3] && times[4] <= stored.updated);
    });
}

#[test]
fn a_session_that_has_come_to_nothing_yet_has_no_messages() {
    on_each(|desk| {
        let run = desk.begin(asked("One").in_session("s").given(&["Given"]));
        desk.say(run, vec![delta("1")]);
        assert_eq!(desk.conversation(ANN, "s").unwrap().len(), 0);
        desk.finish(run, completed("1"));
        assert_eq!(desk.conversation(ANN, "s").unwrap().len(), 3);
    });
}
