//! Shortening: never in the middle of a character, never without saying so.
use runwire::text::{Ends, preview, shorten};

#[test]
fn a_text_that_fits_stays_as_it_is() {
    assert_eq!(shorten("añb", 4), "añb");
    let mut ends = Ends::default();
    ends.push("añ", 64);
    ends.push("b", 64);
    assert_eq!(ends.into_text(), "añb");
}

#[test]
fn what_is_left_out_is_counted_to_the_byte() {
    for pieces in [1, 2, 7, 100, 10_000] {
        let (piece, bytes_max) = ("wörter und 言葉 ", 1000);
        let mut ends = Ends::default();
        (0..pieces).for_each(|_| ends.push(piece, bytes_max));
        let text = ends.into_text();
        let whole = piece.repeat(pieces);
        assert!(text.len() <= 2 * bytes_max, "{} bytes kept", text.len());
        let Some((head, rest)) = text.split_once("\n[... ") else {
            assert_eq!(text, whole);
            continue;
        };
        let (missing, tail) = rest.split_once(" bytes left out ...]\n").unwrap();
        assert!(whole.starts_with(head) && whole.ends_with(tail));
        assert_eq!(head.len() + missing.parse::<usize>().unwrap() + tail.len(), whole.len());
        assert!(tail.len() >= bytes_max / 2 - 4, "the tail is the newer half");
    }
}

#[test]
fn a_preview_is_one_line_and_says_when_it_is_cut() {
    assert_eq!(preview(" a\nb\x1bc ", 10), "a b c");
    assert_eq!(preview("言葉言葉", 4), "言葉言葉");
    assert_eq!(preview("言葉言葉", 3), "言葉…");
}
