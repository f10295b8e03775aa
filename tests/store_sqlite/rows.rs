//! How events lie in rows, and come back.
use crate::kit::*;
use runwire::budget::Budget;
use runwire::id::RunNo;
use runwire::record::{Fault, Write};
use runwire::store::sqlite::{check, export};
use runwire::store::{Sqlite, Store};
use std::time::Duration;

#[test]
fn deltas_of_many_commits_share_rows_and_come_back_as_they_were() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1))]);
    let mut lines = String::new();
    for seq in 0..200 {
        let row = deltas(1, seq, seq + 1);
        lines.push_str(&row.lines);
        commit(&mut store, [said(1, row)]);
    }
    commit(&mut store, complete(1, 200, record(1).created));
    lines.push_str(&complete_line(1, 200));
    for bytes_max in [1, 100, 1000, 4096, 1 << 20] {
        assert_eq!(all_events(&mut store, 1, bytes_max), lines);
    }
    let report = check(&folder.file()).unwrap();
    assert_eq!(report.problems, [""; 0]);
    // Some 32 deltas of 120 bytes fill a page.
    assert!((6..=12).contains(&report.rows), "{} rows", report.rows);
}

#[test]
fn deltas_of_two_kinds_share_no_row() {
    let folder = Folder::new();
    let mut store = folder.open();
    let thought = |seq| step(1, seq, "reasoning.delta", r#""delta":"hm""#);
    commit(&mut store, [create(record(1)), said(1, thought(0)), said(1, thought(1))]);
    commit(&mut store, [said(1, deltas(1, 2, 3)), said(1, thought(3))]);
    drop(store);
    assert_eq!(
        ask(&folder.file(), "SELECT first_seq, last_seq, event FROM events ORDER BY first_seq"),
        "0|1|reasoning.delta\n2|2|message.delta\n3|3|reasoning.delta"
    );
}

#[test]
fn any_event_can_be_the_first_of_a_page() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1)), said(1, deltas(1, 0, 70))]);
    commit(&mut store, [said(1, step(1, 70, "tool.started", r#""tool":"x""#))]);
    commit(&mut store, [said(1, deltas(1, 71, 90)), said(1, deltas(1, 90, 300))]);
    let all = all_events(&mut store, 1, 1 << 20);
    assert_eq!(all.lines().count(), 300);
    for from_seq in 0..300 {
        for bytes_max in [0, 500, 1 << 20] {
            let page = events(&mut store, 1, from_seq, bytes_max);
            let expected: String = all.split_inclusive('\n').skip(from_seq as usize).collect();
            assert!(expected.starts_with(&page.lines) && page.lines.ends_with('\n'));
            let is_one = page.lines.lines().count() == 1;
            assert!(page.lines.len() <= bytes_max || is_one, "{} bytes", page.lines.len());
        }
    }
    assert_eq!(events(&mut store, 1, 300, 1000).lines, "");
    assert_eq!(events(&mut store, 2, 0, 1000).lines, "");
}

#[test]
fn a_batch_that_fails_leaves_nothing_and_the_next_goes_on_without_a_gap() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1)), said(1, deltas(1, 0, 3))]);
    // A run that is there already cannot be created: its two deltas go with it.
    let doomed = batch([said(1, deltas(1, 3, 5)), create(record(1))]);
    let fault: Fault = store.commit(&doomed).unwrap_err();
    assert!(fault.message.contains("runs.db"), "{fault}");
    assert_eq!(run(&mut store, 1).unwrap().next_seq, 3);
    commit(&mut store, [said(1, deltas(1, 3, 4))]);
    commit(&mut store, [said(1, deltas(1, 4, 6))]);
    assert_eq!(all_events(&mut store, 1, 1000), deltas(1, 0, 6).lines);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
}

#[test]
fn an_unfinished_run_is_known_with_all_it_said_when_its_server_dies() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 2));
    commit(&mut store, [create(record(2)), said(2, deltas(2, 0, 3))]);
    commit(&mut store, [said(2, deltas(2, 3, 7))]);
    commit(&mut store, [queued(3)]);
    drop(store);
    let recovered = folder.open().recover().unwrap();
    assert_eq!(recovered.last_no, 3);
    let [working, waiting] = &recovered.unfinished[..] else { panic!("{recovered:?}") };
    assert_eq!((working.record.no, working.next_seq), (RunNo(2), 7));
    assert_eq!(working.updated, deltas(2, 3, 7).at);
    assert!(working.request.is_none());
    let Write::Create { record, request, .. } = queued(3) else { unreachable!() };
    assert_eq!((&waiting.record, waiting.request.as_ref()), (&record, Some(&request)));
    assert_eq!((waiting.next_seq, waiting.updated), (0, record.created));
}

#[test]
fn a_run_that_waits_keeps_its_budget() {
    let folder = Folder::new();
    let mut store = folder.open();
    let tight = Budget {
        wall: Some(Duration::from_nanos(1_000_000_001)),
        turns: Some(1),
        tool_calls: Some(0),
        tokens: Some(7),
        output_bytes: Some(i64::MAX as u64 + 1),
    };
    let budgets = [tight, Budget { tokens: Some(1), ..Budget::default() }, Budget::default()];
    for (no, budget) in (1..).zip(budgets) {
        let Write::Create { record, request, status } = queued(no) else { unreachable!() };
        let mut request = (*request).clone();
        request.budget = budget;
        commit(&mut store, [Write::Create { record, request: request.into(), status }]);
    }
    drop(store);
    let recovered = folder.open().recover().unwrap();
    let kept = recovered.unfinished.iter().map(|it| it.request.as_ref().unwrap().budget);
    assert_eq!(kept.collect::<Vec<_>>(), budgets);
    assert_eq!(
        ask(&folder.file(), "SELECT budget FROM requests ORDER BY run LIMIT 2 OFFSET 1"),
        "{\"tokens\":1}\nNone"
    );
    let mut exported = Vec::new();
    export(&folder.file(), &mut exported).unwrap();
    let exported = String::from_utf8(exported).unwrap();
    assert_eq!(exported.matches(r#""budget":{"#).count(), 2, "{exported}");
}

#[test]
fn hands_see_what_was_committed_and_sync_it() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut hands = store.hands().unwrap().expect("it has hands");
    for no in 1..=50 {
        commit(&mut store, whole(record(no), 20));
        hands.syncer.sync().unwrap();
        let page = hands.reader.answer(&events_query(no, 0, 100_000)).unwrap();
        assert_eq!(page, store.answer(&events_query(no, 0, 100_000)).unwrap());
        assert!(format!("{page:?}").contains("run.completed"));
    }
}

#[test]
fn messages_are_counted_as_they_are_told() {
    let folder = Folder::new();
    let mut store = folder.open();
    let texts = [
        ("message.interim", r#""text":"I look","already_streamed":false"#),
        ("message.interim", r#""text":"","already_streamed":false"#),
        ("message.interim", r#""text":"with \"text\":\"\"","already_streamed":false"#),
        ("tool.started", r#""tool":"x","tool_call_id":"a","args":{},"preview":"""#),
        ("tool.completed", r#""tool":"x","tool_call_id":"a","error":false,"result":"r""#),
        ("run.steered", r#""text":"faster","accepted":true,"interrupt":false"#),
        ("reasoning.available", r#""text":"hm""#),
    ];
    let mut chance = 88_172_645_463_325_252_u64;
    for no in 1..=100 {
        commit(&mut store, [create(record(no))]);
        for seq in 0..12 {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let (event, rest) = texts[(chance % 7) as usize];
            commit(&mut store, [said(no, step(no, seq, event, rest))]);
        }
        commit(&mut store, complete(no, 12, record(no).created));
        // Pages are cut by the count, and filled with what is told.
        let all = messages(&mut store, no, 1000, 0);
        let paged: Vec<_> = (0..all.len()).flat_map(|at| messages(&mut store, no, 1, at)).collect();
        assert_eq!(paged, all);
        assert_eq!(messages(&mut store, no, 1000, all.len()), []);
    }
}

fn messages(
    store: &mut Sqlite,
    no: u64,
    limit: usize,
    offset: usize,
) -> Vec<runwire::record::Said> {
    use runwire::record::{Answer, Query};
    let id = id(no).to_string().into();
    let query = Query::Messages { owner: OWNER.into(), id, limit, offset, latest: false };
    let Answer::Messages(Some(page)) = store.answer(&query).unwrap() else { panic!("no session") };
    assert_eq!(
        page.has_more,
        page.messages.len() == limit
            && {
                let rest = Query::Messages {
                    owner: OWNER.into(),
                    id: self::id(no).to_string().into(),
                    limit: 1,
                    offset: offset + limit,
                    latest: false,
                };
                matches!(store.answer(&rest).unwrap(), Answer::Messages(Some(page)) if !page.messages.is_empty())
            }
    );
    page.messages
}

fn queued(no: u64) -> Write {
    let Write::Create { record, request, .. } = create(record(no)) else { unreachable!() };
    Write::Create { record, request, status: runwire::record::Status::Queued }
}

fn complete_line(no: u64, seq: u64) -> String {
    let [Write::Events { rows, .. }, _] = complete(no, seq, record(no).created) else {
        unreachable!()
    };
    rows[0].lines.clone()
}
