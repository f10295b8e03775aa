//! What was said in a run, from the steps its store has.
use crate::desk::{completed, delta, ended, failed, interim, line, shown, started, steered};
use runwire::event::{Delta, Kind, Reasoning, Truncated};
use runwire::id::RunId;
use runwire::request::{Content, Part};
use runwire::store::transcript::{NO_RESULT, said};
use runwire::time::Wall;

fn told(steps: Vec<Kind>, output: Option<&str>) -> Vec<String> {
    let lines = steps.into_iter().enumerate();
    let lines: Vec<String> =
        lines.map(|(seq, kind)| line(RunId(7), seq as u64, Wall(9), kind)).collect();
    let input = Content::Text("Hello".to_owned());
    let one_by_one = said(&input, lines.iter().map(String::as_str), output);
    assert_eq!(said(&input, [lines.concat().as_str()], output), one_by_one, "rows of many lines");
    shown(&one_by_one)
}

#[test]
fn a_run_that_only_answers_is_a_question_and_an_answer() {
    assert_eq!(told(vec![], Some("Hi")), ["user: Hello", "assistant: Hi"]);
    assert_eq!(told(vec![completed("Hi")], Some("Hi")), ["user: Hello", "assistant: Hi"]);
}

#[test]
fn a_run_that_answered_nothing_has_no_empty_message() {
    assert_eq!(told(vec![], None), ["user: Hello"]);
    assert_eq!(told(vec![interim("")], Some("")), ["user: Hello"]);
}

#[test]
fn what_the_model_said_before_a_call_goes_with_the_first_call_only() {
    let steps = vec![
        interim("I look."),
        started("a", "read_file"),
        ended("a", false, "text"),
        started("b", "terminal"),
        ended("b", false, "done"),
    ];
    let expected = [
        "user: Hello",
        r#"assistant: I look. <a read_file {"of":"a"}>"#,
        "tool a: text",
        r#"assistant:  <b terminal {"of":"b"}>"#,
        "tool b: done",
        "assistant: Well.",
    ];
    assert_eq!(told(steps, Some("Well.")), expected);
}

#[test]
fn what_the_model_said_without_a_call_stands_alone() {
    let steps = vec![interim("One."), interim("Two."), steered("And?"), started("a", "t")];
    let no_result = format!("tool a: {NO_RESULT}");
    let expected = [
        "user: Hello",
        "assistant: One.",
        "assistant: Two.",
        "user: And?",
        r#"assistant:  <a t {"of":"a"}>"#,
        &no_result,
    ];
    assert_eq!(told(steps, None), expected);
}

#[test]
fn each_result_follows_its_call_whatever_came_in_between() {
    let steps = vec![
        started("a", "t"),
        started("b", "t"),
        steered("Hurry!"),
        ended("b", true, "no such file"),
        ended("a", false, "fine"),
    ];
    let expected = [
        "user: Hello",
        r#"assistant:  <a t {"of":"a"}>"#,
        "tool a: fine",
        r#"assistant:  <b t {"of":"b"}>"#,
        "tool b: [tool error] no such file",
        "user: Hurry!",
    ];
    assert_eq!(told(steps, None), expected);
}

#[test]
fn a_call_id_that_comes_twice_means_the_latest_call() {
    let steps = vec![
        started("a", "t"),
        ended("a", false, "first"),
        started("a", "t"),
        ended("a", false, "second"),
    ];
    let told = told(steps, None);
    assert_eq!([&told[2], &told[4]], ["tool a: first", "tool a: second"]);
}

#[test]
fn a_result_without_a_call_is_no_message() {
    assert_eq!(told(vec![ended("z", false, "what?")], None), ["user: Hello"]);
}

#[test]
fn reasoning_deltas_and_endings_say_nothing_of_their_own() {
    let steps = vec![
        delta("Hi"),
        Kind::ReasoningDelta(Delta { delta: "hm".to_owned() }),
        Kind::ReasoningAvailable(Reasoning { text: "hm".to_owned() }),
        Kind::SessionTruncated(Truncated { dropped_messages: 3 }),
        failed("broken"),
    ];
    assert_eq!(told(steps, None), ["user: Hello"]);
}

#[test]
fn lines_of_a_later_version_are_passed_over() {
    let steps = [
        r#"{"event":"tool.asked","text":"x"}"#,
        r#"{"event":"run.steered","text":"Known.","by":{"new":["field"]}}"#,
        r#"{"event":"run.steered","text":{"not":"text"}}"#,
        r#"{"event":"message.interim"}"#,
        r#"{"no":"event"}"#,
        "",
        "not JSON",
    ];
    let messages = said(&Content::Text("Hello".to_owned()), steps, Some("Hi"));
    assert_eq!(shown(&messages), ["user: Hello", "user: Known.", "assistant: Hi"]);
}

#[test]
fn a_preview_is_the_first_hundred_characters_on_one_line() {
    assert_eq!(*Content::Text(" One\ntwo ".to_owned()).preview(), *"One two");
    let long = "言".repeat(200);
    assert_eq!(*Content::Text(long.clone()).preview(), *("言".repeat(99) + "…"));
    let image = Part::Image { url: "https://x/y.png".to_owned(), detail: None };
    let parts = vec![image, Part::Text("See".to_owned()), Part::Text(long)];
    assert_eq!(*Content::Parts(parts).preview(), *("See ".to_owned() + &"言".repeat(95) + "…"));
}
