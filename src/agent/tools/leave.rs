//! What a call needs somebody's leave for, and what it may then do beyond what every call may.
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Why a call is asked about before it is carried out, and what a leave opens to it.
#[derive(Clone, Debug)]
pub struct Need {
    /// For people: what will be done.
    pub command: String,
    /// For people: why leave is needed, and what else the call may then do.
    pub description: String,
    pub widening: Widening,
}

/// What one call may do beyond what every call may. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Widening {
    /// The real paths outside that the call names to be written. A leave is for these: what must be
    /// open for that may change, once a file is there.
    pub(super) named: Vec<PathBuf>,
    /// Real paths it may write, with all that lies below them.
    pub(super) writes: Vec<PathBuf>,
    /// Real paths it may read although they are closed.
    pub(super) reads: Vec<PathBuf>,
    pub(super) reach: Reach,
    /// TCP, where commands may not use it.
    pub(super) network: bool,
}

/// How far a widened call gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(all(feature = "sys", unix)), expect(dead_code, reason = "for the terminal"))]
pub(super) enum Reach {
    /// To the paths that are named.
    #[default]
    Named,
    /// It may write wherever this user may, but to secrets.
    Everywhere,
    /// It is not confined at all.
    Unconfined,
}

impl Widening {
    /// The leave to write at the path `named`, for which `open` must be open.
    pub(super) fn write(named: PathBuf, open: PathBuf) -> Widening {
        Widening { named: vec![named], writes: vec![open], ..Widening::default() }
    }

    /// What tells this from other leaves for a call of the same words: a link in the workspace may
    /// lead elsewhere by the time they come again.
    pub fn key(&self) -> Value {
        let texts = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        let (named, reads) = (texts(&self.named), texts(&self.reads));
        json!({ "writes": named, "reads": reads, "reach": self.reach as u8, "network": self.network })
    }

    /// True if nothing confines the call.
    #[cfg(all(feature = "sys", unix))]
    pub(super) fn is_unconfined(&self) -> bool {
        self.reach == Reach::Unconfined
    }

    /// True if a file at this real path may be written.
    pub(super) fn covers(&self, real: &Path) -> bool {
        self.writes.iter().any(|open| real.starts_with(open))
    }

    /// For people: what `who` may do with a leave; `None` if that is no more than without.
    pub(super) fn in_words(&self, who: &str) -> Option<String> {
        let places = |paths: &[PathBuf]| {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            shown.join(" and ")
        };
        let mut may = Vec::new();
        match self.reach {
            Reach::Unconfined => {
                return Some(format!(
                    "If you allow it, {who} runs unconfined: it may do whatever the user may who \
                     started the server."
                ));
            }
            Reach::Everywhere => may.push("write outside the workspace".to_owned()),
            Reach::Named if self.writes.is_empty() => {}
            Reach::Named => may.push(format!("write in {}", places(&self.writes))),
        }
        if !self.reads.is_empty() {
            may.push(format!("read {}", places(&self.reads)));
        }
        if self.network {
            may.push("use the network".to_owned());
        }
        let mut text = String::new();
        for (index, what) in may.iter().enumerate() {
            let joint = if index == 0 { "" } else { ", and " };
            let _ = write!(text, "{joint}{what}");
        }
        (!may.is_empty()).then(|| format!("If you allow it, {who} may {text}."))
    }
}

#[cfg(all(feature = "sys", unix))]
impl std::ops::AddAssign for Widening {
    fn add_assign(&mut self, other: Widening) {
        for path in other.writes {
            if !self.covers(&path) {
                self.writes.push(path);
            }
        }
        self.named.extend(other.named);
        for path in other.reads {
            if !self.reads.contains(&path) {
                self.reads.push(path);
            }
        }
        self.reach = self.reach.max(other.reach);
        self.network |= other.network;
    }
}
