//! The variables of the process, as a value.
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The variables of the process. An empty one counts as unset.
#[derive(Clone, Debug, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    pub fn of_process() -> Env {
        std::env::vars_os().collect()
    }

    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.to_str())
    }
}

impl FromIterator<(OsString, OsString)> for Env {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(pairs: I) -> Env {
        let mut env = Env::default();
        for (name, value) in pairs {
            env.0.insert(name, value);
        }
        env
    }
}
