//! One connection: what it has received, what it owes, and what it waits for.
use super::admit::{Admitted, Manner};
use super::feed::Feed;
use super::keyring::Pass;
use super::note::Heard;
use super::waiting::Found;
use crate::id::RunKey;
use crate::limits::{BODY_PACE_BYTES, INBOX_BYTES_MAX, STALL_BYTES, STALL_MS};
use crate::record::Query;
use crate::time::Tick;
use crate::wire::Reject;
use crate::wire::body::Dechunker;
use crate::wire::redact::Redact;

#[derive(Debug)]
pub struct Conn {
    pub phase: Phase,
    /// Received and not yet understood. Holds no memory while empty.
    pub inbox: Vec<u8>,
    /// Heads and small replies on their way out. Holds no memory while empty.
    pub outbox: Vec<u8>,
    /// Prefix of `outbox` the socket has taken.
    sent: u32,
    /// Prefix of `inbox` already searched for the end of a head.
    pub seen: u32,
    /// When what the phase waits for must have happened.
    pub due: Tick,
    /// When a peer that does not read is cut off; `Tick(MAX)` exactly while nothing is stuck.
    stall_due: Tick,
    /// Bytes it has taken since that clock was started.
    stall_taken: u64,
    /// The socket takes no more until it says so.
    pub blocked: bool,
    /// Listed to be written at the end of this turn.
    pub listed: bool,
    /// The peer will send no more.
    pub ended: bool,
    /// The request that is being answered, where answers are logged.
    pub heard: Option<Box<Heard>>,
    /// We told the loop that we want no more bytes, and must tell it when we do.
    pub full: bool,
    /// Listed as one that holds bytes.
    pub holds: bool,
}

#[derive(Debug)]
pub enum Phase {
    /// Between requests, or within a head.
    Head {
        begun: bool,
    },
    /// A head was accepted; its body is coming.
    Body(Box<Body>),
    /// A whole request has come that needs something from the store before it can be answered.
    Waiting(Box<Waiting>),
    Stream(Stream),
    /// Many runs on one stream.
    Feed(Box<Feed>),
    /// Nothing more will be answered; close when the outbox is empty.
    Closing,
    /// All is said; what still comes is thrown away until the peer hangs up.
    Linger {
        left: usize,
    },
}

/// A place in a run's log, and thereby one of its subscribers: at most one for a connection and a
/// run.
#[derive(Debug)]
pub struct Cursor {
    pub run: RunKey,
    /// The place in the log of the next byte to send.
    pub at: u64,
    /// The next event, while that is not in memory but in the store; `at` means nothing then.
    pub behind: Option<u64>,
    /// This connection's place in the run's list of subscribers.
    pub index: u32,
}

/// A reader of one run.
#[derive(Debug)]
pub struct Stream {
    pub cursor: Cursor,
    /// The store has been asked for what comes next.
    pub is_asking: bool,
    /// By what right it is read.
    pub pass: Pass,
    /// What this reader is not told of.
    pub redact: Redact,
    /// The place up to which nothing is left out: never before the cursor, and `u64::MAX` for a
    /// reader that is told everything.
    pub clear_to: u64,
    /// There is more to be looked through than one turn has time for.
    pub is_skipping: bool,
    /// False for HTTP/1.0, which gets bare frames through the outbox.
    pub chunked: bool,
    /// The connection closes after this response.
    pub close: bool,
}

/// A request, and what it waits for.
#[derive(Debug)]
pub struct Waiting {
    pub admitted: Admitted,
    pub awaits: Awaits,
}

#[derive(Debug)]
pub enum Awaits {
    /// An answer from the store; then it is carried out anew, with all that was found. `since` is
    /// how many runs had left memory when the store was asked.
    Answer { query: Query, since: u64, body: Box<[u8]>, found: Found },
    /// The store has this run, which is the one that was asked for before if it is `replayed`.
    Creation { run: RunKey, replayed: bool },
    /// The store has deleted it.
    Deletion,
    /// The outside has told what the page of metrics needs.
    Measures,
}

impl Awaits {
    fn held(&self) -> usize {
        match self {
            Awaits::Answer { body, found, .. } => body.len() + found.held(),
            Awaits::Creation { .. } | Awaits::Deletion | Awaits::Measures => 0,
        }
    }
}

#[derive(Debug)]
pub struct Body {
    pub admitted: Admitted,
    bytes: Vec<u8>,
    left: Left,
    /// Bytes still to come until the body's time starts anew.
    pace_left: u64,
}

#[derive(Debug)]
enum Left {
    Bytes(usize),
    Chunks(Dechunker),
}

impl Body {
    pub fn sized(admitted: Admitted, size: usize) -> Body {
        Body { admitted, bytes: Vec::new(), left: Left::Bytes(size), pace_left: BODY_PACE_BYTES }
    }

    pub fn chunked(admitted: Admitted) -> Body {
        let left = Left::Chunks(Dechunker::default());
        Body { admitted, bytes: Vec::new(), left, pace_left: BODY_PACE_BYTES }
    }

    /// Takes what belongs to the body from the front of `bytes`; returns how much that was.
    pub fn feed(&mut self, bytes: &[u8], bytes_max: usize) -> Result<usize, Reject> {
        match &mut self.left {
            Left::Bytes(left) => {
                let take = bytes.len().min(*left);
                self.bytes.extend_from_slice(&bytes[..take]);
                *left -= take;
                Ok(take)
            }
            Left::Chunks(dechunker) => dechunker.feed(bytes, &mut self.bytes, bytes_max),
        }
    }

    /// True each time another `BODY_PACE_BYTES` have come: the sender has earned more time.
    pub fn earns_time(&mut self, count: usize) -> bool {
        let earned = count as u64 >= self.pace_left;
        self.pace_left = if earned { BODY_PACE_BYTES } else { self.pace_left - count as u64 };
        earned
    }

    pub fn is_complete(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(dechunker) => dechunker.is_done(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_parts(self) -> (Admitted, Vec<u8>) {
        (self.admitted, self.bytes)
    }
}

const NEVER: Tick = Tick(u64::MAX);

impl Conn {
    pub fn new(due: Tick) -> Conn {
        Conn {
            phase: Phase::Head { begun: false },
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
            seen: 0,
            due,
            stall_due: NEVER,
            stall_taken: 0,
            blocked: false,
            listed: false,
            ended: false,
            heard: None,
            full: false,
            holds: false,
        }
    }

    /// True while bytes from the peer can be turned into answers. A body that was let in is read
    /// whatever is unsent: it goes to its own buffer, and waiting bytes would have no bound.
    pub fn takes_requests(&self, outbox_max: usize) -> bool {
        match self.phase {
            Phase::Head { .. } => self.outbox.len() < outbox_max,
            Phase::Body(_) => true,
            _ => false,
        }
    }

    /// Its places in the logs of runs.
    pub fn cursors(&self) -> &[Cursor] {
        match &self.phase {
            Phase::Stream(stream) => std::slice::from_ref(&stream.cursor),
            Phase::Feed(feed) => &feed.cursors,
            _ => &[],
        }
    }

    /// Its place in the log of this run.
    pub fn cursor_mut(&mut self, run: RunKey) -> Option<&mut Cursor> {
        let cursors = match &mut self.phase {
            Phase::Stream(stream) => std::slice::from_mut(&mut stream.cursor),
            Phase::Feed(feed) => &mut feed.cursors,
            _ => return None,
        };
        cursors.iter_mut().find(|cursor| cursor.run == run)
    }

    pub fn unsent(&self) -> &[u8] {
        &self.outbox[self.sent as usize..]
    }

    /// Notes that the socket took `count` bytes of the outbox.
    pub fn outbox_sent(&mut self, count: usize) {
        self.sent += count as u32;
        assert!(self.sent as usize <= self.outbox.len(), "more was sent than there was");
        if self.sent as usize == self.outbox.len() {
            self.outbox = Vec::new();
            self.sent = 0;
        }
    }

    /// How to answer a request that breaks off: as it asked, then close.
    pub fn manner(&self) -> Manner {
        match &self.phase {
            Phase::Body(body) => Manner { close: true, ..body.admitted.manner.clone() },
            Phase::Waiting(it) => Manner { close: true, ..it.admitted.manner.clone() },
            _ => Manner::unknown(),
        }
    }

    /// Starts the clock of a peer that does not read, unless it is running.
    pub fn begin_stall(&mut self, now: Tick) {
        if self.stall_due == NEVER {
            self.stall_due = now.after(STALL_MS);
            self.stall_taken = 0;
        }
    }

    /// A peer that takes something, but too little, wins no time.
    pub fn ease_stall(&mut self, now: Tick, taken: usize, all: bool) {
        if self.stall_due == NEVER {
            return;
        }
        self.stall_taken += taken as u64;
        if all {
            self.stall_due = NEVER;
        } else if self.stall_taken >= STALL_BYTES {
            self.stall_due = NEVER;
            self.begin_stall(now);
        }
    }

    pub fn is_stalled(&self, now: Tick) -> bool {
        self.stall_due <= now
    }

    /// When this connection must be looked at, at the latest.
    pub fn deadline(&self) -> Tick {
        self.due.min(self.stall_due)
    }

    /// Bytes it holds beside its record: room that is reserved counts as held.
    pub fn held(&self) -> usize {
        let phase = match &self.phase {
            Phase::Body(body) => size_of::<Body>() + body.admitted.bytes + body.bytes.capacity(),
            Phase::Waiting(waiting) => {
                size_of::<Waiting>() + waiting.admitted.bytes + waiting.awaits.held()
            }
            Phase::Feed(feed) => feed.held(),
            _ => 0,
        };
        let heard = self.heard.as_ref().map_or(0, |heard| heard.held());
        self.inbox.capacity() + self.outbox.capacity() + phase + heard
    }

    /// What must be true between any two calls.
    pub fn check(&self) {
        assert!(self.inbox.len() <= INBOX_BYTES_MAX, "more was received than was asked for");
        assert!(self.seen as usize <= self.inbox.len());
        assert!(self.sent as usize <= self.outbox.len());
        assert!(self.outbox.is_empty() || (self.sent as usize) < self.outbox.len());
    }
}
