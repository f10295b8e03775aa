//! Numbers as text, without the machinery of `format!`: these are on the path of every event.

/// Appends `n` in base 10.
pub(super) fn decimal(out: &mut Vec<u8>, n: u64) {
    padded(out, n, 1);
}

/// Appends `n` in base 10 with at least `width` digits (at most 20).
pub(super) fn padded(out: &mut Vec<u8>, mut n: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while n > 0 {
        at -= 1;
        digits[at] += (n % 10) as u8;
        n /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Appends `n` in base 16, without leading zeros.
pub(super) fn hex(out: &mut Vec<u8>, n: usize) {
    let digits = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(hex_digit((n >> (place * 4)) as u8));
    }
}

/// Appends `n` as 32 digits of base 16.
pub(super) fn hex_32(out: &mut Vec<u8>, n: u128) {
    out.extend_from_slice(&crate::id::hex_digits(n));
}

/// The lowest four bits of `value` as a digit.
fn hex_digit(value: u8) -> u8 {
    b"0123456789abcdef"[usize::from(value & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for n in [0, 1, 9, 10, 15, 16, 255, 256, 99_999, 1 << 20, u32::MAX as usize, usize::MAX] {
            assert_eq!(text(|out| decimal(out, n as u64)), n.to_string());
            assert_eq!(text(|out| padded(out, n as u64, 6)), format!("{n:06}"));
            assert_eq!(text(|out| hex(out, n)), format!("{n:x}"));
            assert_eq!(text(|out| hex_32(out, n as u128)), format!("{n:032x}"));
        }
        assert_eq!(text(|out| hex_32(out, u128::MAX)), "f".repeat(32));
    }
}
