//! The server to compare with: the runs API as axum and tokio suggest it be built.
//!
//! A broadcast channel for each run with a log behind it for those who come late, axum's own `Sse`
//! response, a task for each run and each connection. `axum-runs PORT`.
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time;

const BROADCAST_MAX: usize = 256;
const BACKLOG: u32 = 4096;
const ORPHAN_TTL: Duration = Duration::from_secs(300);

/// An event's place in its run, its JSON, and whether it is the last.
#[derive(Clone)]
struct Item {
    seq: usize,
    json: Arc<str>,
    is_last: bool,
}

struct Run {
    log: Mutex<Vec<Item>>,
    live: broadcast::Sender<Item>,
}

#[derive(Default)]
struct Runs(RwLock<HashMap<String, Arc<Run>>>);

#[derive(Deserialize)]
struct Submission {
    input: String,
}

#[derive(Serialize)]
struct Accepted {
    run_id: String,
    status: &'static str,
}

#[derive(Serialize)]
struct Said<'a> {
    event: &'static str,
    run_id: &'a str,
    timestamp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
}

impl Runs {
    fn find(&self, id: &str) -> Option<Arc<Run>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn insert(&self, id: String, run: Arc<Run>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, run);
    }

    fn forget(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Run {
    fn say(&self, id: &str, event: &'static str, delta: Option<&str>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let said = Said { event, run_id: id, timestamp: since.as_secs_f64(), delta };
        let json = serde_json::to_string(&said).expect("strings and numbers are always JSON");
        let mut log = self.log();
        let item = Item { seq: log.len(), json: json.into(), is_last: delta.is_none() };
        log.push(item.clone());
        // Without a subscriber there is nobody to tell.
        let _ = self.live.send(item);
    }

    fn log(&self) -> MutexGuard<'_, Vec<Item>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent: does what its input says (see `examples/bench_agent.rs`).
async fn work(runs: Arc<Runs>, id: String, run: Arc<Run>, input: String) {
    let number = |name: &str| number(&input, name);
    let text = "x".repeat(number("size") as usize);
    time::sleep(Duration::from_millis(number("hold"))).await;
    let step = 1_000_000_u64.checked_div(number("rate")).map(Duration::from_micros);
    let mut ticks = step.map(time::interval);
    for _ in 0..number("events") {
        match &mut ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => tokio::task::yield_now().await,
        }
        run.say(&id, "message.delta", Some(&text));
    }
    time::sleep(Duration::from_millis(number("tail"))).await;
    run.say(&id, "run.completed", None);
    time::sleep(ORPHAN_TTL).await;
    runs.forget(&id);
}

fn number(input: &str, name: &str) -> u64 {
    let mut values = input.split(' ').filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    values.next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

async fn submit(State(runs): State<Arc<Runs>>, Json(asked): Json<Submission>) -> Response {
    let run_id = format!("run_{}", uuid::Uuid::new_v4().simple());
    let live = broadcast::channel(BROADCAST_MAX).0;
    let run = Arc::new(Run { log: Mutex::default(), live });
    runs.insert(run_id.clone(), run.clone());
    tokio::spawn(work(runs, run_id.clone(), run, asked.input));
    (StatusCode::ACCEPTED, Json(Accepted { run_id, status: "started" })).into_response()
}

struct Cursor {
    run: Arc<Run>,
    live: broadcast::Receiver<Item>,
    /// Events from the log that are still to be told, and the one after them.
    replay: VecDeque<Item>,
    next: usize,
    is_over: bool,
}

impl Cursor {
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Cursor)> {
        while !self.is_over {
            let item = match self.replay.pop_front() {
                Some(item) => item,
                None => match self.live.recv().await {
                    Ok(item) => item,
                    Err(RecvError::Lagged(_)) => {
                        let missed = self.run.log()[self.next..].to_vec();
                        self.replay.extend(missed);
                        continue;
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            if item.seq >= self.next {
                self.next = item.seq + 1;
                self.is_over = item.is_last;
                return Some((Ok(Event::default().data(&*item.json)), self));
            }
        }
        None
    }
}

async fn events(State(runs): State<Arc<Runs>>, Path(id): Path<String>) -> Response {
    let Some(run) = runs.find(&id) else { return StatusCode::NOT_FOUND.into_response() };
    let (live, replay) = {
        let log = run.log();
        (run.live.subscribe(), log.iter().cloned().collect())
    };
    let cursor = Cursor { run, live, replay, next: 0, is_over: false };
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10)).text("keepalive");
    Sse::new(stream::unfold(cursor, Cursor::step)).keep_alive(keep_alive).into_response()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: axum-runs PORT")?.parse()?;
    let router = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/v1/runs", post(submit))
        .route("/v1/runs/{id}/events", get(events))
        .with_state(Arc::new(Runs::default()));
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(BACKLOG)?.tap_io(|stream| {
        // A stream that keeps its delay is slower, and still right.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
