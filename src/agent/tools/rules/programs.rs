//! Rules on what programs do, by their name and what they are told.
use super::acts::{Act, Scene};
use super::{Widening, nothing_more, unconfined};

pub(super) fn privilege(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let asks = act.is(&[
        "sudo", "su", "doas", "pkexec", "runuser", "visudo", "passwd", "chpasswd", "useradd",
        "userdel", "usermod", "groupadd", "groupmod", "adduser", "deluser", "setcap", "chroot",
        "nsenter",
    ]);
    let is_setuid = |mode: &str| {
        let digits = mode.bytes().all(|b| b.is_ascii_digit()) && mode.len() >= 4;
        let special = mode.as_bytes().get(mode.len().saturating_sub(4));
        let symbolic = mode.split(',').any(|part| {
            part.split_once(['+', '=']).is_some_and(|(_, rights)| rights.contains('s'))
        });
        symbolic || digits && special.is_some_and(|digit| matches!(digit, b'2'..=b'7'))
    };
    let sets = act.is(&["chmod"]) && is_setuid(act.verb());
    (asks || sets).then(unconfined).flatten()
}

/// Package managers of the system, and what they are told that changes nothing.
const MANAGERS: &[&str] = &[
    "apt", "apt-get", "aptitude", "dnf", "yum", "microdnf", "zypper", "pacman", "apk", "brew",
    "snap", "flatpak", "port", "emerge", "nix-env", "pkg", "choco", "winget",
];
const LOOKING: &[&str] = &[
    "list",
    "search",
    "show",
    "info",
    "policy",
    "depends",
    "rdepends",
    "leaves",
    "doctor",
    "deps",
    "version",
    "help",
    "check-update",
    "repolist",
    "",
];
/// Programs that install for the user when told one of these.
const INSTALLERS: &[(&str, &[&str])] = &[
    ("pip", &["install", "uninstall"]),
    ("pip3", &["install", "uninstall"]),
    ("pipx", &["install", "uninstall", "upgrade", "inject"]),
    ("uv", &["tool"]),
    ("conda", &["install", "remove", "update", "create"]),
    ("mamba", &["install", "remove", "update", "create"]),
    ("gem", &["install", "uninstall", "update"]),
    ("cargo", &["install", "uninstall"]),
    ("go", &["install"]),
    ("rustup", &["install", "update", "toolchain", "component", "target", "default", "self"]),
    ("make", &["install", "uninstall"]),
    ("ninja", &["install"]),
    ("cpan", &["install"]),
    ("cpanm", &[]),
];

pub(super) fn install(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    if act.is_own {
        // A virtual environment's own program installs into the workspace.
        return None;
    }
    let verb = act.verb();
    let manages =
        act.is(MANAGERS) && !LOOKING.contains(&verb) || act.is(&["pacman"]) && act.has("SRU", &[]);
    let installs = INSTALLERS
        .iter()
        .any(|(name, verbs)| act.is(&[name]) && (verbs.is_empty() || verbs.contains(&verb)));
    let by_module = act.name.starts_with("python")
        && act.value(&["-m"]).is_some_and(|module| module.text == "pip")
        && act.says(&["install", "uninstall"]);
    let everywhere = act.is(&["npm", "pnpm", "yarn", "bun"])
        && (act.has("g", &["--global"]) || verb == "global");
    let packages = act.is(&["dpkg", "rpm"])
        && act.has("iUrPeF", &["--install", "--remove", "--purge", "--erase"]);
    (manages || installs || by_module || everywhere || packages).then(unconfined).flatten()
}

/// Devices whose writing does no harm.
const HARMLESS: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/tty",
    "/dev/fd/",
    "/dev/pts/",
    "/dev/shm/",
    "/dev/tcp/",
    "/dev/udp/",
];

pub(super) fn disk(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let works = act.is(&[
        "mount",
        "umount",
        "fdisk",
        "sfdisk",
        "gdisk",
        "parted",
        "wipefs",
        "losetup",
        "swapon",
        "swapoff",
        "cryptsetup",
        "mdadm",
        "lvremove",
        "vgremove",
        "pvremove",
        "lvcreate",
        "zfs",
        "zpool",
        "blkdiscard",
        "hdparm",
        "mkswap",
        "diskutil",
        "badblocks",
    ]) || act.name.starts_with("mkfs")
        || act.name.starts_with("mke2fs");
    let looks = act.is(&["mount"]) && act.plain().next().is_none()
        || act.has("l", &["--list", "--show"]) && act.is(&["fdisk", "sfdisk", "parted", "losetup"]);
    let is_device = |path: &str| {
        path.starts_with("/dev/") && !HARMLESS.iter().any(|harmless| path.starts_with(harmless))
    };
    let copies = act.is(&["dd"])
        && act.args.iter().any(|arg| arg.text.strip_prefix("of=").is_some_and(is_device));
    let writes = act.writes.iter().any(|arg| is_device(&arg.text))
        || act.is(&["tee", "shred", "cp", "chmod", "chown"])
            && act.plain().any(|arg| is_device(&arg.text));
    (works && !looks || copies || writes).then(unconfined).flatten()
}

pub(super) fn system(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let looking = &[
        "status",
        "list",
        "show",
        "is-active",
        "is-enabled",
        "cat",
        "list-units",
        "list-unit-files",
        "list-timers",
        "get-default",
        "help",
        "version",
        "",
    ];
    let controls = act.is(&[
        "shutdown",
        "reboot",
        "halt",
        "poweroff",
        "telinit",
        "init",
        "modprobe",
        "insmod",
        "rmmod",
        "kexec",
        "update-grub",
        "grub-install",
        "at",
        "batch",
    ]);
    let services =
        act.is(&["systemctl", "service", "launchctl", "rc-service", "initctl", "loginctl"])
            && !act.plain().take(2).any(|arg| looking.contains(&arg.text.as_str()))
            && act.plain().next().is_some();
    let firewall = act.is(&["iptables", "ip6tables", "nft", "ufw", "firewall-cmd", "pfctl"])
        && !act.has("LS", &["--list", "--state", "--list-all"])
        && !["list", "status"].contains(&act.verb());
    let tables = act.is(&["crontab"]) && !act.has("l", &[]);
    let kernel = act.is(&["sysctl"]) && act.has("wp", &["--write", "--load", "--system"]);
    let names =
        act.is(&["hostnamectl", "timedatectl", "localectl"]) && act.verb().starts_with("set");
    let is_own = |text: &str| text.starts_with('%') || text.is_empty() || text == "0";
    let kills = act.is(&["pkill", "killall", "skill"])
        || act.is(&["kill"])
            && !act.has("lL", &[])
            && act.plain().any(|arg| arg.is_known && !is_own(&arg.text) && !is_signal(&arg.text));
    let any = controls || services || firewall || tables || kernel || names || kills;
    any.then(unconfined).flatten()
}

/// A signal's name, as after `kill -s`.
fn is_signal(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_uppercase())
}

pub(super) fn git_history(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    if !act.is(&["git"]) {
        return None;
    }
    // Options of git itself, as in `git -C DIR reset`, stand before what it is told.
    let words: Vec<&str> = act.args.iter().map(|arg| arg.text.as_str()).collect();
    let told = |verb: &str| words.iter().take(4).any(|word| *word == verb);
    let says = |word: &str| words.contains(&word);
    let forced = act
        .has("f", &["--force", "--force-with-lease", "--mirror", "--delete", "--prune"])
        || words
            .iter()
            .any(|word| word.starts_with('+') || word.starts_with(':') && word.len() > 1);
    if told("push") {
        return if forced { unconfined() } else { None };
    }
    let lost = told("reset") && says("--hard")
        || told("clean") && act.has("f", &["--force"])
        || told("checkout") && (says(".") || act.has("f", &["--force"]))
        || told("restore") && says(".")
        || told("branch") && (act.has("D", &[]) || says("--delete") && says("--force"))
        || told("stash") && (says("drop") || says("clear"))
        || told("reflog") && (says("expire") || says("delete"))
        || told("gc") && act.has("", &["--prune"])
        || told("update-ref") && act.has("d", &["--delete"])
        || told("worktree") && says("remove") && act.has("f", &["--force"])
        || told("filter-branch")
        || told("filter-repo");
    lost.then(nothing_more).flatten()
}

/// Programs that take SQL, in arguments or to read.
const SQL: &[&str] = &[
    "psql",
    "mysql",
    "mariadb",
    "sqlite3",
    "sqlcmd",
    "clickhouse-client",
    "duckdb",
    "cockroach",
    "cqlsh",
    "bq",
];

pub(super) fn database(act: &Act, _: &Scene<'_>) -> Option<Widening> {
    let fed: Vec<&str> = act.fed_by.iter().map(|(_, args)| args.as_str()).collect();
    let text = [act.text(), act.input.clone().unwrap_or_default(), fed.join(" ")].join(" ");
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    let follows = |first: &str, second: &[&str]| {
        words.windows(2).any(|pair| pair[0] == first && second.contains(&pair[1].as_str()))
    };
    let things =
        &["TABLE", "DATABASE", "SCHEMA", "INDEX", "VIEW", "USER", "ROLE", "COLUMN", "KEYSPACE"];
    let sql = act.is(SQL)
        && (follows("DROP", things)
            || has("TRUNCATE")
            || follows("DELETE", &["FROM"]) && !has("WHERE"));
    let mongo = act.is(&["mongosh", "mongo"]) && (has("DROPDATABASE") || has("DROP"));
    let redis = act.is(&["redis-cli", "valkey-cli"]) && (has("FLUSHALL") || has("FLUSHDB"));
    let tools = act.is(&["dropdb", "dropuser"])
        || act.is(&["mysqladmin"]) && act.says(&["drop"])
        || act.is(&["rails", "rake"]) && act.says(&["db:drop", "db:reset"])
        || act.is(&["prisma"]) && act.says(&["reset"]);
    (sql || mongo || redis || tools).then(nothing_more).flatten()
}
