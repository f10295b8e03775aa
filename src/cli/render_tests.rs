//! Tests of what a run looks like, on a terminal and on a pipe.
use super::plain::Plain;
use super::render::{Screen, Style, View};
use super::shown::{clean, duration};
use super::step::{End, Step};
use std::time::Duration;

const FULL: Style = Style { colour: true, redraw: true, asks: true };
const NO_COLOUR: Style = Style { colour: false, redraw: true, asks: true };
const DUMB: Style = Style { colour: false, redraw: false, asks: false };

fn at(ms: u64) -> View {
    View { now: Duration::from_millis(ms), width: 40 }
}

fn text(text: &str) -> Step {
    Step::Text(text.to_owned())
}

fn started(call_id: &str, preview: &str) -> Step {
    Step::ToolStarted {
        call_id: call_id.to_owned(),
        tool: "terminal".to_owned(),
        preview: preview.to_owned(),
    }
}

fn completed(call_id: &str, error: bool) -> Step {
    Step::ToolCompleted {
        call_id: call_id.to_owned(),
        tool: "terminal".to_owned(),
        seconds: 1.25,
        error,
        preview: "exit status 1".to_owned(),
    }
}

fn turn_ended(text: &str) -> Step {
    Step::TurnEnded { text: text.to_owned(), already_shown: true }
}

fn done(output: &str) -> Step {
    Step::Ended(End::Completed {
        output: output.to_owned(),
        runtime: "builtin".to_owned(),
        input_tokens: 12,
        output_tokens: 3,
    })
}

/// A whole run on a terminal, drawn after every step.
fn screen(style: Style, steps: &[Step]) -> String {
    let mut screen = Screen::new(style);
    let mut out = String::new();
    for (index, step) in steps.iter().enumerate() {
        screen.show(step, at(index as u64 * 100), &mut out);
        screen.draw(at(index as u64 * 100), &mut out);
    }
    out
}

/// What is left to see: the drawn lines cleared, colours taken away.
fn seen(out: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for (index, piece) in out.split("\r\x1b[K").enumerate() {
        if index > 0 {
            lines.last_mut().expect("there is always a line").clear();
        }
        for (index, part) in piece.split('\n').enumerate() {
            if index > 0 {
                lines.push(String::new());
            }
            lines.last_mut().expect("there is always a line").push_str(part);
        }
    }
    let mut text = lines.join("\n");
    for code in ["\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
        text = text.replace(code, "");
    }
    text
}

#[test]
fn blocks_are_set_apart_by_one_blank_line_however_the_model_breaks_its_lines() {
    let steps = [
        Step::Reasoning("Let me ".to_owned()),
        Step::Reasoning("see.".to_owned()),
        Step::ReasoningWhole("Let me see.".to_owned()),
        text("I look"),
        text(" first.\n"),
        turn_ended("I look first.\n"),
        started("a", "ls /tmp"),
        completed("a", false),
        text("\n\n"),
        text("Two files."),
        done("Two files."),
    ];
    let expected = "Let me see.\n\nI look first.\n\n✓ terminal  ls /tmp  1.2 s\n\nTwo files.\n\n\
                    builtin · 12 tokens in, 3 out · 1.0 s\n";
    assert_eq!(seen(&screen(FULL, &steps)), expected);
    assert_eq!(seen(&screen(NO_COLOUR, &steps)), format!("(thinking) {expected}"));
}

#[test]
fn a_working_tool_is_drawn_on_a_line_that_leaves_no_trace() {
    let mut screen = Screen::new(NO_COLOUR);
    let mut out = String::new();
    screen.show(&started("a", "sleep 9"), at(0), &mut out);
    for ms in [0, 100, 2_000] {
        screen.draw(at(ms), &mut out);
    }
    assert!(out.ends_with("\r\x1b[K⠋ terminal  sleep 9  2 s"), "{out:?}");
    screen.show(&completed("a", false), at(2_000), &mut out);
    assert_eq!(seen(&out), "✓ terminal  sleep 9  1.2 s\n");
}

#[test]
fn no_drawn_line_and_no_tool_line_is_wider_than_the_terminal() {
    let long = "x".repeat(300) + &"漢".repeat(30);
    for width in [20, 33, 80] {
        let view = View { now: Duration::from_secs(3), width };
        let mut screen = Screen::new(NO_COLOUR);
        let mut out = String::new();
        screen.show(&started("a", &long), view, &mut out);
        screen.show(&started("b", &"漢".repeat(90)), view, &mut out);
        screen.draw(view, &mut out);
        screen.draw(View { now: Duration::from_secs(1_000_000_000_000), width }, &mut out);
        screen.show(&completed("b", true), view, &mut out);
        screen.draw(view, &mut out);
        screen.show(&completed("a", false), view, &mut out);
        for line in out.split(['\n', '\r']) {
            let line = line.trim_start_matches("\x1b[K");
            let columns: usize = line.chars().map(|c| if c == '漢' { 2 } else { 1 }).sum();
            assert!(columns < width, "{columns} columns of {width}: {line}");
        }
    }
}

#[test]
fn nothing_is_drawn_into_a_line_of_text_or_after_the_end() {
    let mut screen = Screen::new(FULL);
    let mut out = String::new();
    screen.show(&started("a", "sleep 9"), at(0), &mut out);
    screen.show(&text("half a li"), at(0), &mut out);
    let before = out.clone();
    screen.draw(at(100), &mut out);
    assert_eq!(out, before);
    screen.show(&done(""), at(200), &mut out);
    let before = out.clone();
    screen.draw(at(300), &mut out);
    assert_eq!(out, before);
}

#[test]
fn tools_that_work_side_by_side_each_get_their_own_line() {
    let steps =
        [started("a", "one"), started("b", "two"), completed("a", false), completed("b", true)];
    let expected = "✓ terminal  one  1.2 s\n✗ terminal  two  1.2 s\n  exit status 1\n";
    assert!(seen(&screen(FULL, &steps)).starts_with(expected));
}

#[test]
fn a_tool_that_was_stopped_with_its_run_is_shown_as_such() {
    let steps = [started("a", "sleep 9"), Step::Ended(End::Cancelled { output: String::new() })];
    assert_eq!(seen(&screen(FULL, &steps)), "✗ terminal  sleep 9  stopped\n\nstopped · 100 ms\n");
}

#[test]
fn a_dumb_terminal_gets_no_escape_sequence() {
    let steps = [
        Step::Reasoning("hm".to_owned()),
        started("a", "ls"),
        completed("a", true),
        Step::Ended(End::Failed { error: "no".to_owned(), output: String::new() }),
    ];
    let out = screen(DUMB, &steps);
    assert!(!out.contains(['\x1b', '\r']), "{out:?}");
    assert!(out.contains("… terminal  ls\n✗ terminal  ls  1.2 s\n"), "{out}");
}

#[test]
fn nothing_a_model_or_a_tool_says_can_steer_the_terminal() {
    let evil = "\x1b]0;title\x07\x1b[2J\u{9b}31m\r\u{202e}x\u{8}";
    let steps = [
        Step::Reasoning(evil.to_owned()),
        text(evil),
        started(evil, evil),
        completed(evil, true),
        Step::Note(evil.to_owned()),
        Step::Ended(End::Failed { error: evil.to_owned(), output: evil.to_owned() }),
    ];
    let out = seen(&screen(FULL, &steps));
    assert!(!out.contains(|c: char| c != '\n' && c.is_control()), "{out:?}");
    assert!(!out.contains('\u{202e}'));
    assert_eq!(clean("tab\tand\nline"), "tab\tand\nline");
}

#[test]
fn a_pipe_gets_the_last_turn_alone_and_all_the_rest_beside_it() {
    let mut plain = Plain::default();
    let (mut answer, mut notes) = (String::new(), String::new());
    for step in [
        Step::Reasoning("hm".to_owned()),
        text("I look first."),
        turn_ended("I look first."),
        started("a", "ls"),
        completed("a", true),
        text("\n\n"),
        text("  Two"),
        text("\n\nfiles."),
        done("shortened"),
    ] {
        plain.show(&step, &mut answer, &mut notes);
    }
    assert_eq!(answer, "  Two\n\nfiles.\n");
    assert_eq!(notes, "I look first.\n> terminal  ls\n  terminal failed: exit status 1\n");
}

#[test]
fn a_pipe_gets_what_there_is_of_a_run_that_was_stopped_or_failed() {
    for (end, note) in [
        (End::Cancelled { output: "half".to_owned() }, "stopped\n"),
        (End::Failed { error: "why".to_owned(), output: "half".to_owned() }, "failed: why\n"),
        (End::Interrupted { error: "why".to_owned() }, "interrupted: why\n"),
    ] {
        let mut plain = Plain::default();
        let (mut answer, mut notes) = (String::new(), String::new());
        plain.show(&text("half"), &mut answer, &mut notes);
        plain.show(&Step::Ended(end), &mut answer, &mut notes);
        assert_eq!((answer.as_str(), notes.as_str()), ("half\n", note));
    }
}

#[test]
fn durations_are_written_as_people_read_them() {
    for (seconds, written) in
        [(0.003, "3 ms"), (1.0, "1.0 s"), (59.94, "59.9 s"), (125.0, "2 min 05 s")]
    {
        assert_eq!(duration(seconds), written);
    }
}

#[test]
fn steps_are_read_from_the_wire_and_what_is_unknown_is_left_out() {
    let event = |fields: &str| format!(r#"{{"event":{fields},"run_id":"run_0","seq":0}}"#);
    let read = |fields: &str| Step::read(&event(fields));
    assert_eq!(read(r#""message.delta","delta":"hi""#), Some(text("hi")));
    assert_eq!(
        read(r#""run.failed","error":"why","output":"half""#),
        Some(Step::Ended(End::Failed { error: "why".to_owned(), output: "half".to_owned() }))
    );
    assert_eq!(
        read(
            r#""run.completed","output":"o","usage":{"input_tokens":12,"output_tokens":3},"runtime":{"provider":"builtin","model":"builtin"}"#
        ),
        Some(done("o"))
    );
    assert_eq!(
        read(r#""run.steered","accepted":true,"text":"go left","interrupt":false"#),
        Some(Step::Note("steered: go left".to_owned()))
    );
    assert_eq!(read(r#""subagent.start""#), None);
    assert_eq!(Step::read("no json"), None);
}

fn asked() -> Step {
    let event = "{\"event\":\"approval.request\",\"request_id\":\"r\",\"tool\":\"terminal\",\
                 \"command\":\"rm a\\n\\u001b[2Jrm b\",\"description\":\"It deletes.\",\
                 \"choices\":[\"once\",\"deny\"]}";
    Step::read(event).expect("a question is shown")
}

fn decided(choice: &str, expired: bool) -> Step {
    Step::Decided { choice: choice.to_owned(), expired }
}

#[test]
fn a_question_is_shown_whole_and_nothing_is_drawn_over_it() {
    let mut screen = Screen::new(FULL);
    let mut out = String::new();
    for step in [started("a", "rm a"), asked()] {
        screen.show(&step, at(0), &mut out);
    }
    assert!(
        seen(&out).ends_with("? terminal\n  rm a\n  [2Jrm b\nIt deletes.\n[o]nce / [d]eny: "),
        "{out}"
    );
    let before = out.clone();
    screen.draw(at(500), &mut out);
    assert_eq!(out, before);
    screen.show(&decided("deny", true), at(600), &mut out);
    assert!(seen(&out).ends_with("denied, as nobody decided in time\n"), "{out}");
    screen.draw(at(700), &mut out);
    assert!(seen(&out).contains("terminal  rm a"), "the tool is at work again");
}

#[test]
fn a_question_that_is_left_without_an_answer_keeps_its_line() {
    let mut screen = Screen::new(FULL);
    let mut out = String::new();
    for step in
        [started("a", "rm a"), asked(), Step::Ended(End::Cancelled { output: String::new() })]
    {
        screen.show(&step, at(0), &mut out);
    }
    assert!(seen(&out).contains("[d]eny: \n✗ terminal  rm a  stopped\n"), "{out}");
}

#[test]
fn where_nobody_can_answer_nobody_is_asked_to() {
    let out = screen(DUMB, &[started("a", "rm a"), asked(), decided("once", false)]);
    assert!(!out.contains("[o]nce"), "{out}");
    assert!(out.ends_with("It deletes.\nallowed, this once\n"), "{out}");
}

#[test]
fn on_a_pipe_a_question_is_a_note() {
    let (mut answer, mut notes) = (String::new(), String::new());
    let mut plain = Plain::default();
    for step in [asked(), decided("session", false)] {
        plain.show(&step, &mut answer, &mut notes);
    }
    assert_eq!(answer, "");
    assert_eq!(notes, "? terminal  rm a [2Jrm b\n  It deletes.\n  allowed, and for this session\n");
}
