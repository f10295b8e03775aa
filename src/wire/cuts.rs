//! Cuts bytes the way a network might, for the fuzz bodies.

/// The pieces of `bytes`: byte by byte for seed 0, else of sizes that follow from the seed alone.
pub(super) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state =
            state.wrapping_mul(1_664_525).wrapping_add(if seed == 0 { 0 } else { 1_013_904_223 });
        let (piece, left) = rest.split_at((1 + (state >> 16) as usize % 40).min(rest.len()));
        rest = left;
        Some(piece)
    })
}
