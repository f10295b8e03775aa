//! What is measured, one thing after the other, each with a server of its own.
use super::child::{Child, Leash, Nest, Works};
use super::figures::Figures;
use super::percentiles::{Sorted, Times};
use super::posts::{Posted, micros, post_for};
use super::streams::{Streams, Told};
use super::wire::post;
use crate::cli::settings::StoreKind;
use std::iter::repeat_n;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How much of everything there is to be; fewer streams where the limit on open files is low.
pub struct Sizes {
    pub starts: u64,
    pub idle_streams_max: usize,
    pub full_readers: usize,
    /// About so long at full speed.
    pub full_time: Duration,
    pub live_readers: usize,
    /// At 20 a second.
    pub live_events: u64,
    pub post_connections: usize,
    pub post_time: Duration,
    pub runs: usize,
}

pub const WHOLE: Sizes = Sizes {
    starts: 7,
    idle_streams_max: 10_000,
    full_readers: 500,
    full_time: Duration::from_millis(1500),
    live_readers: 200,
    live_events: 40,
    post_connections: 64,
    post_time: Duration::from_millis(1500),
    runs: 20,
};

pub const QUICK: Sizes = Sizes {
    starts: 3,
    idle_streams_max: 1_000,
    full_readers: 200,
    full_time: Duration::from_millis(600),
    live_readers: 200,
    live_events: 10,
    post_connections: 64,
    post_time: Duration::from_millis(600),
    runs: 20,
};

pub const TOO_SLOW: &str =
    "The bench is not done within its time: this machine has too much else to do. Try --quick.";
/// Bytes of a delta.
const SIZE: &str = "size=64";
/// Streams that are open before memory is looked at, so that what all share is there.
const FIRST_STREAMS: usize = 32;
/// Descriptors that are not streams, in a server or here.
const FILES_RESERVED: usize = 64;
/// At full speed: events of the first run, from which the length of the second is reckoned.
const TRIAL_EVENTS: u64 = 300;
const EVENTS_MAX: u64 = 20_000;
/// Before a run's first event, so that its readers are there.
const HOLD: Duration = Duration::from_millis(300);
/// After a start, until memory is looked at.
const SETTLE: Duration = Duration::from_millis(200);

/// A bench at work.
pub struct Bench<'a> {
    pub store: StoreKind,
    pub leash: &'a Leash,
    pub sizes: &'a Sizes,
    /// When all is over, done or not.
    pub until: Instant,
    /// Descriptors that this process and a server may have, each.
    pub files_max: usize,
    pub figures: &'a mut Figures,
    pub checked: u64,
}

impl Bench<'_> {
    pub fn all(&mut self) -> Result<(), String> {
        self.starts()?;
        self.idle_streams()?;
        self.full_speed()?;
        self.live()?;
        self.posts()?;
        self.runs()?;
        self.figures.put(&[("events_checked", Some(self.checked))]);
        Ok(())
    }

    /// So many, or as many as there can be.
    fn streams(&self, wanted: usize) -> usize {
        let reserved = FIRST_STREAMS + FILES_RESERVED;
        wanted.min(self.files_max.saturating_sub(reserved)).max(1)
    }

    fn nest(&self) -> Result<Arc<Nest>, String> {
        Nest::new(self.store, self.leash.clone()).map(Arc::new)
    }

    /// One with the agent of benchmarks, in a folder of its own.
    fn server(&self) -> Result<Child, String> {
        if Instant::now() > self.until {
            return Err(TOO_SLOW.to_owned());
        }
        self.nest()?.start(Works::Script)
    }

    fn starts(&mut self) -> Result<(), String> {
        // The first makes the files that the others find.
        let nest = self.nest()?;
        let mut child = nest.start(Works::Shipped)?;
        let mut times = Times::new();
        for _ in 0..self.sizes.starts {
            drop(child);
            child = nest.start(Works::Shipped)?;
            times.push(micros(child.started_in));
        }
        let times = Sorted::new(times);
        drop(nest);
        thread::sleep(SETTLE);
        self.figures.put(&[
            ("starts", Some(self.sizes.starts)),
            ("start_best_us", times.percentile(0)),
            ("start_median_us", times.percentile(50)),
            ("idle_resident_bytes", child.resident()),
        ]);
        Ok(())
    }

    fn idle_streams(&mut self) -> Result<(), String> {
        let child = self.server()?;
        let run_id = post(&child, "bench hold=600000")?;
        let mut told = Told::default();
        let mut open = |count| Streams::open(&child, repeat_n(run_id.as_str(), count), &mut told);
        let _first = open(FIRST_STREAMS)?;
        let before = child.resident_own();
        let streams = open(self.streams(self.sizes.idle_streams_max))?;
        let grown = child.resident_own().zip(before).map(|(now, then)| now.saturating_sub(then));
        let count = streams.len() as u64;
        self.figures.put(&[
            ("idle_streams", Some(count)),
            ("idle_stream_bytes", grown.and_then(|bytes| bytes.checked_div(count))),
        ]);
        Ok(())
    }

    fn full_speed(&mut self) -> Result<(), String> {
        let child = self.server()?;
        let readers = self.streams(self.sizes.full_readers);
        let input = |events, hold: Duration| {
            format!("bench events={events} {SIZE} hold={}", hold.as_millis())
        };
        let trial = self.deliver(&child, &input(TRIAL_EVENTS, HOLD), readers, TRIAL_EVENTS)?;
        let events = TRIAL_EVENTS * micros(self.sizes.full_time) / micros(trial.wall).max(1);
        let events = events.clamp(TRIAL_EVENTS, EVENTS_MAX);
        let full = self.deliver(&child, &input(events, 2 * trial.opened_in), readers, events)?;
        self.figures.put(&[
            ("fanout_readers", Some(readers as u64)),
            ("fanout_deliveries", Some(full.deliveries)),
            ("fanout_per_cpu_second", full.cpu.and_then(|cpu| full.per_second(cpu))),
            ("fanout_per_second", full.per_second(full.wall)),
        ]);
        Ok(())
    }

    /// One run, read by so many.
    fn deliver(
        &mut self,
        child: &Child,
        input: &str,
        readers: usize,
        events: u64,
    ) -> Result<Delivered, String> {
        let run_id = post(child, input)?;
        let opening = Instant::now();
        let mut told = Told::default();
        let mut streams = Streams::open(child, repeat_n(run_id.as_str(), readers), &mut told)?;
        let (opened_in, before) = (opening.elapsed(), child.cpu());
        streams.read(events, self.until, &mut told)?;
        self.checked += told.events;
        Ok(Delivered {
            deliveries: told.events,
            wall: told.began.map_or(Duration::ZERO, |began| began.elapsed()),
            cpu: child.cpu().zip(before).map(|(now, then)| now.saturating_sub(then)),
            opened_in,
        })
    }

    fn live(&mut self) -> Result<(), String> {
        let child = self.server()?;
        let (readers, events) = (self.streams(self.sizes.live_readers), self.sizes.live_events);
        let run_id = post(&child, &self.paced())?;
        let late = self.late(&child, repeat_n(run_id.as_str(), readers), events)?;
        self.figures.put(&[
            ("live_readers", Some(readers as u64)),
            ("live_p50_us", late.percentile(50)),
            ("live_p99_us", late.percentile(99)),
        ]);
        Ok(())
    }

    fn runs(&mut self) -> Result<(), String> {
        let child = self.server()?;
        let (input, runs) = (self.paced(), self.streams(self.sizes.runs));
        let run_ids: Result<Vec<String>, String> =
            (0..runs).map(|_| post(&child, &input)).collect();
        let run_ids = run_ids?;
        let run_ids = run_ids.iter().map(String::as_str);
        let late = self.late(&child, run_ids, self.sizes.live_events)?;
        self.figures.put(&[
            ("event_runs", Some(runs as u64)),
            ("event_p50_us", late.percentile(50)),
            ("event_p99_us", late.percentile(99)),
        ]);
        Ok(())
    }

    fn paced(&self) -> String {
        let Sizes { live_events, .. } = self.sizes;
        format!("bench events={live_events} {SIZE} rate=20 hold={}", HOLD.as_millis())
    }

    /// How late the events of these runs reach their readers.
    fn late<'a>(
        &mut self,
        child: &Child,
        run_ids: impl Iterator<Item = &'a str>,
        events: u64,
    ) -> Result<Sorted, String> {
        let mut told = Told { late: Some(Times::new()), ..Told::default() };
        Streams::open(child, run_ids, &mut told)?.read(events, self.until, &mut told)?;
        self.checked += told.events;
        Ok(Sorted::new(told.late.unwrap_or_default()))
    }

    fn posts(&mut self) -> Result<(), String> {
        let child = self.server()?;
        let connections = self.streams(self.sizes.post_connections);
        let time = self.sizes.post_time;
        let (began, before) = (Instant::now(), child.cpu());
        let Posted { accepted, refused, times } = post_for(&child, connections, time)?;
        let (wall, times) = (began.elapsed(), Sorted::new(times));
        let cpu = child.cpu().zip(before).map(|(now, then)| now.saturating_sub(then));
        self.figures.put(&[
            ("post_connections", Some(connections as u64)),
            ("post_accepted", Some(accepted)),
            ("post_refused", Some(refused)),
            ("post_per_cpu_second", cpu.and_then(|cpu| per_second(accepted, cpu))),
            ("post_per_second", per_second(accepted, wall)),
            ("post_p50_us", times.percentile(50)),
            ("post_p99_us", times.percentile(99)),
        ]);
        Ok(())
    }
}

/// A run that was read to its end by all its readers.
struct Delivered {
    deliveries: u64,
    /// From the first event to the last.
    wall: Duration,
    cpu: Option<Duration>,
    opened_in: Duration,
}

impl Delivered {
    fn per_second(&self, time: Duration) -> Option<u64> {
        per_second(self.deliveries, time)
    }
}

fn per_second(count: u64, time: Duration) -> Option<u64> {
    (count * 1_000_000).checked_div(micros(time))
}
