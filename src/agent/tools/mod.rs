//! What the built-in agent can do: a table of tools, and one way to call them.
mod args;
pub(super) mod custom;
mod edit_file;
mod files;
mod folder;
#[cfg(unix)]
mod keys;
mod leave;
mod list_files;
mod read_file;
#[cfg(all(feature = "sys", unix))]
mod rules;
mod search_files;
#[cfg(all(feature = "sys", unix))]
mod shell_words;
mod telling;
#[cfg(all(feature = "sys", unix))]
mod terminal;
mod walk;
mod write_file;

use super::model::ToolSpec;
use super::{Cancel, Secrets, Settings};
use crate::approval::Approve;
use crate::config::{Confinement, Toolset};
use args::{Args, Field};
use files::{Files, Target};
use serde_json::Value;
use std::io;
use std::path::Path;
#[cfg(all(feature = "sys", unix))]
use std::path::PathBuf;
#[cfg(all(feature = "sys", unix))]
use terminal::Starter;

pub use leave::{Need, Widening};

/// The tools of the built-in agent, and the workspace they work in.
pub struct Tools {
    files: Files,
    #[cfg(all(feature = "sys", unix))]
    starter: Starter,
    /// The server's own state, as it really lies.
    #[cfg(all(feature = "sys", unix))]
    state: Vec<PathBuf>,
    private_env: Vec<String>,
    approve: Approve,
    /// Those of the embedder. Each name is of one tool only, in `TABLE` or here.
    custom: Vec<Box<dyn custom::Tool>>,
}

/// One tool: what a model is told of it, and what it does.
struct Tool {
    name: &'static str,
    description: &'static str,
    /// The argument that tells most about a call.
    main: &'static str,
    fields: &'static [Field],
    /// It changes nothing.
    is_plain_read: bool,
    /// What must be asked before it is carried out, where what is risky is asked about.
    need: fn(&Args, &Tools) -> Option<Need>,
    /// What came of it, or what went wrong and what to change.
    run: fn(&Args, &ToolCx<'_>) -> Result<String, String>,
}

/// What a tool may use while it works.
#[cfg_attr(not(all(feature = "sys", unix)), expect(dead_code, reason = "for the terminal"))]
struct ToolCx<'a> {
    files: &'a Files,
    #[cfg(all(feature = "sys", unix))]
    starter: &'a Starter,
    cancel: &'a Cancel,
    secrets: &'a Secrets,
    private_env: &'a [String],
    widening: &'a Widening,
}

impl ToolCx<'_> {
    /// The place to write `path` to, as far as this call may.
    fn target(&self, path: &str, make_folders: bool) -> Result<Target, String> {
        self.files.target(path, make_folders, self.widening)
    }
}

const TABLE: &[Tool] = &[
    #[cfg(all(feature = "sys", unix))]
    terminal::TOOL,
    read_file::TOOL,
    write_file::TOOL,
    edit_file::TOOL,
    list_files::TOOL,
    search_files::TOOL,
];

impl Tools {
    /// Makes the workspace if it is not there. Fails if that is impossible, or if the launcher
    /// cannot be used.
    pub fn new(settings: &Settings) -> io::Result<Tools> {
        let mut private = settings.private.clone();
        #[cfg(unix)]
        if settings.sandbox {
            private.extend(keys::places());
        }
        let files = Files::new(&settings.workspace, settings.allow_outside, private)?;
        Ok(Tools {
            #[cfg(all(feature = "sys", unix))]
            starter: Starter::new(settings, &files)?,
            files,
            #[cfg(all(feature = "sys", unix))]
            state: settings.private.iter().map(|path| keys::real(path)).collect(),
            private_env: settings.private_env.clone(),
            approve: settings.approve,
            custom: Vec::new(),
        })
    }

    /// The workspace's real path.
    pub fn workspace(&self) -> &Path {
        self.files.root()
    }

    /// The tools as a model is told of them.
    pub fn specs(&self) -> Vec<ToolSpec> {
        let custom = self.custom.iter().map(|tool| custom::spec(tool.as_ref()));
        TABLE.iter().map(Tool::spec).chain(custom).collect()
    }

    /// The tools as clients are told of them.
    pub fn toolsets(&self) -> Vec<Toolset> {
        let (shell, files): (Vec<&Tool>, Vec<&Tool>) =
            TABLE.iter().partition(|tool| tool.name == "terminal");
        let toolset = |name: &str, description: &str, tools: Vec<&Tool>| Toolset {
            name: name.to_owned(),
            description: description.to_owned(),
            enabled: true,
            tools: tools.iter().map(|tool| tool.name.to_owned()).collect(),
        };
        let mut toolsets = Vec::new();
        if !shell.is_empty() {
            toolsets.push(toolset("terminal", "Runs shell commands.", shell));
        }
        toolsets.push(toolset("files", "Reads, writes, lists and searches files.", files));
        toolsets.extend(self.custom_toolset());
        toolsets
    }

    /// How commands are confined; `None` if there is no terminal.
    pub fn confinement(&self) -> Option<Confinement> {
        #[cfg(all(feature = "sys", unix))]
        return Some(self.starter.confinement());
        #[cfg(not(all(feature = "sys", unix)))]
        None
    }

    /// What whoever runs these tools should know.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        #[cfg(all(feature = "sys", unix))]
        warnings.extend(self.starter.warnings(&self.files));
        if self.files.allow_outside() {
            warnings.push("Tools may write outside the workspace.".to_owned());
        } else if !folder::RACELESS {
            let text = "A process that swaps folders for links at the right moment can lead the \
                        file tools out of the workspace; a build with the feature `sys` is safe.";
            warnings.push(text.to_owned());
        }
        warnings
    }

    /// The argument of a call that tells most about it; all of them if there is none.
    pub fn main_argument(&self, name: &str, arguments: &str) -> String {
        let parsed = serde_json::from_str::<Value>(arguments).ok();
        let tool = TABLE.iter().find(|tool| tool.name == name);
        let main = parsed.as_ref().zip(tool).and_then(|(args, tool)| args.get(tool.main)?.as_str());
        main.unwrap_or(arguments).to_owned()
    }

    /// Why a call must be asked about before it is carried out; `None` if it need not be, also
    /// because it cannot be carried out at all.
    pub fn need(&self, name: &str, arguments: &str) -> Option<Need> {
        if let Some(tool) = self.find_custom(name) {
            return custom::need(tool, arguments, self.approve);
        }
        let tool = TABLE.iter().find(|tool| tool.name == name)?;
        let args = Args::parse(tool.fields, arguments).ok()?;
        let always = || Need {
            command: self.main_argument(name, arguments),
            description: format!("Every call of {name} is asked about (--approve always)."),
            widening: Widening::default(),
        };
        match self.approve {
            Approve::Never => None,
            Approve::Risky => (tool.need)(&args, self),
            Approve::Always => {
                (tool.need)(&args, self).or_else(|| (!tool.is_plain_read).then(always))
            }
        }
    }

    /// Carries out one call that needs no leave, or without one: see `call_widened`.
    pub fn call(
        &self,
        name: &str,
        arguments: &str,
        cancel: &Cancel,
        secrets: &Secrets,
    ) -> Result<String, String> {
        self.call_widened(name, arguments, &Widening::default(), cancel, secrets)
    }

    /// Carries out one call, which may also do what `widening` says: `Ok` with what came of it, or
    /// `Err` with what to change.
    ///
    /// `arguments` is JSON text as a model wrote it. Returns within 250 ms of `cancel`. No value
    /// that contains one of `secrets` gets into the environment of a command.
    pub fn call_widened(
        &self,
        name: &str,
        arguments: &str,
        widening: &Widening,
        cancel: &Cancel,
        secrets: &Secrets,
    ) -> Result<String, String> {
        if let Some(tool) = self.find_custom(name) {
            return tool.run(&custom::object(arguments)?, cancel);
        }
        let Some(tool) = TABLE.iter().find(|tool| tool.name == name) else {
            let names: Vec<&str> = self.specs().iter().map(|tool| tool.name).collect();
            return Err(format!("There is no tool `{name}`. The tools are: {}.", names.join(", ")));
        };
        let args = Args::parse(tool.fields, arguments).map_err(|why| format!("{name}: {why}"))?;
        let cx = ToolCx {
            files: &self.files,
            #[cfg(all(feature = "sys", unix))]
            starter: &self.starter,
            cancel,
            secrets,
            private_env: &self.private_env,
            widening,
        };
        (tool.run)(&args, &cx)
    }
}

/// For tools that never need leave.
fn no_need(_: &Args, _: &Tools) -> Option<Need> {
    None
}

impl Tool {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name,
            description: self.description.to_owned(),
            parameters: args::schema(self.fields),
        }
    }
}
