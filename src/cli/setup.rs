//! From settings to the agent, and what it must keep to itself.
use super::env::Env;
use super::keys_file::KeysFile;
use super::model::{Choice, OPENAI_KEY};
use super::settings::Settings;
use super::state::State;
use runwire::agent::model::Model;
use runwire::agent::model::builtin::Builtin;
use runwire::agent::{Agent, Secrets, Settings as AgentSettings, ToolAgent};
use std::path::PathBuf;

/// This very program, even after its file was replaced by a newer one.
const LAUNCHER: Option<&str> =
    if cfg!(all(feature = "sandbox", target_os = "linux")) { Some("/proc/self/exe") } else { None };

/// The agent of these settings, at work in `workspace`.
pub fn agent(
    settings: &Settings,
    model: &Choice,
    workspace: PathBuf,
    state: Option<&State>,
) -> Result<ToolAgent, String> {
    let shown = workspace.display().to_string();
    // A key is withheld from tools even where no model is asked that it is for.
    let private_env = settings.api_key_env.clone().unwrap_or_else(|| OPENAI_KEY.to_owned());
    let keys = settings.keys.clone();
    let agent_settings = AgentSettings {
        workspace,
        allow_outside: settings.allow_outside,
        launcher: LAUNCHER.map(PathBuf::from),
        sandbox: settings.sandbox,
        cgroup: settings.cgroup,
        tool_network: settings.tool_network,
        approve: settings.approve,
        instructions: settings.instructions.clone(),
        context_tokens: settings.context_tokens,
        private: state.map(|state| state.dir().to_owned()).into_iter().chain(keys).collect(),
        private_env: vec![private_env],
    };
    ToolAgent::new(open(model)?, agent_settings)
        .map_err(|error| format!("Could not work in {shown}: {error}. Choose another --workspace."))
}

/// The agent of a run in this process: it works where the user is. Where its commands are less
/// confined than asked for, it says so.
pub fn local_agent(settings: &Settings, model: &Choice, env: &Env) -> Result<ToolAgent, String> {
    let workspace = settings.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
    let state = State::locate(settings.state.as_deref(), env).ok();
    let agent = agent(settings, model, workspace, state.as_ref())?;
    let about = agent.about();
    let falls_short = about.confinement.is_some_and(|here| {
        settings.sandbox && here.landlock_abi == 0 || !settings.tool_network && here.network
    });
    for warning in about.warnings.iter().filter(|_| falls_short) {
        log::warn!("{warning}");
    }
    Ok(agent)
}

/// What must not show in the events of a run in this process.
pub fn secrets(settings: &Settings, model: &Choice, env: &Env) -> Secrets {
    let state = State::locate(settings.state.as_deref(), env).ok();
    // A key file that cannot be read here cannot be read by the agent either.
    let kept = state.and_then(|state| state.read_key().ok().flatten()).map(|key| key.text);
    let given = settings.config.key.clone();
    let further = KeysFile::locate(settings, env).ok().and_then(|file| file.read().ok());
    let further = further.into_iter().flatten().map(|key| key.secret);
    let one_each = [kept, given, model.api_key().map(str::to_owned)];
    Secrets::new(one_each.into_iter().flatten().chain(further))
}

/// How this program prints the key that lies in the same state directory, as a shell would have it.
pub fn key_command(settings: &Settings) -> String {
    let name = std::env::args().next().unwrap_or_else(|| "runwire".to_owned());
    let state = settings.state.as_ref().map(|dir| dir.display().to_string());
    let state = state.map(|dir| format!(" --state {}", quoted(&dir))).unwrap_or_default();
    format!("{} key{state}", quoted(&name))
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(feature = "llm")]
fn open(model: &Choice) -> Result<Box<dyn Model>, String> {
    use runwire::agent::model::openai::{OpenAi, OpenAiSettings};
    match model {
        Choice::Builtin => Ok(Box::new(Builtin)),
        Choice::Remote { base_url, model, api_key, timeout, .. } => {
            let mut settings = OpenAiSettings::new(base_url, model);
            settings.api_key = api_key.clone();
            settings.timeout = *timeout;
            Ok(Box::new(OpenAi::new(settings)?))
        }
    }
}

#[cfg(not(feature = "llm"))]
fn open(model: &Choice) -> Result<Box<dyn Model>, String> {
    match model {
        Choice::Builtin => Ok(Box::new(Builtin)),
        Choice::Remote { .. } => {
            Err("This runwire is built without a model client: build it with \
             the feature `llm`, or leave --model out."
                .to_owned())
        }
    }
}
