//! Which files the tools may touch: reading anywhere but the server's own state, writing inside
//! the workspace.
//!
//! Every path is resolved first, links and all, then judged, then opened without following a link
//! (`folder.rs`): what was judged is what is opened, whatever is swapped in between.
use super::folder::Folder;
use super::leave::{Need, Widening};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The workspace, and the files around it.
pub(super) struct Files {
    /// The workspace's real path.
    root: PathBuf,
    workspace: Folder,
    allow_outside: bool,
    private: Vec<PathBuf>,
}

/// A place to write to: a name in a folder that is held open.
pub(super) struct Target {
    pub folder: Folder,
    pub name: OsString,
    /// For people: inside the workspace relative to it.
    pub shown: String,
}

impl Files {
    pub fn new(workspace: &Path, allow_outside: bool, private: Vec<PathBuf>) -> io::Result<Files> {
        fs::create_dir_all(workspace)?;
        let root = fs::canonicalize(workspace)?;
        let workspace = Folder::open(&root)?;
        let private = private.iter().map(std::path::absolute).collect::<io::Result<_>>()?;
        Ok(Files { root, workspace, allow_outside, private })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn allow_outside(&self) -> bool {
        self.allow_outside
    }

    /// `path` as a model wrote it, from the workspace or from the root of the system.
    ///
    /// std's `home_dir` also asks the system's list of users, for which a static binary would carry
    /// the C library's resolver, and load modules that may not fit it.
    pub fn absolute(&self, path: &str) -> PathBuf {
        let home = || std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = path.strip_prefix("~/").and_then(|rest| Some((home()?, rest)));
        match home {
            Some((home, rest)) => home.join(rest),
            None => self.root.join(path),
        }
    }

    /// The real path of something that exists and may be read.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, String> {
        check_text(path)?;
        let real = fs::canonicalize(self.absolute(path)).map_err(|why| self.explain(path, &why))?;
        self.check_private(path, &real)?;
        Ok(real)
    }

    /// Opens a regular file for reading.
    pub fn file(&self, path: &str) -> Result<File, String> {
        let real = self.resolve(path)?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(format!("`{path}` is a folder. Use list_files to see what is in it."));
        };
        let opened = Folder::open(parent).and_then(|folder| folder.file(name));
        opened.map_err(|why| match real.is_dir() {
            true => format!("`{path}` is a folder. Use list_files to see what is in it."),
            false => self.explain(path, &why),
        })
    }

    /// What must be asked before `path` is written, if it lies outside the workspace: `what` says
    /// what is to be done there.
    pub fn need(&self, path: &str, what: impl Fn(&str) -> String) -> Option<Need> {
        let real = check_text(path).and_then(|()| self.resolve_new(path)).ok()?;
        let is_closed = self.is_private(&self.private(), &real);
        if is_closed || self.allow_outside || real.starts_with(&self.root) {
            return None;
        }
        let command = what(&real.display().to_string());
        let widening = Widening::write(real.clone(), real);
        let opens = widening.in_words("this one call").unwrap_or_default();
        let description = format!("This writes outside the workspace. {opens}");
        Some(Need { command, description, widening })
    }

    /// Finds the place to write `path` to; `make_folders` makes those on the way to it.
    pub fn target(
        &self,
        path: &str,
        make_folders: bool,
        widening: &Widening,
    ) -> Result<Target, String> {
        check_text(path)?;
        let real = self.resolve_new(path)?;
        self.check_private(path, &real)?;
        let inside = real.starts_with(&self.root);
        if !inside && !self.allow_outside && !widening.covers(&real) {
            let root = self.root.display();
            return Err(format!(
                "`{path}` is outside the workspace {root}, and files are written only inside it. \
                 Use a path inside the workspace."
            ));
        }
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(format!("`{path}` is a folder. Name a file."));
        };
        if real == self.root {
            return Err(format!("`{path}` is the workspace itself. Name a file inside it."));
        }
        let folder = self.walk_to(parent, inside, make_folders);
        let folder = folder.map_err(|why| self.explain(path, &why))?;
        Ok(Target { folder, name: name.to_owned(), shown: self.shown(&real) })
    }

    /// Where the server's own state is now, as it was named and as it really is.
    pub fn private(&self) -> Vec<PathBuf> {
        let real = self.private.iter().filter_map(|path| fs::canonicalize(path).ok());
        self.private.iter().cloned().chain(real).collect()
    }

    /// True for what lies in `private`, and for what shows the inside of the server's process.
    ///
    /// A workspace may lie inside the state directory; what is in it is not private. One that is
    /// the state directory itself does not open it: the key lies there.
    pub fn is_private(&self, private: &[PathBuf], real: &Path) -> bool {
        let below = |folder: &PathBuf| self.root.starts_with(folder) && self.root != *folder;
        let open = |folder: &PathBuf| below(folder) && real.starts_with(&self.root);
        let within = |folder: &PathBuf| real.starts_with(folder) && !open(folder);
        private.iter().any(within) || shows_a_process(real)
    }

    /// `real` for people: inside the workspace relative to it.
    pub fn shown(&self, real: &Path) -> String {
        let inner = real.strip_prefix(&self.root).ok().filter(|rest| *rest != Path::new(""));
        inner.unwrap_or(real).display().to_string()
    }

    /// What went wrong with `path`, and what to do about it.
    pub fn explain(&self, path: &str, why: &io::Error) -> String {
        let root = self.root.display();
        match why.kind() {
            ErrorKind::NotFound => format!(
                "`{path}` does not exist. Relative paths start at {root}; list_files shows what \
                 is there."
            ),
            ErrorKind::NotADirectory => {
                format!("A part of `{path}` is not a folder, or changed just now. Check the path.")
            }
            ErrorKind::InvalidInput => {
                format!("`{path}` cannot be used: it is not a regular file. Name another one.")
            }
            _ => format!("`{path}` cannot be used: {why}."),
        }
    }

    /// The real path of something that may not be there yet: the part that is, and the rest.
    fn resolve_new(&self, path: &str) -> Result<PathBuf, String> {
        let wanted = self.absolute(path);
        let mut head = wanted.as_path();
        let mut missing: Vec<&OsStr> = Vec::new();
        loop {
            match fs::canonicalize(head) {
                Ok(real) => return Ok(missing.iter().rev().fold(real, |real, n| real.join(n))),
                Err(why) if why.kind() != ErrorKind::NotFound => {
                    return Err(self.explain(path, &why));
                }
                Err(_) if fs::symlink_metadata(head).is_ok() => {
                    return Err(format!(
                        "`{path}` leads through a link to something that does not exist. Write \
                         to the place itself."
                    ));
                }
                Err(_) => {
                    let (Some(parent), Some(name)) = (head.parent(), head.file_name()) else {
                        return Err(format!(
                            "`{path}` has a `..` behind a folder that does not exist. Write the \
                             path without it."
                        ));
                    };
                    missing.push(name);
                    head = parent;
                }
            }
        }
    }

    fn walk_to(&self, real: &Path, inside: bool, make_folders: bool) -> io::Result<Folder> {
        let top = real.ancestors().last().unwrap_or(real);
        let (start, from) = match inside {
            true => (self.workspace.child(OsStr::new("."))?, self.root.as_path()),
            false => (Folder::open(top)?, top),
        };
        let names = real.strip_prefix(from).unwrap_or(Path::new(""));
        names.iter().try_fold(start, |folder, name| match folder.child(name) {
            Err(why) if make_folders && why.kind() == ErrorKind::NotFound => {
                folder.make_child(name)?;
                folder.child(name)
            }
            found => found,
        })
    }

    fn check_private(&self, path: &str, real: &Path) -> Result<(), String> {
        if self.is_private(&self.private(), real) {
            return Err(format!(
                "`{path}` belongs to the server itself, or is a place for keys. Leave it alone."
            ));
        }
        Ok(())
    }
}

fn check_text(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("The path is empty. Name a file, or `.` for the workspace.".to_owned());
    }
    if path.contains('\0') {
        return Err("The path contains a NUL character. Write it without.".to_owned());
    }
    Ok(())
}

/// True for the server's own entries below /proc, and for any process's memory and environment:
/// the server's parent may well hold the server's keys.
fn shows_a_process(real: &Path) -> bool {
    let Ok(inner) = real.strip_prefix("/proc") else { return false };
    let Some(first) = inner.iter().next().and_then(OsStr::to_str) else { return false };
    let is_process = first.bytes().all(|byte| byte.is_ascii_digit());
    let ours = first == std::process::id().to_string()
        || Path::new("/proc/self/task").join(first).exists();
    let telling = ["environ", "mem"].map(OsStr::new);
    let last = real.file_name().unwrap_or_default();
    first == "kcore" || is_process && (ours || telling.contains(&last))
}
