//! Rules on where a command writes and what it deletes.
use super::acts::{Act, Arg, Place, Scene};
use super::{Widening, unconfined};
use std::path::{Path, PathBuf};

/// Commands all of whose plain arguments are written to.
const WRITERS: &[&str] = &["tee", "touch", "mkdir", "truncate", "mkfifo", "mknod"];
/// Commands whose last plain argument is written to, or the value of `-t`.
const COPIERS: &[&str] = &["cp", "mv", "install", "ln", "rsync"];
/// Commands all of whose plain arguments but the first are changed.
const CHANGERS: &[&str] = &["chmod", "chown", "chgrp", "setfacl", "chattr"];
/// Option by option, what is written to.
const NAMED: &[(&str, &[&str])] = &[
    ("curl", &["-o", "--output", "--output-dir"]),
    ("wget", &["-O", "--output-document", "-P", "--directory-prefix"]),
    ("unzip", &["-d"]),
    ("sort", &["-o", "--output"]),
    ("patch", &["-d", "--directory", "-o"]),
];

pub(super) fn writes_outside(act: &Act, scene: &Scene<'_>) -> Option<Widening> {
    let mut places = act.writes.clone();
    places.extend(written(act));
    opened(act, scene, &places, opening)
}

pub(super) fn deletes_outside(act: &Act, scene: &Scene<'_>) -> Option<Widening> {
    if act.is(&["find"]) && act.args.iter().any(|arg| arg.text == "-delete") {
        let tops = act.args.iter().take_while(|arg| !arg.text.starts_with('-'));
        return opened(act, scene, &tops.cloned().collect::<Vec<_>>(), opening);
    }
    let deleted: Vec<Arg> = match act.name.as_str() {
        "rm" | "rmdir" | "unlink" | "shred" | "srm" | "wipe" | "trash" => {
            act.plain().cloned().collect()
        }
        "mv" => {
            let named = act.value(&["-t", "--target-directory"]).is_some();
            let count = act.plain().count();
            act.plain().take(if named { count } else { count.saturating_sub(1) }).cloned().collect()
        }
        _ => return None,
    };
    opened(act, scene, &deleted, |real| real.parent().unwrap_or(real).to_owned())
}

/// What it reads or writes, or the program of this server's name.
pub(super) fn touches_state(act: &Act, scene: &Scene<'_>) -> Option<Widening> {
    if act.is(&["runwire"]) && act.says(&["key", "db", "serve"]) {
        return unconfined();
    }
    let is_state = |real: PathBuf| {
        let root = scene.files.root();
        scene.state.iter().any(|state| real.starts_with(state)) && !real.starts_with(root)
    };
    let args = act.args.iter().chain(&act.writes).chain(&act.reads);
    let mut found = args.filter_map(|arg| act.real(arg)).filter(|real| is_state(real.clone()));
    found.next().and_then(|_| unconfined())
}

/// The arguments a command writes to.
fn written(act: &Act) -> Vec<Arg> {
    let plain = || act.plain().cloned();
    let is_in_place = act.is(&["sed", "perl", "ruby"]) && act.has("i", &["--in-place"]);
    let extracts = act.is(&["tar", "bsdtar"]) && act.value(&["-C", "--directory"]).is_some();
    match act.name.as_str() {
        name if WRITERS.contains(&name) => plain().collect(),
        name if CHANGERS.contains(&name) => plain().skip(1).collect(),
        name if COPIERS.contains(&name) => {
            let named = act.value(&["-t", "--target-directory"]);
            let last = plain().last().filter(|arg| !arg.text.contains(':'));
            named.or(last).into_iter().collect()
        }
        "dd" => act.args.iter().filter_map(|arg| after(arg, "of=")).collect(),
        "git" if act.verb() == "clone" => plain().skip(2).collect(),
        _ if is_in_place => plain().skip(1).collect(),
        _ if extracts => act.value(&["-C", "--directory"]).into_iter().collect(),
        name => {
            let options = NAMED.iter().find(|(command, _)| *command == name);
            options.and_then(|(_, options)| act.value(options)).into_iter().collect()
        }
    }
}

fn after(arg: &Arg, prefix: &str) -> Option<Arg> {
    let text = arg.text.strip_prefix(prefix)?.to_owned();
    Some(Arg { text, ..arg.clone() })
}

/// The leave to write at those of `places` that lie outside; none if none does.
fn opened(
    act: &Act,
    scene: &Scene<'_>,
    places: &[Arg],
    opening: fn(&Path) -> PathBuf,
) -> Option<Widening> {
    if scene.files.allow_outside() {
        return None;
    }
    let mut found: Option<Widening> = None;
    for place in places {
        let is_untold = |place: &Place| *place == Place::Untold && !scene.is_confined;
        match act.place(place, scene) {
            Place::Outside(real) => {
                let opens = opening(&real);
                *found.get_or_insert_default() += Widening::write(real, opens);
            }
            Place::Inside if act.real(place).is_some_and(|real| real == scene.files.root()) => {
                // Only a deletion opens the folder around what it names.
                let opens = opening(scene.files.root());
                if opens != scene.files.root() {
                    let named = scene.files.root().to_owned();
                    *found.get_or_insert_default() += Widening::write(named, opens);
                }
            }
            place if is_untold(&place) => drop(found.get_or_insert_default()),
            _ => {}
        }
    }
    found
}

/// What must be open for `real` to be written: itself, or the folder it is to be made in.
fn opening(real: &Path) -> PathBuf {
    let there = real.ancestors().find(|path| path.exists());
    there.unwrap_or(real).to_owned()
}
