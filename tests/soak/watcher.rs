//! Clients of `/v1/events`: several runs on one line, each from its own cursor, over lost lines and
//! restarts, and what becomes of all runs of the key.
use crate::client::Client;
use crate::fleet::Life;
use crate::good::{Posted, post, read_whole};
use crate::order::Order;
use crate::served::wire::{Conn, Frame, Stream};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;

pub fn work(mut client: Client<'_>) {
    let mut count = 0;
    while !client.fleet.is_closing() && !client.tally.has_failed() {
        let name = format!("{}-{count}", client.name.replace(' ', "-"));
        client.fork(&format!("act {count}")).attempt(|client| one(client, &name));
        count += 1;
    }
}

fn one(client: &mut Client<'_>, name: &str) {
    let mut runs = Vec::new();
    for index in 0..2 + client.chance.below(5) {
        let order = Order::draw(&mut client.chance, &format!("{name}-{index}"));
        // Whoever only watches does not decide.
        if order.kind != "runs that ask for leave"
            && let Some(posted) = post(client, &order)
        {
            client.tally.count(order.kind);
            runs.push(posted);
        }
    }
    if runs.is_empty() {
        return;
    }
    let mut seen: BTreeMap<String, Vec<Frame>> =
        runs.iter().map(|posted| (posted.run.clone(), Vec::new())).collect();
    while !seen.values().all(|frames| is_whole(frames)) {
        client.insist(|client, life| read_on(client, life, &mut seen));
    }
    client.tally.count("feeds of several runs");
    for posted in &runs {
        compare(client, posted, &seen[&posted.run]);
    }
}

fn is_whole(frames: &[Frame]) -> bool {
    frames.last().is_some_and(Frame::is_terminal)
}

fn compare(client: &mut Client<'_>, posted: &Posted, frames: &[Frame]) {
    if let Some(whole) = read_whole(client, posted) {
        assert_eq!(frames, whole, "what the feed said of {}", posted.run);
    }
}

/// One line: until all has come, or it breaks, or is dropped.
fn read_on(
    client: &mut Client<'_>,
    life: Life,
    seen: &mut BTreeMap<String, Vec<Frame>>,
) -> io::Result<()> {
    let cursor = |(run, frames): (&String, &Vec<Frame>)| {
        frames.last().map_or(run.clone(), |frame| format!("{run}:{}", frame.seq))
    };
    let open: Vec<String> = seen.iter().filter(|it| !is_whole(it.1)).map(cursor).collect();
    let watch = if client.chance.one_in(2) { "&watch=runs" } else { "" };
    let path = format!("/v1/events?runs={}{watch}", open.join(","));
    let mut conn = Conn::open(life.addr)?;
    conn.send("GET", &path, "", "")?;
    let opened = Stream::of(conn)?;
    client.step(|| format!("GET {path}: {:?}", opened.as_ref().err()));
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(503) if client.fleet.is_over(life) => return Err(io::Error::other("it is draining")),
        Err(status) => panic!("no feed: {status}"),
    };
    let mut patience =
        if client.chance.one_in(3) { u64::MAX } else { 1 + client.chance.below(600) };
    while patience > 0 && !seen.values().all(|frames| is_whole(frames)) {
        patience -= 1;
        let Some(block) = stream.block()? else {
            return Err(io::Error::other("the feed ended"));
        };
        take(client, seen, block);
    }
    Ok(())
}

fn take(client: &Client<'_>, seen: &mut BTreeMap<String, Vec<Frame>>, block: String) {
    if block.starts_with(": ") {
        return;
    }
    let data = block.split_once("data: ").expect("neither a comment nor an event").1;
    let data: Value = serde_json::from_str(data).expect("data is JSON");
    let Some(rest) = block.strip_prefix("id: ") else {
        let is_status = ["run.status", "runs.changed"].iter().any(|name| data["event"] == *name);
        assert!(is_status, "{block}");
        client.tally.count("statuses watched");
        return;
    };
    let seq = rest.split('\n').next().and_then(|seq| seq.parse().ok()).expect("a number");
    let run = data["run_id"].as_str().expect("a run's id");
    let frames = seen.get_mut(run).expect("a run that was asked for");
    assert!(!is_whole(frames), "something after the end of {run}: {block}");
    assert_eq!(seq, frames.len() as u64, "{run}: a gap, or something twice");
    frames.push(Frame { seq, text: block });
}
