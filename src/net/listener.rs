//! The listening socket, and what every accepted one inherits from it.
use mio::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Unsent bytes in the kernel beyond which a socket takes no more: a reader that stalls holds
/// kilobytes there, not megabytes.
#[cfg(all(feature = "sys", target_os = "linux"))]
const NOT_SENT_BYTES_LOW: u32 = 32 * 1024;

pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    #[cfg(feature = "sys")]
    {
        let socket = socket2::SockRef::from(&listener);
        socket.set_tcp_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_LOW)?;
    }
    Ok(listener)
}

/// What came of one try to accept.
pub enum Accepted {
    Socket(TcpStream),
    /// Nobody is waiting.
    NoneLeft,
    /// Too few descriptors or buffers: a later try may do better.
    Exhausted(io::Error),
}

pub fn accept(listener: &TcpListener) -> Accepted {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Inherited where socket options are at hand; a socket that refuses is still one.
                #[cfg(not(feature = "sys"))]
                let _ = stream.set_nodelay(true);
                return Accepted::Socket(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Accepted::NoneLeft,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Accepted::Exhausted(error),
        }
    }
}

/// The one who knocked is gone, or a signal came: the next one may be waiting.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
