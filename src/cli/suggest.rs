//! "Did you mean ...?": the known word nearest to an unknown one.

/// The word of `known` that `typed` was probably meant to be, if one is near enough.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|word| (distance(typed, word), word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.len() / 3).clamp(1, 3);
    (distance <= allowed).then_some(word)
}

/// Insertions, deletions, changes and swaps of neighbours that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["port", "host", "cors-origins", "max-runs"];
        for (typed, meant) in
            [("prot", "port"), ("cors-origin", "cors-origins"), ("maxruns", "max-runs")]
        {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_foreign_word_finds_nothing() {
        for typed in ["banana", "x", ""] {
            assert_eq!(nearest(typed, ["port", "host", "key"]), None, "{typed}");
        }
    }
}
