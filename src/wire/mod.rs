//! Bytes in, values out; values in, bytes out. No sockets, no clock, no memory of the past.
