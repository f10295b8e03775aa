//! What a run may use up: how far it goes, how it ends, and what is said of that.
mod agent_support;

use agent_support::{
    Dir, Scripted, events, job, names, request, request_within, results, said, turn,
};
use runwire::agent::model::{Entry, Turn};
use runwire::agent::{Agent, Cause, Context, Ending, Job, Secrets, ToolAgent};
use runwire::budget::{Budget, Limit};
use runwire::event::{Failed, Kind, Usage};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIST: (&str, &str, &str) = ("a", "list_files", "{}");
const NONE: Budget =
    Budget { wall: None, turns: None, tool_calls: None, tokens: None, output_bytes: None };

/// Two turns of 12 tokens, two calls, 26 bytes of text and reasoning.
fn script() -> [Turn; 2] {
    let first = turn("Look here.", &[LIST, ("b", "write_file", r#"{"path":"n","content":""}"#)]);
    [Turn { reasoning: "Hm, well.".into(), ..first }, turn("Done.", &[])]
}

/// A run within the limits of its request alone.
fn run(dir: &Dir, budget: Budget, turns: impl IntoIterator<Item = Turn>) -> Vec<Kind> {
    run_job(dir, &job(request_within("go", budget)), turns).0
}

type Shown = Arc<Mutex<Vec<Vec<Entry>>>>;

fn run_job(dir: &Dir, job: &Job, turns: impl IntoIterator<Item = Turn>) -> (Vec<Kind>, Shown) {
    let model = Scripted::new(turns.into_iter().map(Ok));
    let shown = model.shown.clone();
    let agent = ToolAgent::new(Box::new(model), dir.settings()).unwrap();
    (events(&agent, job, &Secrets::default()), shown)
}

/// The last word of a run that went too far.
fn exceeded(events: &[Kind]) -> &Failed {
    match events.last() {
        Some(Kind::Failed(failed)) => {
            assert_eq!(failed.reason, "budget_exceeded", "{failed:?}");
            failed
        }
        other => panic!("{other:?}"),
    }
}

/// Bytes of all that was said in pieces.
fn bytes(events: &[Kind]) -> usize {
    let delta = |kind: &Kind| match kind {
        Kind::MessageDelta(delta) | Kind::ReasoningDelta(delta) => delta.delta.len(),
        _ => 0,
    };
    events.iter().map(delta).sum()
}

#[test]
fn a_run_that_uses_all_it_may_completes_and_with_less_it_fails() {
    for (limit, enough, less) in [
        ("turns", Budget { turns: Some(2), ..NONE }, Budget { turns: Some(1), ..NONE }),
        (
            "tool_calls",
            Budget { tool_calls: Some(2), ..NONE },
            Budget { tool_calls: Some(1), ..NONE },
        ),
        ("tokens", Budget { tokens: Some(24), ..NONE }, Budget { tokens: Some(23), ..NONE }),
        (
            "output_bytes",
            Budget { output_bytes: Some(26), ..NONE },
            Budget { output_bytes: Some(25), ..NONE },
        ),
    ] {
        let dir = Dir::new();
        let whole = run(&dir, enough, script());
        assert!(matches!(whole.last(), Some(Kind::Completed(_))), "{limit}: {whole:?}");
        assert_eq!(bytes(&whole), 26);
        let cut = run(&dir, less, script());
        assert_eq!(exceeded(&cut).budget, Some(limit));
    }
}

#[test]
fn a_run_without_limits_goes_as_far_as_it_likes() {
    let dir = Dir::new();
    let turns = (0..80).map(|_| turn("Again.", &[LIST])).chain([turn("Done.", &[])]);
    let events = run(&dir, NONE, turns);
    assert!(matches!(events.last(), Some(Kind::Completed(_))), "{:?}", events.last());
}

#[test]
fn a_call_beyond_the_limit_is_not_begun() {
    let dir = Dir::new();
    let events = run(&dir, Budget { tool_calls: Some(1), ..NONE }, script());
    let started = names(&events).into_iter().filter(|name| *name == "tool.started").count();
    assert_eq!((started, results(&events).len()), (1, 1), "{events:?}");
    assert!(!dir.inside("n").exists());
    assert_eq!(exceeded(&events).usage.total_tokens, 12);
}

#[test]
fn the_text_before_a_first_call_that_is_not_allowed_is_the_output() {
    let dir = Dir::new();
    let events = run(&dir, Budget { tool_calls: Some(0), ..NONE }, script());
    assert_eq!(exceeded(&events).output.as_deref(), Some("Look here."));
    assert_eq!(results(&events), []);
    assert!(!names(&events).contains(&"message.interim"), "{events:?}");
}

#[test]
fn no_call_is_carried_out_whose_result_the_model_will_not_see() {
    let dir = Dir::new();
    let turns = ["First.", "Second."].map(|text| turn(text, &[LIST]));
    let events = run(&dir, Budget { turns: Some(2), ..NONE }, turns);
    let failed = exceeded(&events);
    assert_eq!(failed.output.as_deref(), Some("Second."));
    assert!(failed.error.contains("2 turns"), "{}", failed.error);
    assert_eq!(results(&events).len(), 1);
}

#[test]
fn what_is_said_ends_at_the_limit_between_two_characters() {
    let dir = Dir::new();
    let texts = || {
        let first = Turn { reasoning: "Hé é.".into(), ..turn("Über é.", &[LIST]) };
        [first, turn("Ja, é.", &[])]
    };
    let whole = run(&dir, NONE, texts());
    let pieces = |events: &[Kind]| -> String {
        let piece = |kind: &Kind| match kind {
            Kind::MessageDelta(delta) | Kind::ReasoningDelta(delta) => Some(delta.delta.clone()),
            _ => None,
        };
        events.iter().filter_map(piece).collect()
    };
    let all = pieces(&whole);
    for limit in 1..all.len() {
        let events = run(&dir, Budget { output_bytes: Some(limit as u64), ..NONE }, texts());
        let said = pieces(&events);
        assert!(all.starts_with(&said), "{limit}: {said:?}");
        assert!(!said.ends_with("\n\n"), "a blank line before nothing: {said:?}");
        // A character of two bytes, or a blank line and what follows it, may not fit.
        assert!((limit.saturating_sub(3)..=limit).contains(&said.len()), "{limit}: {said:?}");
        assert_eq!(exceeded(&events).budget, Some("output_bytes"));
    }
}

#[test]
fn tokens_are_counted_as_the_model_tells_them_and_no_turn_follows_one_too_dear() {
    let dir = Dir::new();
    let job = job(request_within("go", Budget { tokens: Some(11), ..NONE }));
    let (events, shown) = run_job(&dir, &job, script());
    let failed = exceeded(&events);
    assert_eq!((failed.budget, failed.usage.total_tokens), (Some("tokens"), 12));
    assert_eq!(failed.output.as_deref(), Some("Look here."));
    assert!(!failed.error.contains("broken off"), "{}", failed.error);
    assert_eq!(shown.lock().unwrap().len(), 1);
    assert_eq!(results(&events), []);
}

#[test]
fn a_turn_that_says_far_more_than_its_tokens_is_broken_off() {
    let dir = Dir::new();
    let long = "word ".repeat(1000);
    let events = run(&dir, Budget { tokens: Some(100), ..NONE }, [turn(&long, &[])]);
    let failed = exceeded(&events);
    assert_eq!((failed.budget, failed.usage), (Some("tokens"), Usage::default()));
    assert!(failed.error.contains("broken off"), "{}", failed.error);
    let said = said(&events);
    assert_eq!(failed.output.as_ref(), Some(&said));
    assert!((795..=808).contains(&said.len()), "{} bytes", said.len());
    // Some text has no more than eight bytes a token.
    let events = run(&dir, Budget { tokens: Some(12), ..NONE }, [turn(&"x".repeat(100), &[])]);
    assert!(matches!(events.last(), Some(Kind::Completed(_))), "{events:?}");
}

#[test]
fn what_one_turn_said_does_not_count_again_in_the_next() {
    let dir = Dir::new();
    let long = "x".repeat(90);
    let turns = [turn(&long, &[LIST]), turn(&long, &[LIST]), turn(&long, &[])];
    let events = run(&dir, Budget { tokens: Some(36), ..NONE }, turns);
    assert!(matches!(events.last(), Some(Kind::Completed(_))), "{events:?}");
}

#[test]
fn the_message_says_how_much_was_allowed_and_where_to_allow_more() {
    let dir = Dir::new();
    let own = run(&dir, Budget { tool_calls: Some(1), ..NONE }, script());
    let own = &exceeded(&own).error;
    assert!(
        own.contains("1 tool call,") && own.contains("budget.tool_calls in the request"),
        "{own}"
    );
    for (budget, amount, flag) in [
        (Budget { turns: Some(1), ..NONE }, "1 turn,", "--max-turns."),
        (Budget { tool_calls: Some(0), ..NONE }, "0 tool calls,", "--max-tool-calls."),
        (Budget { tokens: Some(5), ..NONE }, "5 tokens,", "--max-tokens."),
        (Budget { output_bytes: Some(3), ..NONE }, "3 bytes,", "--max-output."),
    ] {
        // The request's limits are wider.
        let asked = Budget { turns: Some(9), tool_calls: Some(9), tokens: Some(99), ..NONE };
        let job = Job { budget, ..job(request_within("go", asked)) };
        let (events, _) = run_job(&dir, &job, script());
        let error = &exceeded(&events).error;
        assert!(error.contains(amount) && error.contains(flag), "{error}");
    }
    let budget = Budget { wall: Some(Duration::from_millis(1500)), ..NONE };
    let late = Job { budget, ..job(request("go")) };
    late.cancel.cancel(Cause::Budget(Limit::Wall));
    let (events, _) = run_job(&dir, &late, script());
    let failed = exceeded(&events);
    assert_eq!(failed.budget, Some("wall_seconds"));
    assert!(failed.error.contains("1.5 s,") && failed.error.contains("--run-timeout."));
}

#[test]
fn a_budget_is_as_tight_as_the_tighter_of_two() {
    let wide = Budget {
        wall: Some(Duration::from_secs(9)),
        turns: Some(9),
        tool_calls: Some(9),
        tokens: Some(9),
        output_bytes: Some(9),
    };
    let tight = Budget {
        wall: Some(Duration::from_secs(1)),
        turns: Some(1),
        tool_calls: Some(0),
        tokens: Some(1),
        output_bytes: Some(1),
    };
    assert_eq!((tight.within(&wide), wide.within(&tight)), (tight, tight));
    assert_eq!((NONE.within(&wide), wide.within(&NONE)), (wide, wide));
}

/// An agent of an embedder.
struct Own(fn(&mut Context<'_>) -> Result<(), Ending>);

impl Agent for Own {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        (self.0)(run)
    }
}

fn own(budget: Budget, agent: fn(&mut Context<'_>) -> Result<(), Ending>) -> Vec<Kind> {
    events(&Own(agent), &Job { budget, ..job(request("go")) }, &Secrets::default())
}

#[test]
fn limits_hold_for_an_agent_that_does_not_care() {
    let deaf = own(Budget { output_bytes: Some(10), ..NONE }, |run| {
        for _ in 0..5 {
            let _ = run.delta("four");
            let _ = run.reasoning_delta("nine");
        }
        Ok(())
    });
    assert_eq!((exceeded(&deaf).output.as_deref(), bytes(&deaf)), (Some("fourfo"), 10));
    let calls = own(Budget { tool_calls: Some(1), ..NONE }, |run| {
        for id in ["a", "b", "c"] {
            let _ = run.tool_started(id, "t", "", "{}");
        }
        Ok(())
    });
    assert_eq!(names(&calls), ["tool.started", "run.failed"]);
    let tokens = own(Budget { tokens: Some(10), ..NONE }, |run| {
        run.add_usage(Usage { input_tokens: 6, output_tokens: 5, ..Usage::default() });
        run.delta("more")
    });
    assert_eq!(names(&tokens), ["run.failed"]);
    let turns = own(Budget { turns: Some(1), ..NONE }, |run| {
        run.begin_turn()?;
        run.delta("one")?;
        run.begin_turn()?;
        run.delta("two")
    });
    assert_eq!(exceeded(&turns).output.as_deref(), Some("one"));
}

#[test]
fn reasoning_said_only_as_a_whole_counts_and_said_twice_it_counts_once() {
    let once = |run: &mut Context<'_>| {
        run.reasoning_delta("thinking")?;
        run.reasoning("thinking")
    };
    let fits = Budget { output_bytes: Some(8), ..NONE };
    assert!(matches!(own(fits, once).last(), Some(Kind::Completed(_))));
    let whole = |run: &mut Context<'_>| run.reasoning("thinking");
    assert!(matches!(own(fits, whole).last(), Some(Kind::Completed(_))));
    let events = own(Budget { output_bytes: Some(7), ..NONE }, whole);
    assert_eq!(
        (names(&events), exceeded(&events).budget),
        (vec!["run.failed"], Some("output_bytes"))
    );
}

#[test]
fn a_text_held_back_for_a_secret_counts_when_it_is_said() {
    let secrets = Secrets::new(["open-sesame-42".to_owned()]);
    let agent = Own(|run| run.delta("open-sesame"));
    let budget = Budget { output_bytes: Some(5), ..NONE };
    let events = events(&agent, &Job { budget, ..job(request("go")) }, &secrets);
    assert_eq!(exceeded(&events).output.as_deref(), Some("open-"));
}

#[test]
fn work_that_was_done_when_its_time_ran_out_is_done() {
    let events = own(Budget { wall: Some(Duration::from_secs(1)), ..NONE }, |run| {
        run.delta("done")?;
        run.cancel().cancel(Cause::Budget(Limit::Wall));
        Ok(())
    });
    assert_eq!(names(&events), ["message.delta", "run.completed"]);
}

#[test]
fn a_run_that_was_stopped_before_it_went_too_far_is_cancelled() {
    let events = own(Budget { output_bytes: Some(1), ..NONE }, |run| {
        run.cancel().cancel(Cause::Stop);
        run.delta("too long")
    });
    assert_eq!(names(&events), ["run.cancelled"]);
}

#[test]
fn nothing_is_said_once_something_did_not_fit() {
    let secrets = Secrets::new(["open-sesame-42".to_owned()]);
    // One byte is left, and the first that is to be said has two.
    let agent = Own(|run| {
        run.reasoning_delta("o")?;
        run.delta("é")
    });
    let budget = Budget { output_bytes: Some(1), ..NONE };
    let events = events(&agent, &Job { budget, ..job(request("go")) }, &secrets);
    assert_eq!(names(&events), ["run.failed"]);
}
