//! Open sockets, each under the place its connection has in the machine.
use crate::id::ConnId;
use mio::Token;
use mio::net::TcpStream;

/// Places in the table; what is left of a token tells the tenants of a place apart.
const SLOT_BITS: u32 = 17;
const _: () = assert!(crate::limits::CONNS_MAX < 1 << SLOT_BITS);

#[derive(Default)]
pub struct Sockets {
    slots: Vec<Option<Socket>>,
}

pub struct Socket {
    pub id: ConnId,
    pub stream: TcpStream,
}

impl Sockets {
    pub fn insert(&mut self, id: ConnId, stream: TcpStream) {
        let slot = id.0.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Socket { id, stream });
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut TcpStream> {
        let socket = self.slots.get_mut(id.0.slot as usize)?.as_mut()?;
        (socket.id == id).then_some(&mut socket.stream)
    }

    /// The connection a poll speaks of. A late word about an earlier tenant finds nothing.
    pub fn find(&self, token: Token) -> Option<ConnId> {
        let slot = token.0 & ((1 << SLOT_BITS) - 1);
        let socket = self.slots.get(slot)?.as_ref()?;
        (token_of(socket.id) == token).then_some(socket.id)
    }

    pub fn remove(&mut self, id: ConnId) -> Option<TcpStream> {
        self.get_mut(id)?;
        self.slots[id.0.slot as usize].take().map(|socket| socket.stream)
    }
}

/// An index and as much of a generation as fits: also on a 32-bit host, all in one token.
pub fn token_of(id: ConnId) -> Token {
    // The two highest values belong to the listener and the doorbell.
    let generation = (id.0.generation as usize).wrapping_shl(SLOT_BITS);
    Token((generation | id.0.slot as usize) & (usize::MAX >> 1))
}
