//! Lists of runs.
use crate::desk::{ANN, BOB, Desk, Made, USAGE, asked, completed, failed};
use crate::on_each;
use runwire::id::RunId;
use runwire::record::{Listed, Query, Status};
use runwire::time::Wall;

fn all(limit: usize) -> Query {
    Query::Runs { owner: ANN.into(), status: None, session_id: None, after: None, limit }
}

fn after(run: RunId, limit: usize) -> Query {
    let after = Some(run);
    Query::Runs { owner: ANN.into(), status: None, session_id: None, after, limit }
}

fn of_status(status: Status) -> Query {
    let status = Some(status);
    Query::Runs { owner: ANN.into(), status, session_id: None, after: None, limit: 9 }
}

fn of_session(owner: &str, id: &str) -> Query {
    let session_id = Some(id.into());
    Query::Runs { owner: owner.into(), status: None, session_id, after: None, limit: 9 }
}

/// The ids of a page, and whether there is more.
fn page(desk: &mut Desk, query: &Query) -> (Vec<RunId>, bool) {
    let page = desk.runs(query);
    (page.runs.iter().map(|run| run.id).collect(), page.has_more)
}

fn ids(runs: &[Made]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}

#[test]
fn the_newest_run_comes_first_and_each_page_goes_on_where_the_last_ended() {
    on_each(|desk| {
        assert_eq!(page(desk, &all(2)), (vec![], false));
        let mut runs: Vec<Made> = (0..5).map(|_| desk.begin(asked("Hello"))).collect();
        desk.begin(asked("Hello").by(BOB));
        runs.reverse();
        assert_eq!(page(desk, &all(2)), (ids(&runs[..2]), true));
        assert_eq!(page(desk, &after(runs[1].id, 2)), (ids(&runs[2..4]), true));
        assert_eq!(page(desk, &after(runs[3].id, 2)), (ids(&runs[4..]), false));
        assert_eq!(page(desk, &after(runs[4].id, 2)), (vec![], false));
        assert_eq!(page(desk, &all(5)), (ids(&runs), false), "exactly as many as there are");
    });
}

#[test]
fn a_page_after_a_run_that_is_not_there_is_the_first() {
    on_each(|desk| {
        let run = desk.begin(asked("Hello"));
        let of_bob = desk.begin(asked("Hello").by(BOB));
        let late = desk.begin(asked("Hello"));
        assert_eq!(page(desk, &after(RunId(5), 9)).0, [late.id, run.id]);
        assert_eq!(page(desk, &after(of_bob.id, 9)).0, [late.id, run.id], "another's");
    });
}

#[test]
fn a_list_may_be_of_one_status() {
    on_each(|desk| {
        let queued = desk.queue(asked("1"));
        let running = desk.begin(asked("2"));
        let done = desk.whole(asked("3"), "Hi");
        let begun = desk.queue(asked("4"));
        desk.start(begun);
        assert_eq!(page(desk, &of_status(Status::Queued)).0, [queued.id]);
        assert_eq!(page(desk, &of_status(Status::Running)).0, [begun.id, running.id]);
        assert_eq!(page(desk, &of_status(Status::Completed)).0, [done.id]);
        assert_eq!(page(desk, &of_status(Status::Failed)), (vec![], false));
    });
}

#[test]
fn a_list_may_be_of_one_session() {
    on_each(|desk| {
        let one = desk.whole(asked("1").in_session("s"), "Hi");
        let own = desk.whole(asked("2"), "Hi");
        desk.whole(asked("3").in_session("t"), "Hi");
        desk.whole(asked("4").in_session("s").by(BOB), "Hi");
        let two = desk.whole(asked("5").in_session("s"), "Hi");
        assert_eq!(page(desk, &of_session(ANN, "s")).0, [two.id, one.id]);
        assert_eq!(page(desk, &of_session(ANN, &own.id.to_string())).0, [own.id]);
        assert_eq!(page(desk, &of_session(ANN, "none")), (vec![], false));
        let on_own = desk.whole(asked("6").in_session(&own.id.to_string()), "Hi");
        assert_eq!(page(desk, &of_session(ANN, &own.id.to_string())).0, [on_own.id, own.id]);
        assert_eq!(page(desk, &of_session(BOB, &own.id.to_string())).0, []);
    });
}

#[test]
fn a_filter_and_a_limit_together_tell_whether_there_is_more_that_matches() {
    on_each(|desk| {
        for _ in 0..3 {
            desk.whole(asked("1").in_session("s"), "Hi");
            desk.begin(asked("2").in_session("s"));
            desk.whole(asked("3"), "Hi");
        }
        let of = |limit| Query::Runs {
            owner: ANN.into(),
            status: Some(Status::Completed),
            session_id: Some("s".into()),
            after: None,
            limit,
        };
        assert!(desk.runs(&of(2)).has_more);
        assert!(!desk.runs(&of(3)).has_more);
        assert_eq!(desk.runs(&of(3)).runs.len(), 3);
    });
}

#[test]
fn a_listed_run_tells_what_lists_show() {
    on_each(|desk| {
        let run = desk.begin(asked(" Hello\nthere ").in_session("s"));
        let stored = desk.run(ANN, run.id).expect("it is there");
        let expected = Listed {
            id: run.id,
            status: Status::Running,
            created: stored.record.created,
            updated: stored.updated,
            waited: stored.waited,
            session_id: "s".into(),
            model: stored.record.model.clone(),
            preview: "Hello there".into(),
            usage: None,
            error: None,
        };
        assert_eq!(desk.runs(&all(9)).runs, std::slice::from_ref(&expected));
        desk.finish(run, failed("broken"));
        let updated = desk.run(ANN, run.id).expect("it is there").updated;
        let (status, error) = (Status::Failed, Some("broken".into()));
        let expected = Listed { status, updated, usage: Some(USAGE), error, ..expected };
        assert_eq!(desk.runs(&all(9)).runs, [expected]);
    });
}

#[test]
fn lists_go_by_the_order_of_creation_and_not_by_the_clock() {
    on_each(|desk| {
        let first = desk.begin(asked("1"));
        let (mut record, request) = desk.prepare(asked("2"));
        std::sync::Arc::make_mut(&mut record).created = Wall(1);
        let (second, status) = (record.id, Status::Running);
        desk.write(vec![runwire::record::Write::Create { record, request, status }]);
        desk.finish(first, completed("late"));
        assert_eq!(page(desk, &all(9)).0, [second, first.id]);
    });
}
