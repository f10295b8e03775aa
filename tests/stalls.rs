//! Peers that do not read, over simulated minutes: the machine alone, and sockets that take what a
//! test says.
use runwire::event::{Delta, Event, Kind};
use runwire::id::{ConnId, RunKey};
use runwire::limits::{DELTA_BYTES_MAX, HISTORY_BYTES_MAX, STALL_BYTES, STALL_MS};
use runwire::machine::{Input, Machine, Output, Shelf};
use runwire::time::{Now, Tick, Wall};
use runwire::{About, Config};

/// A machine, its clock, and what it has said.
struct World {
    machine: Machine,
    now: u64,
    started: Vec<RunKey>,
    closed: Vec<ConnId>,
}

impl World {
    fn new() -> World {
        let mut id = 0;
        let ids = Box::new(move || {
            id += 1;
            id
        });
        let machine = Machine::new(
            Config::default(),
            About::default(),
            Shelf::default(),
            ids,
            Now::default(),
        );
        World { machine, now: 0, started: Vec::new(), closed: Vec::new() }
    }

    fn now(&self) -> Now {
        Now { tick: Tick(self.now), wall: Wall(self.now * 1000) }
    }

    fn open(&mut self) -> ConnId {
        self.machine.open(self.now()).unwrap()
    }

    fn tell(&mut self, input: Input<'_>) {
        let now = self.now();
        self.machine.handle(now, input);
    }

    /// Ends the turn; each socket takes at most `room` bytes in it.
    fn turn(&mut self, room: usize) {
        self.machine.end_turn(self.now());
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Start { run, .. } => self.started.push(run),
                    Output::Close(id) => self.closed.push(id),
                    Output::Commit(batch) => {
                        let number = batch.number;
                        self.tell(Input::Stored { committed: number, synced: number });
                    }
                    _ => {}
                }
            }
            let Some(id) = self.machine.poll_writable() else { break };
            self.write(id, room);
        }
        self.machine.check();
    }

    fn write(&mut self, id: ConnId, mut room: usize) {
        loop {
            let due: usize = self.machine.unsent(id).iter().map(|bytes| bytes.len()).sum();
            let taken = due.min(room);
            match (due, taken) {
                (0, _) => return,
                (_, 0) => return self.tell(Input::Blocked(id)),
                _ => self.tell(Input::Sent(id, taken)),
            }
            room -= taken;
        }
    }

    /// Lets time pass in small steps; each second the socket takes `room` bytes.
    fn pass(&mut self, ms: u64, id: ConnId, room: usize) {
        for _ in 0..ms / 1000 {
            self.now += 1000;
            if room > 0 {
                self.tell(Input::Writable(id));
            }
            self.turn(room);
        }
    }

    /// A run that has said `bytes` and goes on, and a reader of it that has taken little.
    fn reader_of(&mut self, bytes: usize) -> (RunKey, ConnId) {
        let run = self.run(bytes);
        (run, self.subscribe())
    }

    fn run(&mut self, bytes: usize) -> RunKey {
        let poster = self.open();
        let post = b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\
            Content-Type: application/json\r\n\r\n{\"input\":\"x\"}";
        self.tell(Input::Received(poster, post));
        self.turn(usize::MAX);
        let run = *self.started.last().unwrap();
        self.say(run, 0, bytes);
        self.turn(usize::MAX);
        run
    }

    /// A reader of the last run that takes the head of its stream and little more.
    fn subscribe(&mut self) -> ConnId {
        let reader = self.open();
        let get = format!(
            "GET /v1/runs/run_{:032x}/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            self.started.len()
        );
        self.tell(Input::Received(reader, get.as_bytes()));
        self.turn(1000);
        reader
    }

    /// Has the run say at least `bytes` from event `seq` on; gives the next `seq`.
    fn say(&mut self, run: RunKey, mut seq: u64, bytes: usize) -> u64 {
        let delta = "x".repeat(DELTA_BYTES_MAX);
        for _ in 0..bytes.div_ceil(DELTA_BYTES_MAX) {
            let kind = Kind::MessageDelta(Delta { delta: delta.clone() });
            self.tell(Input::Event(Event { run, seq, at: Wall(0), kind }));
            seq += 1;
        }
        seq
    }
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off_at_its_time_and_not_before() {
    let mut world = World::new();
    let (_, reader) = world.reader_of(1_000_000);
    world.pass(STALL_MS - 1000, reader, 0);
    assert_eq!(world.closed, []);
    world.pass(1000, reader, 0);
    assert_eq!(world.closed, [reader]);
}

#[test]
fn a_reader_that_sips_wins_no_time_and_one_that_drinks_does() {
    let mut world = World::new();
    let (_, sips) = world.reader_of(1_000_000);
    world.pass(STALL_MS, sips, 10);
    assert_eq!(world.closed, [sips]);

    let mut world = World::new();
    let (_, drinks) = world.reader_of(1_000_000);
    let a_little_more = STALL_BYTES as usize / (STALL_MS as usize / 1000) + 20;
    world.pass(5 * STALL_MS, drinks, a_little_more);
    assert!(!world.closed.contains(&drinks));
}

#[test]
fn a_client_that_pipelines_and_never_reads_is_cut_off() {
    let mut world = World::new();
    let greedy = world.open();
    let get = b"GET /v1/capabilities HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut taken = 0;
    while world.machine.appetite(greedy) > get.len() {
        world.tell(Input::Received(greedy, get));
        world.turn(0);
        taken += 1;
        assert!(taken < 10_000, "it takes requests without bound");
    }
    world.pass(STALL_MS, greedy, 0);
    assert_eq!(world.closed, [greedy]);
}

#[test]
fn a_reader_that_has_taken_all_is_never_cut_off() {
    let mut world = World::new();
    let (_, reader) = world.reader_of(100_000);
    world.pass(20 * STALL_MS, reader, usize::MAX);
    assert!(!world.closed.contains(&reader));
}

/// In one and the same turn the history moves past two readers, one of them speaks up, and the
/// keepalive of the other is due.
#[test]
fn readers_left_behind_by_a_bounded_history_are_cut_off_and_later_ones_told() {
    let mut world = World::new();
    let (run, ends) = world.reader_of(100_000);
    let waits = world.subscribe();
    let next = 100_000_u64.div_ceil(DELTA_BYTES_MAX as u64);
    world.now += 11_000;
    world.say(run, next, HISTORY_BYTES_MAX + 1_000_000);
    world.tell(Input::Ended(ends));
    world.turn(1000);
    assert!(world.closed.contains(&ends) && world.closed.contains(&waits));

    let late = world.open();
    let get = format!("GET /v1/runs/run_{:032x}/events HTTP/1.1\r\nHost: localhost\r\n\r\n", 1);
    world.tell(Input::Received(late, get.as_bytes()));
    let [head, log] = world.machine.unsent(late).map(String::from_utf8_lossy);
    let told = head.split("data: ").nth(1).unwrap();
    assert!(told.starts_with("{\"event\":\"replay.truncated\""), "{told}");
    assert!(!told.contains("\"seq\"") && !head.contains("\nid: "), "it moves the cursor");
    assert!(told.contains("\"requested_seq\":0}"), "{told}");
    let oldest = told.split("\"oldest_retained_seq\":").nth(1).unwrap();
    let oldest = oldest.split(',').next().unwrap();
    assert_ne!(oldest, "0");
    assert!(log.contains(&format!("\r\nid: {oldest}\n")) && log.find("id: ") < Some(20));
}
