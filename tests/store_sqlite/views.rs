//! What a person sees who opens the file with another SQLite.
use crate::kit::*;

#[test]
fn a_person_sees_runs_events_and_messages() {
    let folder = Folder::new();
    let mut store = folder.open();
    commit(&mut store, [create(record(1)), said(1, deltas(1, 0, 2))]);
    let call = r#""tool":"look","tool_call_id":"a","args":{"at":"sky"},"preview":"""#;
    commit(&mut store, [said(1, step(1, 2, "tool.started", call))]);
    let result = r#""tool":"look","tool_call_id":"a","error":false,"result":"blue","preview":"""#;
    commit(&mut store, [said(1, step(1, 3, "tool.completed", result))]);
    commit(&mut store, complete(1, 4, runwire::time::Wall(2_500_000)));
    drop(store);

    let ask = |sql| ask(&folder.file(), sql);
    assert_eq!(
        ask("SELECT no, status, created, finished, seconds, events, preview, output FROM run_list"),
        "1|completed|1970-01-01 00:00:01.000|1970-01-01 00:00:02.500|1.5|5|question 1|answer 1"
    );
    assert_eq!(
        ask("SELECT no, seq, event, at, json_extract(json, '$.seq') FROM event_list"),
        "1|0|message.delta|1970-01-01 00:00:01.000|0\n\
         1|1|message.delta|1970-01-01 00:00:01.001|1\n\
         1|2|tool.started|1970-01-01 00:00:01.002|2\n\
         1|3|tool.completed|1970-01-01 00:00:01.003|3\n\
         1|4|run.completed|1970-01-01 00:00:01.004|4"
    );
    assert_eq!(
        ask("SELECT no, role, text FROM message_list"),
        "1|user|question 1\n1|assistant|look {\"at\":\"sky\"}\n1|tool|blue\n1|assistant|answer 1"
    );
}
