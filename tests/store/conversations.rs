//! What runs go on with: a tree of runs.
use crate::desk::{
    ANN, Asked, BOB, Desk, asked, cancelled, completed, delta, ended, failed, interim, shown,
    started, steered,
};
use crate::on_each;
use runwire::record::Lineage;
use runwire::request::{Content, Message};
use runwire::store::transcript::NO_RESULT;

fn nothing() -> [String; 0] {
    []
}

/// A run in the session `s`.
fn in_s(input: &str) -> Asked {
    asked(input).in_session("s")
}

#[test]
fn what_a_client_gave_is_all_a_run_goes_on_with() {
    on_each(|desk| {
        desk.whole(in_s("Before"), "Yes");
        let run = desk.begin(in_s("Now").given(&["One", "Two"]));
        assert_eq!(desk.told(run), ["user: One", "user: Two"]);
        let run = desk.begin(in_s("Now").given(&[]));
        assert_eq!(desk.told(run), nothing());
    });
}

#[test]
fn what_a_client_gave_is_kept_to_the_letter() {
    on_each(|desk| {
        let call = runwire::request::ToolCall {
            id: "c".to_owned(),
            name: "t".to_owned(),
            arguments: "{\"broken".to_owned(),
        };
        let parts = vec![
            runwire::request::Part::Text("Zwölf \u{0}\n\"言葉\"".to_owned()),
            runwire::request::Part::Image { url: "https://x/y".to_owned(), detail: None },
            runwire::request::Part::Image {
                url: "data:image/png;base64,AA".to_owned(),
                detail: Some("low".to_owned()),
            },
        ];
        let mut ask = asked("Now").given(&["One"]);
        let calling = Message::new("assistant", Content::Text(String::new()));
        ask.history.push(Message { calls: vec![call], ..calling });
        ask.history.push(Message::result("c", "done".to_owned()));
        ask.history.push(Message::new("weird role", Content::Parts(parts.clone())));
        ask.input = Content::Parts(parts.clone());
        let given = ask.history.clone();
        let run = desk.whole(ask, "Well");
        assert_eq!(desk.history(run, usize::MAX).messages, given);
        let next = desk.begin(asked("Next").after(run));
        let mut expected = given;
        expected.push(Message::new("user", Content::Parts(parts)));
        expected.push(Message::new("assistant", Content::Text("Well".to_owned())));
        assert_eq!(desk.history(next, usize::MAX).messages, expected);
    });
}

#[test]
fn a_session_goes_on_with_all_that_was_said_in_it() {
    on_each(|desk| {
        let first = desk.whole(in_s("One"), "1");
        let second = desk.whole(in_s("Two"), "2");
        let third = desk.begin(in_s("Three"));
        assert_eq!(desk.told(first), nothing());
        assert_eq!(desk.told(second), ["user: One", "assistant: 1"]);
        let expected = ["user: One", "assistant: 1", "user: Two", "assistant: 2"];
        assert_eq!(desk.told(third), expected);
    });
}

#[test]
fn a_session_of_another_owner_is_another() {
    on_each(|desk| {
        desk.whole(in_s("One"), "1");
        let of_bob = desk.whole(in_s("Two").by(BOB), "2");
        assert_eq!(desk.told(of_bob), nothing());
        let of_ann = desk.begin(in_s("Three"));
        assert_eq!(desk.told(of_ann), ["user: One", "assistant: 1"]);
    });
}

#[test]
fn what_came_with_the_input_counts_only_in_a_new_session() {
    on_each(|desk| {
        let with_earlier = |input| {
            let ask = in_s(input).given(&["Earlier"]);
            Asked { lineage: Lineage::Session, ..ask }
        };
        let first = desk.whole(with_earlier("One"), "1");
        assert_eq!(desk.told(first), ["user: Earlier"]);
        let second = desk.begin(with_earlier("Two"));
        assert_eq!(desk.told(second), ["user: Earlier", "user: One", "assistant: 1"]);
    });
}

#[test]
fn a_run_after_an_older_one_begins_a_branch_and_the_session_goes_on_with_it() {
    on_each(|desk| {
        let first = desk.whole(in_s("One"), "1");
        desk.whole(in_s("Two"), "2");
        let branch = desk.whole(in_s("Two b").after(first), "2b");
        assert_eq!(desk.told(branch), ["user: One", "assistant: 1"]);
        let expected = ["user: One", "assistant: 1", "user: Two b", "assistant: 2b"];
        assert_eq!(desk.conversation(ANN, "s").unwrap(), expected);
        let next = desk.begin(in_s("Three"));
        assert_eq!(desk.told(next), expected);
    });
}

#[test]
fn a_run_may_go_on_from_a_run_of_another_session() {
    on_each(|desk| {
        let first = desk.whole(in_s("One"), "1");
        let other = desk.whole(asked("Two").in_session("t").after(first), "2");
        assert_eq!(desk.told(other), ["user: One", "assistant: 1"]);
        assert_eq!(desk.conversation(ANN, "s").unwrap(), ["user: One", "assistant: 1"]);
        assert_eq!(desk.conversation(ANN, "t").unwrap().len(), 4);
    });
}

#[test]
fn what_a_client_gave_replaces_what_the_session_had_come_to() {
    on_each(|desk| {
        desk.whole(in_s("One"), "1");
        desk.whole(in_s("Two").given(&["Given"]), "2");
        let expected = ["user: Given", "user: Two", "assistant: 2"];
        assert_eq!(desk.conversation(ANN, "s").unwrap(), expected);
    });
}

#[test]
fn a_run_that_said_nothing_leaves_no_trace_in_its_session() {
    on_each(|desk| {
        desk.whole(in_s("One"), "1");
        let mute = desk.begin(in_s("Two"));
        desk.finish(mute, failed("model unreachable"));
        let never_begun = desk.queue(in_s("Three"));
        desk.finish(never_begun, cancelled(None));
        assert_eq!(desk.conversation(ANN, "s").unwrap(), ["user: One", "assistant: 1"]);
        let next = desk.begin(in_s("Four"));
        assert_eq!(desk.told(next), ["user: One", "assistant: 1"]);
    });
}

#[test]
fn a_run_that_was_stopped_midway_is_gone_on_with_as_far_as_it_came() {
    on_each(|desk| {
        let run = desk.begin(in_s("One"));
        desk.say(run, vec![delta("Let"), started("a", "t")]);
        desk.finish(run, cancelled(Some("Let")));
        let next = desk.begin(in_s("Two"));
        let no_result = format!("tool a: {NO_RESULT}");
        let expected =
            ["user: One", r#"assistant:  <a t {"of":"a"}>"#, &no_result, "assistant: Let"];
        assert_eq!(desk.told(next), expected);
    });
}

#[test]
fn a_waiting_run_goes_on_with_what_its_session_is_when_it_begins() {
    on_each(|desk| {
        let first = desk.begin(in_s("One"));
        let second = desk.queue(in_s("Two"));
        desk.say(first, vec![delta("1")]);
        desk.finish(first, completed("1"));
        desk.start(second);
        assert_eq!(desk.told(second), ["user: One", "assistant: 1"]);
    });
}

#[test]
fn a_run_that_has_begun_is_not_moved_by_what_its_session_comes_to() {
    on_each(|desk| {
        let slow = desk.begin(in_s("One"));
        desk.whole(in_s("Two"), "2");
        assert_eq!(desk.told(slow), nothing());
        let named = desk.queue(in_s("Three").after(slow));
        desk.start(named);
        assert_eq!(desk.told(named)[0], "user: One", "the run it names, not the session's");
    });
}

#[test]
fn a_run_that_was_its_own_session_is_gone_on_with_by_its_id() {
    on_each(|desk| {
        let own = desk.whole(asked("One"), "1");
        let id = own.id.to_string();
        let of_bob = desk.begin(asked("Two").in_session(&id).by(BOB));
        assert_eq!(desk.told(of_bob), nothing());
        let next = desk.whole(asked("Two").in_session(&id), "2");
        assert_eq!(desk.told(next), ["user: One", "assistant: 1"]);
        let third = desk.begin(asked("Three").in_session(&id));
        assert_eq!(desk.told(third).len(), 4);
    });
}

#[test]
fn a_run_that_was_its_own_session_may_still_work_when_another_waits_for_it() {
    on_each(|desk| {
        let own = desk.begin(asked("One"));
        let next = desk.queue(asked("Two").in_session(&own.id.to_string()));
        desk.say(own, vec![delta("1")]);
        desk.finish(own, completed("1"));
        desk.start(next);
        assert_eq!(desk.told(next), ["user: One", "assistant: 1"]);
    });
}

#[test]
fn a_session_that_was_a_run_by_itself_outlives_that_run() {
    on_each(|desk| {
        let own = desk.whole(asked("One"), "1");
        let id = own.id.to_string();
        let next = desk.queue(asked("Two").in_session(&id));
        desk.delete(own);
        assert_eq!(desk.conversation(ANN, &id).unwrap(), nothing());
        desk.start(next);
        assert_eq!(desk.told(next), nothing());
        assert_eq!(desk.session(ANN, &id).unwrap().runs, 1);
    });
}

#[test]
fn a_run_that_was_its_own_session_and_said_nothing_leaves_no_trace() {
    on_each(|desk| {
        let own = desk.begin(asked("One"));
        desk.finish(own, failed("model unreachable"));
        let next = desk.begin(asked("Two").in_session(&own.id.to_string()));
        assert_eq!(desk.told(next), nothing());
    });
}

#[test]
fn calls_results_interims_and_steers_are_all_gone_on_with() {
    on_each(|desk| {
        let run = desk.begin(in_s("One"));
        desk.say(run, vec![delta("I look."), interim("I look."), started("a", "t")]);
        desk.say(run, vec![ended("a", true, "no"), started("b", "t"), ended("b", false, "yes")]);
        desk.say(run, vec![steered("Go on"), delta("\n\n"), delta("Done.")]);
        desk.finish(run, completed("Done."));
        let next = desk.begin(in_s("Two"));
        let expected = [
            "user: One",
            r#"assistant: I look. <a t {"of":"a"}>"#,
            "tool a: [tool error] no",
            r#"assistant:  <b t {"of":"b"}>"#,
            "tool b: yes",
            "user: Go on",
            "assistant: Done.",
        ];
        assert_eq!(desk.told(next), expected);
        assert_eq!(desk.conversation(ANN, "s").unwrap(), expected);
    });
}

#[test]
fn runs_that_went_on_from_a_deleted_one_go_on_from_where_it_did() {
    on_each(|desk| {
        let first = desk.whole(in_s("One").given(&["Given"]), "1");
        let second = desk.whole(in_s("Two"), "2");
        let third = desk.whole(in_s("Three"), "3");
        let branch = desk.begin(in_s("Branch").after(second));
        desk.delete(second);
        let expected = ["user: Given", "user: One", "assistant: 1"];
        assert_eq!(desk.told(third), expected);
        assert_eq!(desk.told(branch), expected);
        desk.delete(first);
        assert_eq!(desk.told(third), ["user: Given"], "what was given to the root stays");
        assert_eq!(desk.told(branch), ["user: Given"]);
        let expected = ["user: Given", "user: Three", "assistant: 3"];
        assert_eq!(desk.conversation(ANN, "s").unwrap(), expected);
    });
}

#[test]
fn a_session_whose_latest_run_is_deleted_falls_back_on_the_one_before() {
    on_each(|desk| {
        desk.whole(in_s("One"), "1");
        let second = desk.whole(in_s("Two"), "2");
        desk.delete(second);
        assert_eq!(desk.conversation(ANN, "s").unwrap(), ["user: One", "assistant: 1"]);
        let next = desk.begin(in_s("Three"));
        assert_eq!(desk.told(next), ["user: One", "assistant: 1"]);
    });
}

#[test]
fn a_run_created_after_one_that_is_gone_has_no_history() {
    on_each(|desk| {
        let first = desk.whole(asked("One"), "1");
        desk.delete(first);
        let next = desk.begin(asked("Two").after(first));
        assert_eq!(desk.told(next), nothing());
    });
}

/// A session of five runs of about a hundred bytes each, after what a client gave.
fn long(desk: &mut Desk) -> crate::desk::Made {
    let text = |number: usize| format!("{number} {}", "x".repeat(50));
    desk.whole(in_s(&text(0)).given(&["Given", "Given"]), &text(0));
    (1..5).for_each(|number| {
        desk.whole(in_s(&text(number)), &text(number));
    });
    desk.begin(in_s("Now"))
}

#[test]
fn a_history_too_long_leaves_out_whole_runs_the_oldest_first() {
    on_each(|desk| {
        let run = long(desk);
        let all = desk.history(run, 100_000).messages;
        assert_eq!(all.len(), 12);
        let cut = desk.history(run, 300);
        assert_eq!(cut.omitted, 8);
        assert_eq!(cut.messages, all[8..]);
        for bytes_max in (0..1_000).step_by(7) {
            let cut = desk.history(run, bytes_max);
            assert_eq!(cut.messages, all[cut.omitted..], "{:?}", shown(&cut.messages));
            assert!(cut.omitted % 2 == 0, "a run was cut in two");
            let bytes: usize = cut.messages.iter().map(Message::len).sum();
            assert!(bytes <= bytes_max.max(150), "{bytes} of {bytes_max} bytes");
        }
    });
}

#[test]
fn the_latest_run_is_always_gone_on_with() {
    on_each(|desk| {
        let run = long(desk);
        let cut = desk.history(run, 0);
        assert_eq!((cut.messages.len(), cut.omitted), (2, 10));
        assert!(shown(&cut.messages)[0].starts_with("user: 4 "));
    });
}
