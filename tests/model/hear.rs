//! Hears an answer through the reader of chat completions.
use runwire::agent::model::chat::{Answer, Trouble};
use runwire::agent::model::{Piece, Turn};

/// What came of an answer, and what was handed out on the way.
#[derive(Debug, PartialEq)]
pub struct Heard {
    pub turn: Result<Turn, Trouble>,
    pub text: String,
    pub reasoning: String,
}

pub fn hear<'a>(cuts: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let (mut text, mut reasoning) = (String::new(), String::new());
    let mut say = |piece: Piece<'_>| {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Reasoning(piece) => reasoning.push_str(piece),
        }
        Ok(())
    };
    let mut answer = Answer::new("asked-for");
    let mut ids = 0;
    let mut id = || {
        ids += 1;
        ids
    };
    let fed = cuts.into_iter().try_for_each(|bytes| answer.feed(bytes, &mut say));
    let turn = fed.and_then(|()| answer.end(&mut id, &mut say));
    Heard { turn, text, reasoning }
}

/// Hears `bytes` whole, byte by byte and in two halves at every place: always the same.
pub fn hear_cut(bytes: &[u8]) -> Heard {
    let whole = hear([bytes]);
    assert_eq!(hear(bytes.chunks(1)), whole, "byte by byte");
    for size in [2, 3, 7, 64, 1000] {
        assert_eq!(hear(bytes.chunks(size)), whole, "{size} bytes at a time");
    }
    let step = bytes.len() / 300 + 1;
    for at in (0..bytes.len()).step_by(step) {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(hear([head, tail]), whole, "cut at {at}");
    }
    whole
}
