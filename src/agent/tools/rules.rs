//! The table of what is asked about before it is done, each row a rule with a name and a matcher.
//!
//! This is no border. Whoever wants to hide what a command does can: in a script's file, in another
//! language, in a name. The sandbox is the border, and holds whatever is decided here; these rules
//! say when a person should look first, and what that person's leave opens.
mod acts;
mod credentials;
mod network;
mod places;
mod programs;
#[cfg(test)]
mod tests;
mod wrappers;

pub(super) use acts::Scene;

use super::leave::{Need, Reach, Widening};
use acts::{Act, acts};
use wrappers::is_shell;

/// One thing that is asked about.
pub(super) struct Rule {
    #[cfg_attr(not(test), expect(dead_code, reason = "names the rule in its tests"))]
    id: &'static str,
    /// For people: what it is, as in "It ...".
    about: &'static str,
    /// What a leave opens; `None` if the act is nothing of the kind.
    finds: fn(&Act, &Scene<'_>) -> Option<Widening>,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "write-outside",
        about: "writes outside the workspace",
        finds: places::writes_outside,
    },
    Rule {
        id: "delete-outside",
        about: "deletes or moves something outside the workspace, or the workspace itself",
        finds: places::deletes_outside,
    },
    Rule {
        id: "server-state",
        about: "touches the server's own state, its key and its stored runs",
        finds: places::touches_state,
    },
    Rule { id: "privilege", about: "asks for more privilege", finds: programs::privilege },
    Rule { id: "install", about: "installs or removes software", finds: programs::install },
    Rule { id: "network-write", about: "sends something out", finds: network::sends },
    Rule {
        id: "remote-control",
        about: "acts on other machines or services in this user's name",
        finds: network::acts_remotely,
    },
    Rule {
        id: "net-to-shell",
        about: "runs what it fetches from the network",
        finds: network_shell,
    },
    Rule { id: "credentials", about: "reads keys or passwords", finds: credentials::reads },
    Rule { id: "fork-bomb", about: "starts itself without end", finds: bomb },
    Rule { id: "disk", about: "works on disks or devices", finds: programs::disk },
    Rule { id: "system", about: "controls the system or other processes", finds: programs::system },
    Rule {
        id: "git-history",
        about: "throws away work or history that git keeps",
        finds: programs::git_history,
    },
    Rule { id: "database", about: "deletes data in a database", finds: programs::database },
    Rule { id: "cannot-tell", about: "cannot be understood before it runs", finds: untold },
];

/// What must be asked about `command`, if anything.
pub(super) fn need(command: &str, scene: &Scene<'_>) -> Option<Need> {
    let acts = acts(command, scene);
    let mut widening = Widening::default();
    let mut reasons = Vec::new();
    for rule in RULES {
        let found: Vec<Widening> = acts.iter().filter_map(|act| (rule.finds)(act, scene)).collect();
        if !found.is_empty() {
            reasons.push(rule.about.to_owned());
        }
        found.into_iter().for_each(|opens| widening += opens);
    }
    if let Some(why) = acts.iter().find_map(|act| act.opaque) {
        let last = reasons.last_mut().expect("the last rule finds what is opaque");
        *last = format!("{last} ({why})");
    }
    if reasons.is_empty() {
        return None;
    }
    widening.network &= scene.no_network;
    let opens = match scene.is_confined {
        true => widening.in_words("this one command"),
        false => Some("Commands are not confined here: nothing else holds it back.".to_owned()),
    };
    let opens = match holds_keys(&widening, scene) {
        true => opens.map(|opens| opens + KEYS),
        false => opens,
    };
    let nothing = || "If you allow it, it runs within the sandbox as any other.".to_owned();
    let description =
        format!("This command {}. {}", reasons.join("; it "), opens.unwrap_or_else(nothing));
    Some(Need { command: command.to_owned(), description, widening })
}

/// True if what is opened for writing holds places for keys, or the server's own state.
fn holds_keys(widening: &Widening, scene: &Scene<'_>) -> bool {
    let mut places = scene.keys.iter().chain(scene.state).filter(|place| place.exists());
    let is_named = scene.is_confined && widening.reach != Reach::Unconfined;
    is_named && places.any(|place| widening.covers(&super::keys::real(place)))
}

const KEYS: &str = " Places for keys lie in there: it may write these too, but not read them.";

fn unconfined() -> Option<Widening> {
    Some(Widening { reach: Reach::Unconfined, ..Widening::default() })
}

/// Within the sandbox, as any other command.
fn nothing_more() -> Option<Widening> {
    Some(Widening::default())
}

fn online() -> Option<Widening> {
    Some(Widening { network: true, ..Widening::default() })
}

/// Programs that bring something from the network.
const FETCHERS: &[&str] = &["curl", "wget", "fetch", "aria2c", "http", "https", "xh", "nc", "ncat"];
const INTERPRETERS: &[&str] =
    &["python", "python3", "perl", "ruby", "node", "php", "lua", "source", "."];

fn network_shell(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let runs =
        is_shell(&act.name) || act.is(INTERPRETERS) || act.is(&["eval"]) || act.opaque.is_some();
    let fetches = |name: &str| FETCHERS.contains(&name);
    let is_fed = act.runs_input() && act.fed_by.iter().any(|(name, _)| fetches(name));
    let is_given = act.args.iter().any(|arg| arg.prints.iter().any(|name| fetches(name)));
    (runs && (is_fed || is_given)).then(|| Widening {
        reach: Reach::Everywhere,
        network: true,
        ..Widening::default()
    })
}

fn bomb(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    act.is_bomb.then(Widening::default)
}

fn untold(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    act.opaque.map(|_| Widening::default())
}
