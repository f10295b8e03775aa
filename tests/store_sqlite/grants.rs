//! Leave that is remembered: what comes back, what goes with what, and what a person sees of it.
use crate::kit::*;
use runwire::config::Retain;
use runwire::id::{GrantId, RunNo};
use runwire::record::{Grant, Record, Write};
use runwire::store::Store;
use runwire::store::sqlite::{check, export};
use runwire::time::Wall;
use std::sync::Arc;

fn grant(id: u128, session: Option<&str>, arguments: &str) -> Grant {
    Grant {
        id: GrantId(id),
        owner: OWNER.into(),
        session_id: session.map(Box::from),
        tool: "terminal".into(),
        arguments: arguments.into(),
        created: Wall(1_000_000),
    }
}

fn given(grants: &[Grant]) -> Vec<Write> {
    grants.iter().map(|it| Write::Grant(Arc::new(it.clone()))).collect()
}

fn known(store: &mut dyn Store) -> Vec<u128> {
    store.recover().unwrap().grants.iter().map(|it| it.id.0).collect()
}

fn of_session(no: u64, session: &str) -> Record {
    Record { session_id: session.into(), ..record(no) }
}

#[test]
fn grants_come_back_as_they_were_given_the_oldest_first() {
    let folder = Folder::new();
    let grants =
        [grant(9, None, "{}"), grant(3, Some("s"), "{\"a\":\"é\n\"}"), grant(5, None, "[]")];
    commit(&mut folder.open(), given(&grants));
    let recovered = folder.open().recover().unwrap().grants;
    assert!(recovered.iter().map(|it| &**it).eq(&grants), "{recovered:?}");
    let mut store = folder.open();
    commit(&mut store, [Write::Revoke { id: GrantId(5) }, Write::Revoke { id: GrantId(77) }]);
    commit(&mut store, given(&[grant(4, None, "null")]));
    drop(store);
    assert_eq!(known(&mut folder.open()), [9, 3, 4]);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
}

#[test]
fn a_call_has_one_grant_for_each_scope() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(of_session(1, "s")), create(of_session(2, "t"))]);
    let grants = [grant(1, None, "{}"), grant(2, Some("s"), "{}"), grant(3, Some("t"), "{}")];
    commit(&mut store, given(&grants));
    assert_eq!(known(&mut store), [1, 2, 3]);
    commit(&mut store, given(&[grant(4, Some("s"), "{}"), grant(5, None, "{}")]));
    assert_eq!(known(&mut store), [3, 4, 5]);
    assert_eq!(check(&folder.file()).unwrap().problems, [""; 0]);
    ask(
        &folder.file(),
        "INSERT INTO grants SELECT 99, 'grant_x', owner, session_id, tool, \
        arguments, created_at FROM grants WHERE session_id = 's'",
    );
    let problems = check(&folder.file()).unwrap().problems;
    assert_eq!(problems, ["grant grant_x: another one is for the same call"]);
}

#[test]
fn grants_go_with_their_session_and_no_others_do() {
    let folder = Folder::new();
    let mut store = folder.open();
    for (no, session) in [(1, "s"), (2, "s"), (3, "t")] {
        commit(&mut store, whole(of_session(no, session), 1));
    }
    let grants = [
        grant(1, Some("s"), "{}"),
        grant(2, Some("t"), "{}"),
        Grant { owner: "another".into(), ..grant(3, Some("s"), "{}") },
        grant(4, None, "{}"),
    ];
    commit(&mut store, given(&grants[..2]));
    commit(&mut store, [create(Record { owner: "another".into(), ..of_session(4, "s") })]);
    commit(&mut store, given(&grants[2..]));
    commit(&mut store, [Write::Delete { no: RunNo(1) }]);
    let pruned = |store: &mut dyn Store| store.prune(&Retain::default(), Wall(0)).unwrap().revoked;
    assert_eq!((pruned(&mut store), known(&mut store)), (vec![], vec![1, 2, 3, 4]));
    let session = Write::DeleteSession { owner: OWNER.into(), id: "s".into() };
    commit(&mut store, [session]);
    assert_eq!(known(&mut store), [2, 3, 4], "its own grant and nobody else's");
    commit(&mut store, [Write::Delete { no: RunNo(3) }]);
    assert_eq!(pruned(&mut store), [GrantId(2)], "with the last run of its session");
    assert_eq!((pruned(&mut store), known(&mut store)), (vec![], vec![3, 4]));
}

#[test]
fn an_export_tells_of_grants_after_the_runs() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, whole(record(1), 1));
    commit(&mut store, given(&[grant(1, None, "{}"), grant(2, Some("s"), "{\"a\":1}")]));
    drop(store);
    let mut out = Vec::new();
    let exported = export(&folder.file(), &mut out).unwrap();
    assert_eq!((exported.runs, exported.grants), (1, 2));
    let out = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[2],
        serde_json::json!({
            "grant_id": GrantId(2).to_string(), "owner": OWNER, "session_id": "s", "tool": "terminal",
            "arguments": "{\"a\":1}", "created_at": 1.0,
        })
    );
    assert!(lines[1].get("session_id").is_none());
}
