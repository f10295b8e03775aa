//! What is set, and by whom: a flag goes before its variable, that before the file.
#[cfg(feature = "config")]
use super::config_file::ConfigFile;
use super::env::Env;
use super::settings::{Setting, Settings};
use super::table::SETTINGS;
use super::usage::{misspelt, unlike};
use super::value::Given;
use std::ffi::{OsStr, OsString};

/// Everything from which settings are made.
pub struct Sources<'a> {
    /// In their order; of a flag that is given twice the last counts.
    flags: &'a [(&'static Setting, OsString)],
    env: &'a Env,
    #[cfg(feature = "config")]
    pub file: ConfigFile,
}

/// Who has set a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Flag,
    Variable,
    #[cfg(feature = "config")]
    File,
}

/// A value as it was given.
pub struct Set<'a> {
    pub by: By,
    /// The flag, the variable, or the file with the line.
    pub place: String,
    pub value: &'a OsStr,
}

impl<'a> Sources<'a> {
    /// Reads the configuration file, if there is one.
    pub fn new(
        flags: &'a [(&'static Setting, OsString)],
        env: &'a Env,
    ) -> Result<Sources<'a>, String> {
        let sources = Sources {
            flags,
            env,
            #[cfg(feature = "config")]
            file: ConfigFile::default(),
        };
        #[cfg(feature = "config")]
        let sources = {
            let row = super::table::find("config").expect("the table has it");
            let named = sources.find(row).map(|set| set.value.to_owned());
            Sources { file: ConfigFile::read(named.as_deref(), env)?, ..sources }
        };
        Ok(sources)
    }

    /// The value that counts; `None` means the default.
    pub fn find(&self, setting: &Setting) -> Option<Set<'_>> {
        let flag = self.flags.iter().rev().find(|(given, _)| given.name == setting.name);
        if let Some((_, value)) = flag {
            return Some(Set { by: By::Flag, place: setting.flag(), value });
        }
        let names = [Some(setting.variable()), setting.also.map(str::to_owned)];
        for name in names.into_iter().flatten() {
            if let Some(value) = self.env.get(&name) {
                return Some(Set { by: By::Variable, place: name, value });
            }
        }
        self.find_in_file(setting)
    }

    /// Where the file is that was read, if one was.
    pub fn origin(&self) -> String {
        #[cfg(feature = "config")]
        if let Some(path) = &self.file.path {
            return path.display().to_string();
        }
        "no file; flags, variables and defaults".to_owned()
    }

    #[cfg(feature = "config")]
    fn find_in_file(&self, setting: &Setting) -> Option<Set<'_>> {
        let (place, value) = self.file.find(setting)?;
        Some(Set { by: By::File, place, value })
    }

    #[cfg(not(feature = "config"))]
    fn find_in_file(&self, _: &Setting) -> Option<Set<'_>> {
        None
    }

    /// The settings `commands` takes.
    pub fn settings(&self, commands: u8) -> Result<Settings, String> {
        let mut settings = Settings { warnings: misspelt(self.env), ..Settings::default() };
        #[cfg(feature = "config")]
        settings.warnings.extend(self.file.warning.clone());
        for setting in SETTINGS.iter().filter(|setting| setting.commands & commands != 0) {
            if let Some(set) = self.find(setting) {
                let put = (setting.put)(&mut settings, Given(set.value));
                put.ok_or_else(|| refusal(&set, setting))?;
            }
        }
        for (setting, value) in self.flags {
            let put = (setting.put)(&mut settings.clone(), Given(value));
            put.ok_or_else(|| unlike(&setting.flag(), setting.kind, value))?;
        }
        Ok(settings)
    }
}

fn refusal(set: &Set<'_>, setting: &Setting) -> String {
    unlike(&set.place, setting.kind, set.value)
}
