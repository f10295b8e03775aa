//! The outbox: what comes back, in what order, and what goes with what.
use crate::kit::*;
use runwire::config::{Retain, Webhook};
use runwire::id::{HookId, RunNo};
use runwire::record::{Answer, Delivery, HooksPage, Query, Record, Write};
use runwire::store::Store;
use runwire::store::sqlite::{check, export};
use runwire::time::Wall;
use std::sync::Arc;

fn delivery(id: u128, no: u64, url: &str, due: u64) -> Delivery {
    Delivery {
        id: HookId(id),
        run: RunNo(no),
        url: url.into(),
        event: "run.completed".into(),
        body: format!("{{\"é\":{id}}}").into(),
        tries: 0,
        due: Wall(due),
    }
}

fn hooks(deliveries: &[Delivery]) -> Vec<Write> {
    deliveries.iter().map(|it| Write::Hook(Arc::new(it.clone()))).collect()
}

fn page(store: &mut dyn Store, limit: usize) -> HooksPage {
    match store.answer(&Query::Hooks { limit }).unwrap() {
        Answer::Hooks(page) => page,
        other => panic!("{other:?}"),
    }
}

fn ids(store: &mut dyn Store) -> Vec<u128> {
    page(store, 100).deliveries.iter().map(|it| it.id.0).collect()
}

#[test]
fn a_page_has_the_first_delivery_of_each_origin_and_those_due_first() {
    let folder = Folder::new();
    let all = [
        delivery(1, 1, "https://a.example/x?token=1", 50),
        delivery(2, 1, "https://a.example/y", 40),
        delivery(3, 1, "https://b.example", 60),
        delivery(4, 1, "https://a.example:8443/", 10),
    ];
    commit(&mut folder.open(), hooks(&all));
    let mut store = folder.open();
    let told = page(&mut store, 100);
    assert_eq!(told.deliveries, [all[3].clone(), all[1].clone(), all[2].clone()]);
    assert!(told.more);
    assert_eq!(page(&mut store, 1).deliveries, [all[3].clone()]);
    commit(&mut store, [Write::HookLater { id: HookId(2), tries: 3, due: Wall(90) }]);
    commit(&mut store, [Write::HookDone { id: HookId(4) }, Write::HookDone { id: HookId(99) }]);
    assert_eq!(ids(&mut store), [1, 3]);
    commit(&mut store, [Write::HookDone { id: HookId(1) }]);
    let told = page(&mut store, 100);
    let put_off = Delivery { tries: 3, due: Wall(90), ..all[1].clone() };
    assert_eq!(told, HooksPage { deliveries: vec![all[2].clone(), put_off], more: false });
}

#[test]
fn deliveries_go_with_a_deleted_run_or_session_and_outlive_one_that_is_cleaned_up() {
    let folder = Folder::new();
    let mut store = folder.open();
    let of_session = |no| Record { session_id: "s".into(), ..record(no) };
    for record in [record(1), of_session(2), record(3)] {
        let no = record.no.0;
        commit(&mut store, whole(record, 2));
        let url = format!("https://{no}.example/");
        commit(&mut store, hooks(&[delivery(no.into(), no, &url, no)]));
    }
    commit(&mut store, [Write::Delete { no: RunNo(1) }]);
    assert_eq!(ids(&mut store), [2, 3]);
    commit(&mut store, [Write::DeleteSession { owner: OWNER.into(), id: "s".into() }]);
    assert_eq!(ids(&mut store), [3]);
    let retain = Retain { runs: Some(0), ..Retain::default() };
    assert_eq!(store.prune(&retain, Wall(u64::MAX / 4)).unwrap().gone, [RunNo(3)]);
    assert_eq!(ids(&mut store), [3]);
}

#[test]
fn an_unfinished_run_comes_back_with_its_webhook() {
    let folder = Folder::new();
    let webhook = Webhook::new("https://a.example/?é".replace('é', "%C3%A9").as_str()).unwrap();
    let webhook = webhook.only(["run.failed", "approval.request"].into_iter()).unwrap();
    let record = Record { webhook: Some(Box::new(webhook)), ..record(1) };
    commit(&mut folder.open(), [create(record.clone())]);
    let recovered = folder.open().recover().unwrap().unfinished;
    assert_eq!(recovered[0].record.webhook, record.webhook);
}

#[test]
fn deliveries_are_exported_without_what_of_their_address_may_be_secret() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 2));
    let told = [
        delivery(1, 1, "https://a.example:8443/hush?token=hush", 1_500_000),
        delivery(2, 1, "https://b.example/hush", 7),
    ];
    commit(&mut store, hooks(&told));
    drop(store);
    let mut out = Vec::new();
    let exported = export(&folder.file(), &mut out).unwrap();
    assert_eq!((exported.runs, exported.deliveries), (1, 2));
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("hush"), "{text}");
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let expected = serde_json::json!({"delivery_id": HookId(1).to_string(), "no": 1,
        "run_id": id(1).to_string(), "origin": "https://a.example:8443", "event": "run.completed",
        "tries": 0, "due_at": 1.5, "body": {"é": 1}});
    assert_eq!(line, expected);
}

#[test]
fn a_check_tells_of_deliveries_that_nobody_can_have_written() {
    let folder = Folder::new();
    let mut store = folder.open();
    for no in 1..=2 {
        commit(&mut store, whole(record(no), 2));
    }
    let all: Vec<Delivery> =
        (1..=4).map(|id| delivery(id, 2, "https://a.example/x?y", 5)).collect();
    commit(&mut store, hooks(&all));
    let retain = Retain { runs: Some(0), ..Retain::default() };
    store.prune(&retain, Wall(u64::MAX / 4)).unwrap();
    drop(store);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0], "their run may be gone");
    let broken = ["run = 3", "event = 'run.steered'", "origin = 'https://b.example'"];
    let ids = (1..=3).map(|id| HookId(id).to_string()).collect::<Vec<_>>();
    for (id, what) in ids.iter().zip(broken) {
        ask(&folder.file(), &format!("UPDATE hooks SET {what} WHERE id = '{id}' RETURNING 1"));
    }
    let problems = check(&folder.file()).unwrap().problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (id, problem) in ids.iter().zip(&problems) {
        assert!(problem.contains(id), "{id} is not in {problem}");
    }
}
