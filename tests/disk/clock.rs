//! A clock that was a year ahead and was put right: what was written then lies in the future.
use crate::served::model::Model;
use crate::served::{Place, Server};
use crate::{assert_gapless, assert_sound, finished_run};
use rusqlite::Connection;
use serde_json::Value;

const YEAR_US: u64 = 365 * 24 * 3600 * 1_000_000;

/// Moves all that was written a year into the future, on the wire too.
fn advance(place: &Place) {
    let db = Connection::open(place.file()).unwrap();
    let changed = db.execute_batch(&format!(
        "UPDATE runs SET created_at = created_at + {YEAR_US}, updated_at = updated_at + {YEAR_US}, \
           finished_at = finished_at + {YEAR_US}; \
         UPDATE events SET at = at + {YEAR_US}; \
         UPDATE sessions SET created_at = created_at + {YEAR_US}, \
           updated_at = updated_at + {YEAR_US};"
    ));
    changed.unwrap();
    let mut rows = db.prepare("SELECT rowid, lines FROM events").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    for row in rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap() {
        let moved: String = row.1.lines().map(|line| moved(line) + "\n").collect();
        db.execute("UPDATE events SET lines = ?2 WHERE rowid = ?1", (row.0, moved)).unwrap();
    }
}

/// The line of an event, with its time a year later.
fn moved(line: &str) -> String {
    let (before, rest) = line.split_once("\"timestamp\":").unwrap();
    let (time, after) = rest.split_once(',').unwrap();
    let later = time.parse::<f64>().unwrap() + (YEAR_US / 1_000_000) as f64;
    format!("{before}\"timestamp\":{later:.6},{after}")
}

fn times(server: &Server, run: &str) -> Vec<f64> {
    let frames = server.frames(run);
    assert_gapless(&frames);
    frames.iter().map(|frame| frame.json()["timestamp"].as_f64().unwrap()).collect()
}

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().unwrap_or_else(|| panic!("{list}"));
    data.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_clock_has_gone_back_nothing_runs_backwards_and_nothing_is_lost() {
    let (place, model) = (Place::new(), Model::start());
    let flags = [&model.flags()[..], &["--max-runs", "1"]].concat();
    let mut server = place.start(&flags);
    let done = finished_run(&server, "words 3");
    let body = r#"{"input":"words 2 keyed","session_id":"talk"}"#;
    let key = "Idempotency-Key: from-the-future\r\n";
    let keyed = server.post("/v1/runs", key, body).json()["run_id"].as_str().unwrap().to_owned();
    assert_gapless(&server.frames(&keyed));
    let working = server.run("words 4 wait 1");
    let waiting = server.run("words 5");
    crate::served::wait_for("deltas", || {
        let page = server.get(&format!("/v1/runs/{working}")).json();
        (page["last_event"] == "message.delta").then_some(())
    });
    server.kill();
    advance(&place);
    // All that is older than a day would go.
    let flags = [&flags[..], &["--retain", "1d"]].concat();
    let server = place.start(&flags);
    for run in [&done, &keyed, &working, &waiting] {
        let times = times(&server, run);
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{run}: {times:?}");
        let page = server.get(&format!("/v1/runs/{run}")).json();
        let (created, updated) = (page["created_at"].as_f64(), page["updated_at"].as_f64());
        assert!(created <= updated, "{page}");
    }
    let page = server.get(&format!("/v1/runs/{working}")).json();
    assert_eq!(page["status"], "interrupted");
    assert_eq!(server.get(&format!("/v1/runs/{waiting}")).json()["status"], "completed");
    let again = server.post("/v1/runs", key, body).json();
    assert_eq!((&again["run_id"], &again["replayed"]), (&keyed.as_str().into(), &true.into()));

    let new = finished_run(&server, "words 1");
    let session = server.post("/v1/runs", "", r#"{"input":"words 1","session_id":"talk"}"#).json();
    let session = session["run_id"].as_str().unwrap().to_owned();
    assert_gapless(&server.frames(&session));
    let all = [session, new.clone(), waiting, working, keyed, done];
    assert_eq!(ids(&server.get("/v1/runs").json()), all);
    assert_eq!(ids(&server.get(&format!("/v1/runs?limit=3&after={new}")).json()), all[2..5]);
    let talk = server.get("/v1/sessions/talk/messages").json();
    assert_eq!(talk["data"].as_array().unwrap().len(), 4, "{talk}");
    drop(server);
    assert_sound(&place);

    // What the store says of them, once they have left memory.
    let server = place.start(&flags);
    for run in &all {
        let page = server.get(&format!("/v1/runs/{run}")).json();
        let (created, updated) = (page["created_at"].as_f64(), page["updated_at"].as_f64());
        assert!(created <= updated, "{page}");
    }
    assert_eq!(ids(&server.get("/v1/runs").json()), all);
}
