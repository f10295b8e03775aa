//! `runwire serve`: the server, what it says at its start, and how it is told to end.
use super::args::Serve;
use super::env::Env;
use super::keys::Source;
use super::model::Choice;
use super::settings::{Settings, StoreKind};
use super::state::State;
use super::{logger, setup, signals, store};
#[cfg(feature = "webhooks")]
use runwire::config::Webhooks;
use runwire::config::{Config, Confinement, EndedBy, Key, Retain, check_keys};
use runwire::record::Fault;
use runwire::shares::Shares;
use runwire::{Agent, Handle, Server};
use std::io::{self, ErrorKind, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Serves until a signal ends it, with the agent of the settings unless another is given. Returns the
/// exit code.
pub fn serve(serve: Serve, env: &Env, agent: Option<Arc<dyn Agent>>) -> Result<u8, String> {
    let Serve { settings, model } = serve;
    logger::queue().map_err(|error| format!("Could not start a thread for the log: {error}."))?;
    let keys = Source::new(&settings, env);
    let mut config = settings.config.clone();
    config.log_requests |= settings.log_level == log::LevelFilter::Debug;
    let shares = Shares::of(config.memory, config.max_runs, config.max_body);
    let state = State::locate(settings.state.as_deref(), env);
    let (key, mut warnings) = match config.key {
        Some(_) => (KeyNote::Given, Vec::new()),
        None => {
            let key = state.as_ref().map_err(String::clone)?.key()?;
            config.key = Some(key.text.clone());
            let note = match key.is_new {
                true => KeyNote::New(key.text),
                // What is not read from a terminal may be kept in a log.
                false => KeyNote::Kept(io::stderr().is_terminal().then_some(key.text)),
            };
            (note, Vec::from_iter(key.warning))
        }
    };
    config.keys = keys.further()?;
    check_keys(&config.all_keys())
        .map_err(|wrong| format!("The keys do not go together: {wrong}."))?;
    let workspace = match &settings.workspace {
        Some(workspace) => workspace.clone(),
        None => state.as_ref().map_err(String::clone)?.workspace()?,
    };
    let kept = store::open(settings.store, shares.said, state.as_ref().map_err(String::clone))?;
    warnings.extend(kept.notes);
    warnings.extend(without_effect(&settings));
    let agent = match agent {
        Some(agent) => agent,
        None => Arc::new(setup::agent(&settings, &model, workspace.clone(), state.as_ref().ok())?),
    };
    #[cfg(feature = "webhooks")]
    webhooks(&settings, &mut config)?;
    config.secrets.extend(model.api_key().map(str::to_owned));
    let about = agent.about();
    warnings.extend(about.warnings);
    warnings.extend(model.warning());
    warnings.extend(beyond_loopback(&config));
    #[cfg(feature = "sys")]
    raise_descriptors();
    #[cfg(feature = "sqlite")]
    signals::outlive_file_limit()
        .map_err(|error| format!("Could not watch for signals: {error}."))?;
    let asked = config.addr;
    let drain = config.drain;
    let server = Server::with_store(config, agent, kept.store);
    let server = server.map_err(|error| cannot_start(asked, &error))?;
    let addr = server.local_addr().map_err(|error| format!("Could not listen: {error}."))?;
    watch(server.handle(), drain, keys)
        .map_err(|error| format!("Could not watch for signals: {error}."))?;
    let greeting = Greeting {
        addr,
        key,
        model: &model,
        workspace: &workspace.display().to_string(),
        store: &kept.place,
        commands: about.confinement.map(commands),
        memory: shares.note(),
        warnings: &warnings,
        key_command: &setup::key_command(&settings),
    };
    greet(&greeting);
    server.run().map_err(|error| failed(&error))?;
    log::info!(address:% = addr; "server.stopped");
    Ok(0)
}

/// Puts together what was set of webhooks.
#[cfg(feature = "webhooks")]
fn webhooks(settings: &Settings, config: &mut Config) -> Result<(), String> {
    let given = &settings.webhooks;
    let Some(secret) = &given.secret else {
        let wants = given.all_runs.is_some();
        let advice = "--webhook needs --webhook-secret, which signs what it is told: make one with \
                      `echo whsec_$(openssl rand -base64 32)`.";
        return if wants { Err(advice.to_owned()) } else { Ok(()) };
    };
    let mut webhooks = Webhooks::new(Vec::new());
    webhooks.secrets = runwire::wire::webhook::secrets(secret).expect("they were read as such");
    webhooks.allow_private = given.allow_private;
    webhooks.all_runs = given.all_runs.clone();
    let allowed =
        webhooks.all_runs.iter().try_for_each(|it| it.check_allowed(webhooks.allow_private));
    allowed.map_err(|wrong| format!("The address of --webhook {wrong}."))?;
    config.secrets.extend(secret.split_ascii_whitespace().map(str::to_owned));
    config.webhooks = Some(webhooks);
    Ok(())
}

/// Has signals end the server, and have it read its keys again.
fn watch(handle: Handle, drain: Duration, keys: Source) -> io::Result<()> {
    let mut notes = [
        format!("Stopping: working runs have {} s to finish.", drain.as_secs_f64()),
        "Stopping now: working runs are ended. A third signal leaves them behind.".to_owned(),
    ]
    .into_iter();
    let reloading = handle.clone();
    signals::watch_server(
        notes.len(),
        move || {
            say(notes.next().unwrap_or_default() + "\n");
            let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
            log::info!(drain_ms; "server.stopping");
            handle.drain();
        },
        move || reload(&reloading, &keys),
    )
}

/// Has the keys be those that are in the files now.
fn reload(handle: &Handle, source: &Source) {
    let names = |keys: &[Key]| keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ");
    let reloaded = source.read().and_then(|keys| {
        let names = names(&keys);
        handle.reload(keys).map(|()| names)
    });
    match reloaded {
        Ok(names) => {
            say(format!("The keys were read again: {names}.\n"));
            log::info!(keys = names.as_str(); "keys.reloaded");
        }
        Err(error) => {
            say(format!("Warning: the keys stay as they were: {error}\n"));
            log::warn!(error = error.as_str(); "keys.kept");
        }
    }
}

/// What is known of the key when the server starts.
enum KeyNote {
    /// Made just now, so this is the time to show it.
    New(String),
    /// With the key where it may be shown.
    Kept(Option<String>),
    /// By flag or variable: whoever gave it knows it.
    Given,
}

struct Greeting<'a> {
    addr: SocketAddr,
    key: KeyNote,
    model: &'a Choice,
    workspace: &'a str,
    store: &'a str,
    /// How they are confined and ended; `None` where there are none.
    commands: Option<String>,
    /// The budget, and what follows from it.
    memory: Option<String>,
    warnings: &'a [String],
    key_command: &'a str,
}

/// Says what the server begins with: to people with how to use it, in the log without the key.
fn greet(it: &Greeting<'_>) {
    say(greeting(it));
    if logger::is_json() {
        it.warnings.iter().for_each(|warning| log::warn!(message = warning.as_str(); "warning"));
    }
    log::info!(
        version = env!("CARGO_PKG_VERSION"),
        address:% = it.addr,
        model:% = it.model,
        workspace = it.workspace,
        store = it.store;
        "server.started"
    );
}

fn greeting(it: &Greeting<'_>) -> String {
    let url = format!("http://{}", reachable(it.addr));
    let key_command = it.key_command;
    let (link, key) = match &it.key {
        KeyNote::New(key) => (
            format!("{url}/#key={key}"),
            format!("in that link, shown this once; `{key_command}` prints it again"),
        ),
        KeyNote::Kept(Some(key)) => {
            (format!("{url}/#key={key}"), format!("in that link; `{key_command}` prints it"))
        }
        KeyNote::Kept(None) => {
            (format!("{url}/"), format!("the one made earlier; `{key_command}` prints it"))
        }
        KeyNote::Given => (format!("{url}/"), "the one given by --key or variable".to_owned()),
    };
    let bearer = match &it.key {
        KeyNote::Given => "PUT_IT_HERE".to_owned(),
        _ => format!("$({key_command})"),
    };
    let memory = it.memory.as_ref().map(|note| format!("Memory:    {note}\n")).unwrap_or_default();
    let warnings: String =
        it.warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
    format!(
        "runwire {version} listens on {url}\n\
         Open:      {link}\n\
         Key:       {key}\n\
         Model:     {model}\n\
         Workspace: {workspace}\n\
         Store:     {store}\n\
         {commands}{memory}{warnings}\
         Try, in another terminal:\n  \
           KEY={bearer}\n  \
           RUN=$(curl -s {url}/v1/runs -H \"Authorization: Bearer $KEY\" \\\n    \
             -H 'Content-Type: application/json' -d '{{\"input\":\"list files in /tmp\"}}' \\\n    \
             | grep -o 'run_[0-9a-f]\\{{32\\}}' | head -n 1)\n  \
           curl -sN {url}/v1/runs/$RUN/events -H \"Authorization: Bearer $KEY\"\n",
        version = env!("CARGO_PKG_VERSION"),
        model = it.model,
        workspace = it.workspace,
        store = it.store,
        commands = it.commands.as_deref().unwrap_or_default(),
    )
}

fn commands(here: Confinement) -> String {
    let how = if here.landlock_abi > 0 { "confined" } else { "not confined" };
    let by = match here.ended_by {
        EndedBy::Cgroup => "with a cgroup each",
        EndedBy::Supervisor => "by a supervisor",
        EndedBy::ProcessGroup => "by process group",
    };
    format!("Commands:  {how}, ended {by}\n")
}

/// Where a client on this machine finds the server.
pub fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// A connection is a descriptor, and shells hand out few: takes as many as this process may have.
/// Returns how many those are.
#[cfg(feature = "sys")]
pub fn raise_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(2 * runwire::limits::CONNS_MAX as u64);
    if current.is_some_and(|current| current < wanted) {
        // A system that says no leaves the limit as it was, and accepting pauses there.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn beyond_loopback(config: &Config) -> Option<String> {
    (!config.addr.ip().is_loopback()).then(|| {
        format!(
            "{} can be reached by others: whoever has the key can run commands here, and what is \
             sent is not encrypted; put a proxy with TLS in front",
            config.addr
        )
    })
}

fn without_effect(settings: &Settings) -> Option<String> {
    let is_given = settings.config.retain != Retain::default();
    (is_given && settings.store == StoreKind::Memory).then(|| {
        "--retain, --retain-runs and --retain-bytes have no effect with --store memory: a finished \
         run that nobody reads is kept for --orphan-ttl"
            .to_owned()
    })
}

fn cannot_start(addr: SocketAddr, error: &io::Error) -> String {
    if let Some(fault) = fault_in(error) {
        return store::told(fault);
    }
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "something listens there already, perhaps another runwire. Choose another port with \
             --port, or 0 for any free one."
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for the system. Choose another with --port."
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address. Choose another with --host."
        }
        _ => return format!("Could not listen on {addr}: {error}."),
    };
    format!("Could not listen on {addr}: {advice}")
}

fn failed(error: &io::Error) -> String {
    match fault_in(error) {
        Some(fault) => {
            format!("Not all that was said at the end is stored: {}", store::told(fault))
        }
        None => format!("The server failed: {error}."),
    }
}

fn fault_in(error: &io::Error) -> Option<&Fault> {
    error.get_ref()?.downcast_ref()
}

/// For people; a server whose standard error is closed, or read by nobody, still serves.
fn say(text: String) {
    if !logger::is_json() {
        logger::print(text);
    }
}
