//! poll, tell the machine, do what it says, write what is due. One thread, one page.
use super::clock::Clock;
#[cfg(feature = "webhooks")]
use super::couriers::Couriers;
use super::depot::Depot;
use super::doorbell::Doorbell;
use super::listener::{self, Accepted};
use super::sockets::{Sockets, token_of};
use super::workers::Workers;
use super::{Handle, Order, ids, measures, notice};
use crate::agent::{Agent, Cancel, Inbox, Job, ModelTimes};
use crate::approval::Choice;
use crate::budget::Budget;
use crate::config::{Config, check_keys};
use crate::event::{Cause, Event, Failed, Kind, Usage};
use crate::id::{ConnId, RunKey};
use crate::limits::{EVENTS_TURN_MAX, READ_TURN_BYTES_MAX, STORE_EXIT_MS, WRITE_TURN_BYTES_MAX};
use crate::machine::{Input, Machine, Output};
use crate::record::Delivery;
use crate::request::{Request, Steer};
use crate::shares::Shares;
use crate::store::Store;
use crate::time::{Now, Tick};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const LISTENER: Token = Token(usize::MAX);
const DOORBELL: Token = Token(usize::MAX - 1);
const READY_MAX: usize = 1024;
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long accepting pauses when the system has no descriptor to give.
const ACCEPT_PAUSE_MS: u64 = 100;

pub struct EventLoop {
    poll: Poll,
    listener: TcpListener,
    doorbell: Arc<Doorbell>,
    /// What agents say. It is bounded, so that an agent that is faster than the rest must wait.
    events: Receiver<Event>,
    /// Set while events may wait for which the doorbell will not ring again.
    has_events: bool,
    orders_out: Sender<Order>,
    orders: Receiver<Order>,
    has_keys: bool,
    workers: Workers,
    model_times: Option<Arc<ModelTimes>>,
    depot: Depot,
    #[cfg(feature = "webhooks")]
    couriers: Option<Couriers>,
    machine: Machine,
    sockets: Sockets,
    /// How the agents at work are reached.
    working: BTreeMap<RunKey, (Cancel, Inbox)>,
    /// Sockets that used up their turn, or were told to wait, and may still be readable.
    again: Vec<ConnId>,
    /// While set, accepting pauses until then.
    accept_due: Option<Tick>,
    /// While set, jobs wait for a thread, and are looked after then.
    jobs_due: Option<Tick>,
    buffer: Box<[u8]>,
    clock: Clock,
    /// Read once a turn.
    now: Now,
    is_over: bool,
}

impl EventLoop {
    pub fn bind(
        mut config: Config,
        agent: Arc<dyn Agent>,
        store: Box<dyn Store>,
    ) -> io::Result<EventLoop> {
        let keys = config.all_keys();
        check_keys(&keys).map_err(|wrong| {
            io::Error::new(ErrorKind::InvalidInput, format!("Config's keys: {wrong}"))
        })?;
        let shares = Shares::of(config.memory, config.max_runs, config.max_body);
        shares.check().map_err(|why| io::Error::new(ErrorKind::InvalidInput, why))?;
        let poll = Poll::new()?;
        let mut listener = listener::bind(config.addr)?;
        // Port 0 was a wish; what the machine is told is where it really listens.
        config.addr = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let doorbell = Arc::new(Doorbell::new(poll.registry(), DOORBELL)?);
        let (events_out, events) = bounded(shares.events);
        let (orders_out, orders) = unbounded();
        let (depot, shelf) = Depot::open(store, doorbell.clone()).map_err(io::Error::other)?;
        #[cfg(feature = "webhooks")]
        let couriers = config.webhooks.as_ref().map(|it| Couriers::new(it, doorbell.clone()));
        #[cfg(feature = "webhooks")]
        let couriers = couriers.transpose().map_err(io::Error::other)?;
        let secrets = config.known_secrets();
        let (about, model_times) = (agent.about(), agent.model_times());
        let clock = Clock::start();
        let now = clock.now();
        Ok(EventLoop {
            poll,
            listener,
            workers: Workers::new(agent, secrets, shares.output, events_out, doorbell.clone()),
            model_times,
            doorbell,
            events,
            has_events: false,
            orders_out,
            orders,
            has_keys: !keys.is_empty(),
            depot,
            #[cfg(feature = "webhooks")]
            couriers,
            machine: Machine::new(config, about, shelf, ids::source()?, now),
            sockets: Sockets::default(),
            working: BTreeMap::new(),
            again: Vec::new(),
            accept_due: None,
            jobs_due: None,
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            clock,
            now,
            is_over: false,
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn handle(&self) -> Handle {
        let (orders, doorbell) = (self.orders_out.clone(), self.doorbell.clone());
        Handle { orders, has_keys: self.has_keys, doorbell }
    }

    pub fn run(mut self) -> io::Result<()> {
        let served = self.serve();
        // Agents must not wait for a loop that has ended, nor clients for an answer.
        let depot = self.into_depot();
        let closed = depot.close(Duration::from_millis(STORE_EXIT_MS)).map_err(io::Error::other);
        served.and(closed)
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut ready = Events::with_capacity(READY_MAX);
        // What was left over from the last server is seen to before anybody asks.
        self.turn(&ready);
        while !self.is_over {
            match self.poll.poll(&mut ready, self.nap()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.turn(&ready);
        }
        Ok(())
    }

    fn into_depot(self) -> Depot {
        self.depot
    }

    fn turn(&mut self, ready: &Events) {
        self.now = self.clock.now();
        for id in std::mem::take(&mut self.again) {
            self.read(id, true);
        }
        for event in ready {
            match event.token() {
                LISTENER => self.accept(),
                DOORBELL => {
                    self.doorbell.answer();
                    self.has_events = true;
                }
                token => {
                    self.socket_ready(token, event);
                    self.make_room();
                }
            }
        }
        self.hear_news();
        if self.accept_due.is_some_and(|due| due <= self.now.tick) {
            self.accept();
        }
        self.machine.end_turn(self.now);
        self.carry_out();
    }

    /// How long to wait for something to happen.
    fn nap(&self) -> Option<Duration> {
        let hears = self.depot.has_news() || self.has_events && self.machine.takes_events();
        if hears || !self.again.is_empty() || self.machine.has_writable() {
            return Some(Duration::ZERO);
        }
        let due = self.machine.next_due().into_iter().chain(self.accept_due).chain(self.jobs_due);
        let due = due.min()?;
        // Ticks are rounded down, so a nap never ends before what it is for is due.
        let now = self.clock.now().tick;
        Some(Duration::from_millis(due.0.saturating_sub(now.0)))
    }

    fn socket_ready(&mut self, token: Token, event: &mio::event::Event) {
        let Some(id) = self.sockets.find(token) else { return };
        if event.is_error() {
            return self.tell(Input::HungUp(id));
        }
        if event.is_writable() {
            self.tell(Input::Writable(id));
        }
        // Both sides may have said their last word, and bytes still lie unread: closing on them
        // would send a reset, which can take our last answer away from the peer.
        if event.is_readable() || event.is_read_closed() {
            self.read(id, event.is_read_closed());
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
    }

    /// Does all the machine says and writes all that is due, each of which may lead to the other.
    fn carry_out(&mut self) {
        self.perform_all();
        // A store that does all at once has its say before the writing. What it is asked while a
        // reader is written to waits for the next turn, or that reader could have all turns.
        while let Some(input) = self.depot.hear() {
            self.tell(input);
            self.perform_all();
            if self.machine.is_pressed() {
                self.write_all();
            }
        }
        self.write_all();
        self.jobs_due = self.workers.call(self.now.tick);
    }

    /// Where answers take more memory than they may, they go out before the turn is over.
    fn make_room(&mut self) {
        if self.machine.is_pressed() {
            self.carry_out();
        }
    }

    fn write_all(&mut self) {
        let mut late = Vec::new();
        loop {
            // Looking for whom to write to may itself find something to do.
            let next = self.machine.poll_writable();
            if let Some(id) = next
                && !self.write(id)
            {
                late.push(id);
            }
            if !self.perform_all() && next.is_none() {
                break;
            }
        }
        late.into_iter().for_each(|id| self.machine.yield_turn(id));
    }

    /// Returns false if there was nothing to do.
    fn perform_all(&mut self) -> bool {
        let mut has_done = false;
        while let Some(output) = self.machine.poll_output() {
            self.perform(output);
            has_done = true;
        }
        has_done
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Resume(id) => self.again.push(id),
            Output::HalfClose(id) => self.half_close(id),
            Output::Close(id) => self.close(id),
            Output::Start { run, request, budget } => self.start(run, request, budget),
            Output::Cancel { run, cause } => self.cancel(run, cause),
            Output::Steer { run, steer } => self.steer(run, steer),
            Output::Decide { run, choice } => self.decide(run, choice),
            Output::Commit(batch) => self.depot.commit(batch),
            Output::Ask { asker, query } => self.depot.ask(asker, query),
            Output::Deliver(delivery) => self.deliver(delivery),
            Output::Prune { retain, now } => self.depot.prune(retain, now),
            Output::Measure(id) => {
                let measures = measures::gather(self.depot.times(), self.model_times.as_deref());
                self.tell(Input::Measured(id, Box::new(measures)));
            }
            Output::Note(note) => notice::note(*note),
            Output::Exit => self.is_over = true,
        }
    }

    fn accept(&mut self) {
        let paused = self.accept_due.take().is_some();
        while !self.machine.is_full() {
            match listener::accept(&self.listener) {
                Accepted::Socket(stream) => self.welcome(stream),
                Accepted::NoneLeft => return,
                Accepted::Exhausted(error) => {
                    if !paused {
                        notice::warn(format_args!("accepting pauses: {error}"));
                    }
                    break;
                }
            }
        }
        self.accept_due = Some(self.now.tick.after(ACCEPT_PAUSE_MS));
    }

    fn welcome(&mut self, mut stream: mio::net::TcpStream) {
        let Some(id) = self.machine.open(self.now) else { return };
        let both = Interest::READABLE | Interest::WRITABLE;
        match self.poll.registry().register(&mut stream, token_of(id), both) {
            Ok(()) => self.sockets.insert(id, stream),
            Err(_) => self.tell(Input::HungUp(id)),
        }
    }

    fn hear_news(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
        }
        // Before the events, which may wait for what the store has taken.
        while let Some(input) = self.depot.hear() {
            self.tell(input);
        }
        #[cfg(feature = "webhooks")]
        while let Some(input) = self.couriers.as_ref().and_then(Couriers::hear) {
            self.tell(input);
        }
        if self.has_events {
            self.hear_events();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Drain => self.tell(Input::Drain),
            Order::Keys(keys) => {
                self.tell(Input::Keys(keys));
                self.workers.mask(self.machine.secrets().clone());
            }
        }
    }

    /// Takes what one turn allows. `nap` brings us back for the rest, as soon as it may be told.
    fn hear_events(&mut self) {
        for _ in 0..EVENTS_TURN_MAX {
            if !self.machine.takes_events() {
                return;
            }
            let Ok(event) = self.events.try_recv() else {
                self.has_events = false;
                return;
            };
            self.hear_event(event);
        }
    }

    fn hear_event(&mut self, event: Event) {
        if event.kind.is_terminal() {
            self.working.remove(&event.run);
        }
        self.tell(Input::Event(event));
    }

    /// Reads what there is, within a turn's bounds. A read that does not fill the buffer has
    /// emptied the socket (epoll(7)), unless the end of the stream is behind it.
    fn read(&mut self, id: ConnId, may_end: bool) {
        let mut total = 0;
        while total < READ_TURN_BYTES_MAX {
            let room = self.buffer.len().min(self.machine.appetite(id));
            let Some(stream) = self.sockets.get_mut(id) else { return };
            if room == 0 {
                return;
            }
            match stream.read(&mut self.buffer[..room]) {
                Ok(0) => return self.tell(Input::Ended(id)),
                Ok(count) => {
                    total += count;
                    self.machine.handle(self.now, Input::Received(id, &self.buffer[..count]));
                    if count < room && !may_end {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.tell(Input::HungUp(id)),
            }
        }
        self.again.push(id);
    }

    /// Writes what is due. Returns false if there is more than one turn allows.
    fn write(&mut self, id: ConnId) -> bool {
        let mut total = 0;
        while total < WRITE_TURN_BYTES_MAX {
            let Some(stream) = self.sockets.get_mut(id) else { return true };
            let unsent = self.machine.unsent(id);
            let written = match unsent {
                [&[], &[]] => return true,
                [first, &[]] => stream.write(first),
                [&[], second] => stream.write(second),
                [first, second] => {
                    stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])
                }
            };
            match written {
                Ok(count) => {
                    total += count;
                    self.tell(Input::Sent(id, count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.tell(Input::Blocked(id));
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.tell(Input::HungUp(id));
                    return true;
                }
            }
        }
        false
    }

    fn half_close(&mut self, id: ConnId) {
        if let Some(stream) = self.sockets.get_mut(id) {
            // A peer that is gone already will be heard of by the poll.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, id: ConnId) {
        let Some(mut stream) = self.sockets.remove(id) else { return };
        // Dropping the socket takes it out of the poll even where this fails.
        let _ = self.poll.registry().deregister(&mut stream);
        if self.accept_due.is_some() {
            self.accept_due = Some(self.now.tick);
        }
    }

    fn start(&mut self, key: RunKey, request: Arc<Request>, budget: Budget) {
        let (cancel, inbox) = (Cancel::new(), Inbox::new());
        self.working.insert(key, (cancel.clone(), inbox.clone()));
        if let Err(error) = self.workers.start(Job { key, request, budget, cancel, inbox }) {
            self.hear_event(no_thread(key, self.now, &error));
        }
    }

    fn cancel(&self, run: RunKey, cause: Cause) {
        if let Some((cancel, _)) = self.working.get(&run) {
            cancel.cancel(cause);
        }
    }

    #[cfg(feature = "webhooks")]
    fn deliver(&self, delivery: Arc<Delivery>) {
        let couriers = self.couriers.as_ref();
        couriers.expect("the machine delivers nothing unless it was told how").send(delivery);
    }

    #[cfg(not(feature = "webhooks"))]
    fn deliver(&self, _: Arc<Delivery>) {
        unreachable!("without the feature the machine delivers nothing");
    }

    fn decide(&self, run: RunKey, choice: Choice) {
        if let Some((_, inbox)) = self.working.get(&run) {
            inbox.decide(choice);
        }
    }

    /// A run that has just ended has said in its last word that this came too late.
    fn steer(&self, run: RunKey, steer: Arc<Steer>) {
        if let Some((_, inbox)) = self.working.get(&run) {
            inbox.push(steer);
        }
    }
}

/// What is said for a run whose thread could not be had.
fn no_thread(run: RunKey, now: Now, error: &io::Error) -> Event {
    let error = format!("The server could not start a thread for this run: {error}");
    let reason = "no_thread";
    let usage = Usage::default();
    let (budget, output, pending_steer) = (None, None, None);
    let failed = Failed { error, reason, budget, usage, output, pending_steer };
    Event { run, seq: 0, at: now.wall, kind: Kind::Failed(Box::new(failed)) }
}
