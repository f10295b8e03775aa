//! Rules on what leaves this machine.
use super::acts::{Act, Scene};
use super::{Widening, online, unconfined};

/// Sends something where it can be read: by the network alone.
pub(super) fn sends(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let method = |names: &[&str]| {
        act.value(names).is_some_and(|arg| {
            let method = arg.text.to_ascii_uppercase();
            !arg.is_known || !["GET", "HEAD", "OPTIONS"].contains(&method.as_str())
        })
    };
    let curl = act.is(&["curl"]) && (curl_data(act) || method(&["-X", "--request"]));
    let wget = act.is(&["wget"])
        && (act.has("", &["--post-data", "--post-file", "--body-data", "--body-file"])
            || method(&["--method"]));
    let xh = act.is(&["http", "https", "xh"])
        && (["POST", "PUT", "PATCH", "DELETE"].contains(&act.verb())
            || act.plain().skip(1).any(|arg| {
                arg.text.contains('=') && !arg.text.contains("==") || arg.text.contains('@')
            }));
    let listens_or_talks =
        act.is(&["nc", "ncat", "netcat", "socat", "telnet", "sendmail", "mail", "mailx", "mutt"]);
    // As bash has it: a file that is a connection.
    let is_socket = |text: &str| text.starts_with("/dev/tcp/") || text.starts_with("/dev/udp/");
    let connects = act.writes.iter().any(|arg| is_socket(&arg.text));
    (curl || wget || xh || listens_or_talks || connects).then(online).flatten()
}

fn curl_data(act: &Act) -> bool {
    let long = [
        "--data",
        "--data-raw",
        "--data-binary",
        "--data-ascii",
        "--data-urlencode",
        "--json",
        "--form",
        "--form-string",
        "--upload-file",
    ];
    // As `-sd x`, but not the value of another option.
    let is_get = act.has("G", &["--get"]);
    !is_get && (act.has("", &long) || short_options(act).any(|c| "dFT".contains(c)))
}

/// Letters of options, up to one that has its value behind it.
fn short_options(act: &Act) -> impl Iterator<Item = char> {
    let mut letters = Vec::new();
    let clusters = act.args.iter().filter_map(|arg| arg.text.strip_prefix('-'));
    for cluster in clusters.filter(|rest| !rest.starts_with('-')) {
        for letter in cluster.chars() {
            letters.push(letter);
            if "oHuAebcKmwxXdFTErtyzCDPQUY".contains(letter) {
                break;
            }
        }
    }
    letters.into_iter()
}

/// Programs that act elsewhere with this user's keys, and what they are told that only looks.
const REMOTE: &[&str] = &[
    "gh",
    "glab",
    "aws",
    "gcloud",
    "gsutil",
    "az",
    "kubectl",
    "oc",
    "helm",
    "terraform",
    "tofu",
    "pulumi",
    "doctl",
    "flyctl",
    "fly",
    "heroku",
    "vercel",
    "netlify",
    "wrangler",
    "firebase",
    "ansible",
    "ansible-playbook",
    "railway",
    "supabase",
];
const LOOKS: &[&str] = &[
    "list",
    "ls",
    "get",
    "describe",
    "view",
    "status",
    "show",
    "version",
    "help",
    "plan",
    "logs",
    "log",
    "diff",
    "explain",
    "top",
    "validate",
    "fmt",
    "output",
    "whoami",
    "search",
    "history",
    "api-resources",
    "cluster-info",
    "template",
    "lint",
    "checks",
];
/// What publishes, program by program.
const PUBLISHERS: &[(&str, &[&str])] = &[
    ("npm", &["publish", "unpublish", "deprecate", "owner", "access", "token", "login", "adduser"]),
    ("pnpm", &["publish"]),
    ("yarn", &["publish"]),
    ("bun", &["publish"]),
    ("cargo", &["publish", "yank", "login", "owner"]),
    ("gem", &["push", "yank"]),
    ("twine", &["upload"]),
    ("poetry", &["publish"]),
    ("uv", &["publish"]),
    ("hatch", &["publish"]),
    ("mvn", &["deploy"]),
    ("dotnet", &["nuget"]),
    ("hg", &["push"]),
    ("svn", &["commit", "ci"]),
    ("rclone", &["copy", "sync", "move", "delete", "purge", "copyto", "moveto"]),
];
/// What changes containers, which are not confined by this server's sandbox.
const CONTAINER: &[&str] = &[
    "run", "exec", "push", "rm", "rmi", "prune", "create", "start", "stop", "restart", "kill",
    "compose", "build", "cp", "load", "import", "login", "system", "volume", "network", "update",
];

/// Acts elsewhere, or through somebody else, with what this user may do there.
pub(super) fn acts_remotely(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let shells = act.is(&["ssh", "scp", "sftp", "ftp", "lftp", "mosh", "autossh", "sshpass"]);
    let is_host = |text: &str| {
        text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'))
    };
    let copies = act.is(&["rsync"]) && act.plain().any(|arg| is_host(&arg.text));
    let pushes = act.is(&["git"])
        && act.args.iter().take(4).any(|arg| arg.text == "push")
        && !act.has("n", &["--dry-run"]);
    let tools = act.is(REMOTE) && act.plain().next().is_some() && !looks(act);
    let publishes = PUBLISHERS.iter().any(|(name, verbs)| {
        act.is(&[name]) && verbs.contains(&act.verb()) && !act.has("", &["--dry-run"])
    });
    let contains = act.is(&["docker", "podman", "nerdctl", "docker-compose", "lxc", "machinectl"])
        && act.says(CONTAINER);
    (shells || copies || pushes || tools || publishes || contains).then(unconfined).flatten()
}

fn looks(act: &Act) -> bool {
    act.plain().take(3).any(|arg| {
        let text = arg.text.as_str();
        LOOKS.contains(&text)
            || text.starts_with("list-")
            || text.starts_with("describe-")
            || text.starts_with("get-")
    })
}
