//! Where people and programs keep keys: no tool reads these.
use std::fs;
use std::os::unix::fs::MetadataExt;
#[cfg(feature = "sys")]
use std::path::Path;
use std::path::PathBuf;

/// In a home directory.
const AT_HOME: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".config/gh",
    ".config/git/credentials",
    ".config/gcloud",
    ".config/google-chrome",
    ".config/chromium",
    ".config/op",
    ".local/share/keyrings",
    ".mozilla",
    ".vault-token",
];

/// For root, who could read them.
const OF_THE_SYSTEM: &[&str] = &["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"];

/// Every such place this user could read, whether there is something or not: at home, as HOME has
/// it and as the system has it; for root at everybody's home.
pub(super) fn places() -> Vec<PathBuf> {
    let user = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes: Vec<PathBuf> = users.lines().filter_map(|line| home(line, user)).collect();
    homes.extend(std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()));
    homes.sort_unstable();
    homes.dedup();
    let at_home = homes.iter().flat_map(|home| AT_HOME.iter().map(|name| home.join(name)));
    at_home.chain(OF_THE_SYSTEM.iter().map(PathBuf::from)).collect()
}

/// The home in a line of /etc/passwd, if `user` may read it.
fn home(line: &str, user: u32) -> Option<PathBuf> {
    let fields: Vec<&str> = line.split(':').collect();
    let (owner, home) = (fields.get(2)?.parse::<u32>().ok()?, *fields.get(5)?);
    let readable = owner == user || user == 0 && home.starts_with("/home/");
    (readable && home.starts_with('/')).then(|| home.into())
}

/// Where `path` really lies, as far as it exists.
#[cfg(feature = "sys")]
pub(super) fn real(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), path.parent().zip(path.file_name())) {
        (Ok(real), _) => real,
        (Err(_), Some((parent, name))) => real(parent).join(name),
        (Err(_), None) => path.to_owned(),
    }
}
