//! A reader of SQLite's write-ahead log, as its file format document describes it.
//!
//! SQLite goes on from the last whole transaction and says nothing of what it drops. An operator
//! wants to know.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The low bit tells the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;
/// How many times a log is begun anew before what is left of an older one would be taken for junk.
const GENERATIONS_MAX: u32 = 1 << 24;

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wal {
    /// Pages of the database after the last whole transaction; `None` if there is none.
    pub pages: Option<u32>,
    /// The pages that whole transactions wrote.
    pub written: BTreeSet<u32>,
    /// Bytes after the last whole transaction that are not left from an older log.
    pub torn: u64,
}

/// Reads the log at `path`. One that is not there is empty.
pub fn read(path: &Path) -> io::Result<Wal> {
    match File::open(path) {
        Ok(file) => parse(&mut BufReader::with_capacity(64 * 1024, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Wal::default()),
        Err(error) => Err(error),
    }
}

fn parse(file: &mut impl Read) -> io::Result<Wal> {
    let mut wal = Wal::default();
    let mut header = [0; HEADER_BYTES];
    let len = read_full(file, &mut header)?;
    let Some(log) = Log::of(&header[..len]) else {
        // Without its header nothing of the log counts.
        wal.torn = len as u64 + io::copy(file, &mut io::sink())?;
        return Ok(wal);
    };
    let mut sums = log.sums;
    let mut frame = vec![0; FRAME_HEADER_BYTES + log.page_bytes];
    let mut transaction = Vec::new();
    let mut is_whole = true;
    loop {
        let len = read_full(file, &mut frame)?;
        if len == 0 || log.is_older(&frame[..len]) {
            return Ok(wal);
        }
        wal.torn += len as u64;
        is_whole &= len == frame.len() && log.follows(&frame, &mut sums);
        if !is_whole {
            continue;
        }
        transaction.push(word(&frame, 0));
        if word(&frame, 4) != 0 {
            wal.pages = Some(word(&frame, 4));
            wal.written.extend(transaction.drain(..));
            wal.torn = 0;
        }
    }
}

/// What the header of a log says.
struct Log {
    page_bytes: usize,
    salts: [u32; 2],
    sums: [u32; 2],
    is_big_endian: bool,
}

impl Log {
    fn of(header: &[u8]) -> Option<Log> {
        if header.len() < HEADER_BYTES || word(header, 0) & !1 != MAGIC {
            return None;
        }
        let mut log = Log {
            page_bytes: word(header, 8) as usize,
            salts: [word(header, 16), word(header, 20)],
            sums: [0, 0],
            is_big_endian: word(header, 0) & 1 == 1,
        };
        log.add(&header[..24]);
        let is_sound = log.sums == [word(header, 24), word(header, 28)]
            && log.page_bytes.is_power_of_two()
            && (512..=65_536).contains(&log.page_bytes);
        is_sound.then_some(log)
    }

    /// True if `frame` is left from an earlier log in the same file: each is begun with a first
    /// salt that is one higher.
    fn is_older(&self, frame: &[u8]) -> bool {
        if frame.len() < FRAME_HEADER_BYTES {
            return false;
        }
        let age = self.salts[0].wrapping_sub(word(frame, 8));
        word(frame, 0) != 0 && (1..GENERATIONS_MAX).contains(&age)
    }

    /// True if `frame` is what was written behind the frame that `sums` end with; they then end
    /// with this one.
    fn follows(&self, frame: &[u8], sums: &mut [u32; 2]) -> bool {
        let mut next = Log { sums: *sums, ..*self };
        next.add(&frame[..8]);
        next.add(&frame[FRAME_HEADER_BYTES..]);
        *sums = next.sums;
        self.salts == [word(frame, 8), word(frame, 12)]
            && next.sums == [word(frame, 16), word(frame, 20)]
    }

    /// Adds `bytes`, a multiple of eight, to the checksums.
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        for pair in bytes.chunks_exact(8) {
            let (one, two) = (word(pair, 0), word(pair, 4));
            let swap = |word: u32| if self.is_big_endian { word } else { word.swap_bytes() };
            first = first.wrapping_add(swap(one)).wrapping_add(second);
            second = second.wrapping_add(swap(two)).wrapping_add(first);
        }
        self.sums = [first, second];
    }
}

/// The big-endian number at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

/// Reads until `buffer` is full or the file ends; returns how many bytes there were.
fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}
