//! Everything below a folder, in the order of names, without following links.
use super::ToolCx;
use super::folder::{Entry, EntryKind, Folder};
use crate::limits::{WALK_DEPTH_MAX, WALK_ENTRIES_MAX};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What could not be looked at.
#[derive(Default)]
pub(super) struct Gaps {
    /// Folders that could not be opened, or lie too deep.
    pub folders: usize,
    /// There was more than may be looked at.
    pub unfinished: bool,
}

/// Shows `visit` each entry below `top`, a real path, with the folder it lies in and its path from
/// `top`. Without `deep` only the folder itself is shown. Private entries are passed over.
pub(super) fn walk(
    cx: &ToolCx<'_>,
    top: &Path,
    deep: bool,
    visit: &mut dyn FnMut(&Folder, &Path, &Entry) -> ControlFlow<()>,
) -> Gaps {
    let mut gaps = Gaps::default();
    let private = cx.files.private();
    let mut left = WALK_ENTRIES_MAX;
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((inner, depth)) = waiting.pop() {
        let real = top.join(&inner);
        if cx.cancel.is_cancelled() || left == 0 {
            gaps.unfinished = true;
            return gaps;
        }
        let opened = Folder::open(&real);
        let listed = opened.and_then(|folder| Ok((folder.entries(left)?, folder)));
        let Ok(((mut entries, more), folder)) = listed else {
            gaps.folders += 1;
            continue;
        };
        gaps.unfinished |= more;
        left -= entries.len();
        entries.retain(|entry| !cx.files.is_private(&private, &real.join(&entry.name)));
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for entry in &entries {
            if cx.cancel.is_cancelled()
                || visit(&folder, &inner.join(&entry.name), entry).is_break()
            {
                gaps.unfinished = true;
                return gaps;
            }
        }
        let folders = entries.iter().rev().filter(|entry| entry.kind == EntryKind::Folder);
        if deep && depth == WALK_DEPTH_MAX {
            gaps.folders += folders.count();
        } else if deep {
            waiting.extend(folders.map(|entry| (inner.join(&entry.name), depth + 1)));
        }
    }
    gaps
}

impl Gaps {
    /// For the end of a result: what is missing from it.
    pub fn note(&self) -> String {
        let folders = match self.folders {
            0 => String::new(),
            count => format!("\n[{count} folders could not be opened]"),
        };
        let unfinished = match self.unfinished {
            true => "\n[there is more: narrow the path or the pattern]",
            false => "",
        };
        format!("{folders}{unfinished}")
    }
}

/// True if `pattern` describes all of `text`: `*` is anything within a name, `?` one character of
/// a name, `**` anything, `**/` any folders or none. Takes at most their lengths' product of steps.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // reached[i]: the pattern so far describes the first i characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let many = ["**/", "**", "*"].into_iter().find(|many| rest.starts_with(many));
        rest = &rest[many.map_or(first.len_utf8(), str::len)..];
        // A beginning that ends further left is described, with nothing `many` forbids since.
        let mut seen = false;
        let mut before = false;
        for (at, reached) in reached.iter_mut().enumerate() {
            let last = at.checked_sub(1).map(|i| text[i]);
            let here = *reached;
            seen &= many != Some("*") || last != Some('/');
            *reached = match many {
                Some("**/") => here || seen && last == Some('/'),
                Some(_) => here || seen,
                None => before && last.is_some_and(|c| c == first || first == '?' && c != '/'),
            };
            seen |= here;
            before = here;
        }
    }
    reached[text.len()]
}
