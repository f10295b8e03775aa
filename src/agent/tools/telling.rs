//! Files that are likely to hold keys, by their names, wherever they lie.
use std::ffi::OsStr;
use std::path::Path;

/// Names such files have, and ends of such names.
const NAMES: &[&str] = &[
    ".env",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "shadow",
    "gshadow",
    "environ",
    "credentials.json",
    "secrets.yml",
    "secrets.yaml",
    ".htpasswd",
];
const ENDS: &[&str] = &[".pem", ".p12", ".pfx", ".keystore", ".jks", ".kdbx", ".ovpn"];
/// Ends of names that are templates for the others.
const TEMPLATES: &[&str] = &["example", "sample", "template", "dist", "defaults"];

/// True if a file of this name likely holds keys.
pub(super) fn is_telling(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    let kind = name.strip_prefix(".env.");
    NAMES.contains(&name)
        || ENDS.iter().any(|end| name.ends_with(end))
        || name.starts_with('.') && name.ends_with("_history")
        || kind.is_some_and(|kind| !TEMPLATES.contains(&kind))
}
