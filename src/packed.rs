//! Texts that the program carries in less space than they take: LZ4 blocks, unpacked when they are
//! asked for.
//!
//! Of a text that says the same again and again a sixth is left, and the decoder is smaller than any
//! that packs better. The tests that pack them are those that know where they come from.

/// The bytes that were packed as one LZ4 block.
///
/// # Panics
/// If `block` is none; what is packed is part of the program, and a test unpacks it.
pub fn unpack(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() * 6);
    let mut rest = block;
    while let Some((&token, after)) = rest.split_first() {
        rest = after;
        let literals = length(token >> 4, &mut rest);
        out.extend_from_slice(&rest[..literals]);
        rest = &rest[literals..];
        // The last sequence is literals alone.
        let Some((&offset, after)) = rest.split_first_chunk::<2>() else { break };
        rest = after;
        let from = out.len() - usize::from(u16::from_le_bytes(offset));
        let count = length(token & 15, &mut rest) + MATCH_BYTES_MIN;
        // One by one: what is repeated may reach into itself.
        (from..from + count).for_each(|place| out.push(out[place]));
    }
    out
}

/// The shortest repetition an LZ4 block can name.
const MATCH_BYTES_MIN: usize = 4;

/// A length of 15 goes on in further bytes, up to the first that is not 255.
fn length(nibble: u8, rest: &mut &[u8]) -> usize {
    let mut length = usize::from(nibble);
    let mut goes_on = nibble == 15;
    while goes_on {
        let (&more, after) = rest.split_first().expect("a length is whole");
        length += usize::from(more);
        goes_on = more == 255;
        *rest = after;
    }
    length
}
