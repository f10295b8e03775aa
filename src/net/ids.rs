//! Ids nobody can guess, from the system's own randomness, fetched many at a time.
use crate::machine::Ids;
use std::io;

const ID_BYTES: usize = 16;
const POOL_BYTES: usize = 64 * ID_BYTES;

/// Fails if the system has no randomness to give.
pub fn source() -> io::Result<Ids> {
    let mut pool = [0; POOL_BYTES];
    fill(&mut pool)?;
    let mut used = 0;
    Ok(Box::new(move || {
        if used == POOL_BYTES {
            fill(&mut pool).expect("a source that has given randomness goes on giving it");
            used = 0;
        }
        let (id, _) = pool[used..].split_first_chunk().expect("the pool holds whole ids");
        used += ID_BYTES;
        u128::from_ne_bytes(*id)
    }))
}

fn fill(pool: &mut [u8]) -> io::Result<()> {
    getrandom::fill(pool).map_err(|error| {
        io::Error::other(format!("the system gives no randomness for run ids: {error}"))
    })
}
