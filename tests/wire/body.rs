//! Chunked bodies: what is taken, what is refused, and when.
use crate::Dice;
use runwire::limits::{CHUNK_OVERHEAD_BYTES_MAX, TRAILER_BYTES_MAX};
use runwire::wire::Reject;
use runwire::wire::body::{Dechunker, LAST_CHUNK, chunk};

const BODY_MAX: usize = 1000;

/// Consumed bytes, payload, and whether the body is whole.
type Answer = Result<(usize, Vec<u8>, bool), Reject>;

fn feed(pieces: &[&[u8]], body_max: usize) -> Answer {
    let mut dechunker = Dechunker::default();
    let mut out = Vec::new();
    let mut consumed = 0;
    for piece in pieces {
        consumed += dechunker.feed(piece, &mut out, body_max)?;
    }
    Ok((consumed, out, dechunker.is_done()))
}

/// The answer to `bytes` at once, which must be that at every cut and byte by byte.
fn read(bytes: &[u8]) -> Answer {
    let at_once = feed(&[bytes], BODY_MAX);
    for cut in 0..=bytes.len() {
        assert_eq!(feed(&[&bytes[..cut], &bytes[cut..]], BODY_MAX), at_once);
    }
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(feed(&one_by_one, BODY_MAX), at_once);
    at_once
}

#[test]
fn a_body_is_put_together_at_every_cut() {
    for (bytes, payload) in [
        (&b"0\r\n\r\n"[..], &b""[..]),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"ab"),
        (b"00A;x=y;z=\"q;\" ;w\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
        (b"2 \t;x\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\na\r\n0\r\nA: b\r\nC:\t\xff\r\n\r\n", b"a"),
    ] {
        assert_eq!(read(bytes), Ok((bytes.len(), payload.to_vec(), true)));
        let more = [bytes, b"GET"].concat();
        assert_eq!(read(&more), Ok((bytes.len(), payload.to_vec(), true)), "stops at the end");
        let less = &bytes[..bytes.len() - 1];
        assert_eq!(read(less), Ok((less.len(), payload.to_vec(), false)));
    }
}

#[test]
fn bad_framing_is_refused_at_every_cut() {
    for bytes in [
        &b"\r\n"[..],
        b";x\r\n",
        b" 1\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1\n",
        b"1,",
        b"1 \r\n",
        b"1\rX",
        b"1;x\n",
        b"1;\0",
        b"1;\x7f",
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\rX",
        b"0\r\n\n",
        b"0\r\n\rX",
        b"0\r\n a: b\r\n",
        b"0\r\n: b\r\n",
        b"0\r\na b: c\r\n",
        b"0\r\na\r\n",
        b"0\r\na: b\n",
        b"0\r\na: b\0",
        b"0\r\na: b\rX",
        b"0\r\na: b\r\n c\r\n",
    ] {
        let answer = read(bytes);
        assert!(
            matches!(answer, Err(Reject::Malformed(_))),
            "{:?}",
            bytes.escape_ascii().to_string()
        );
        assert!(feed(&[&bytes[..bytes.len() - 1]], BODY_MAX).is_ok() || bytes.ends_with(b"\r\n"));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_when_it_is_announced() {
    let too_large = Err(Reject::BodyTooLarge { max: BODY_MAX });
    assert!(read(b"3e8").is_ok());
    for bytes in [&b"3e9"[..], b"fffffffffffffffffffffffff", b"0000000000000000000003e9"] {
        assert_eq!(read(bytes), too_large);
    }
    let mut bytes = Vec::new();
    chunk(&mut bytes, &[b'x'; BODY_MAX]);
    assert!(feed(&[&bytes], BODY_MAX).is_ok());
    bytes.extend_from_slice(b"1");
    assert_eq!(feed(&[&bytes], BODY_MAX), too_large);
    assert_eq!(feed(&[b"1"], 0), Err(Reject::BodyTooLarge { max: 0 }));
    assert!(feed(&[LAST_CHUNK], 0).is_ok());
}

#[test]
fn small_chunks_may_go_on_but_the_smallest_not_for_ever() {
    let repeat = |payload: &[u8], times: usize| {
        let mut one = Vec::new();
        chunk(&mut one, payload);
        feed(&[&one.repeat(times)], usize::MAX)
    };
    assert!(repeat(b"ab", 100_000).is_ok());
    assert!(repeat(b"a", 10_000).is_ok());
    assert!(matches!(repeat(b"a", 20_000), Err(Reject::Malformed(_))));
}

#[test]
fn extensions_and_trailers_have_their_limits() {
    let extension = |len: usize| [b"1;".to_vec(), vec![b'x'; len]].concat();
    assert!(feed(&[&extension(CHUNK_OVERHEAD_BYTES_MAX - 2)], BODY_MAX).is_ok());
    assert!(feed(&[&extension(CHUNK_OVERHEAD_BYTES_MAX - 1)], BODY_MAX).is_err());
    let trailer = |len: usize| [b"0\r\na:".to_vec(), vec![b'x'; len]].concat();
    assert!(feed(&[&trailer(TRAILER_BYTES_MAX - 2)], BODY_MAX).is_ok());
    assert!(feed(&[&trailer(TRAILER_BYTES_MAX - 1)], BODY_MAX).is_err());
}

#[test]
fn the_dechunker_agrees_with_the_simplest_one() {
    const ALPHABET: &[&[u8]] = &[
        b"\r\n",
        b"\r",
        b"\n",
        b"0",
        b"1",
        b"a",
        b"3",
        b";",
        b" ",
        b"x",
        b":",
        b"0\r\n",
        b"3\r\nabc\r\n",
    ];
    let mut dice = Dice(1);
    let mut whole = 0;
    for _ in 0..200_000 {
        let parts: Vec<&[u8]> = (0..dice.roll(7)).map(|_| *dice.pick(ALPHABET)).collect();
        let bytes = parts.concat();
        let expected = simplest(&bytes);
        let answer = match feed(&[&bytes], BODY_MAX) {
            Ok((consumed, payload, true)) => Some((consumed, payload)),
            _ => None,
        };
        assert_eq!(answer, expected, "{}", bytes.escape_ascii());
        whole += usize::from(expected.is_some());
    }
    assert!(whole > 1000, "only {whole} bodies were whole");
}

/// Reads a body that is all there, a line at a time.
fn simplest(mut bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let len = bytes.len();
    let mut payload = Vec::new();
    loop {
        let line = take_line(&mut bytes)?;
        let (digits, extension) = match line.find([';', ' ', '\t']) {
            Some(at) => line.split_at(at),
            None => (line, ""),
        };
        if !extension.is_empty() && !extension.trim_start_matches([' ', '\t']).starts_with(';') {
            return None;
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            break;
        }
        if payload.len() + size > BODY_MAX {
            return None;
        }
        payload.extend_from_slice(bytes.get(..size)?);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
    loop {
        let line = take_line(&mut bytes)?;
        if line.is_empty() {
            return Some((len - bytes.len(), payload));
        }
        let (name, _) = line.split_once(':')?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
    }
}

/// The next line without its CR LF, if no other CR or LF is in it.
fn take_line<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = bytes.split_at(end);
    *bytes = &rest[2..];
    let line = std::str::from_utf8(line).ok()?;
    (!line.contains(['\r', '\n'])).then_some(line)
}
