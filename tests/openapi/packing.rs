//! Makes an LZ4 block of a text, as `runwire::packed` unpacks it.
use std::collections::HashMap;

/// The shortest repetition that can be named, and the furthest.
const MATCH_BYTES_MIN: usize = 4;
const REACH: usize = 65_535;

/// The longest repetition at each place is taken; the format wants the last five bytes to be literals,
/// and no repetition to begin in the last twelve.
pub fn pack(text: &[u8]) -> Vec<u8> {
    let mut seen: HashMap<&[u8], Vec<usize>> = HashMap::new();
    let (mut block, mut at, mut pending) = (Vec::new(), 0, 0);
    while at < text.len() {
        let found = (at + 12 < text.len()).then(|| longest(text, at, &seen)).flatten();
        let step = found.map_or(1, |(_, count)| count);
        if let Some((from, count)) = found {
            sequence(&mut block, &text[pending..at], Some((at - from, count)));
            pending = at + count;
        }
        for place in at..at + step {
            if let Some(start) = text.get(place..place + MATCH_BYTES_MIN) {
                seen.entry(start).or_default().push(place);
            }
        }
        at += step;
    }
    sequence(&mut block, &text[pending..], None);
    block
}

fn longest(text: &[u8], at: usize, seen: &HashMap<&[u8], Vec<usize>>) -> Option<(usize, usize)> {
    let end = text.len() - 5;
    let same = |from: usize| (at..end).take_while(|&i| text[i] == text[from + i - at]).count();
    let places = seen.get(&text[at..at + MATCH_BYTES_MIN])?;
    let near = places.iter().filter(|&&from| at - from <= REACH);
    let found = near.map(|&from| (from, same(from))).max_by_key(|&(_, count)| count)?;
    (found.1 >= MATCH_BYTES_MIN).then_some(found)
}

fn sequence(block: &mut Vec<u8>, literals: &[u8], repetition: Option<(usize, usize)>) {
    let count = repetition.map_or(0, |(_, count)| count - MATCH_BYTES_MIN);
    block.push((literals.len().min(15) << 4 | count.min(15)) as u8);
    length(block, literals.len());
    block.extend_from_slice(literals);
    if let Some((offset, _)) = repetition {
        block.extend_from_slice(&(offset as u16).to_le_bytes());
        length(block, count);
    }
}

/// What of a length is beyond the 15 that its token has.
fn length(block: &mut Vec<u8>, length: usize) {
    if let Some(mut left) = length.checked_sub(15) {
        while left >= 255 {
            block.push(255);
            left -= 255;
        }
        block.push(left as u8);
    }
}
