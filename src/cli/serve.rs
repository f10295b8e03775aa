//! `runwire serve`: the server, what it says at its start, and how it is told to end.
use super::args::Serve;
use super::env::Env;
use super::model::Choice;
use super::settings::{Settings, StoreKind};
use super::state::State;
use super::{setup, signals, store};
use runwire::config::{Config, Retain};
use runwire::record::Fault;
use runwire::{Agent, Server};
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Serves until a signal ends it. Returns the exit code.
pub fn serve(serve: Serve, env: &Env) -> Result<u8, String> {
    let Serve { settings, model } = serve;
    let mut config = settings.config.clone();
    let state = State::locate(settings.state.as_deref(), env);
    let (key, mut warnings) = match config.key {
        Some(_) => (KeyNote::Given, Vec::new()),
        None => {
            let key = state.as_ref().map_err(String::clone)?.key()?;
            config.key = Some(key.text.clone());
            let note = if key.is_new { KeyNote::New(key.text) } else { KeyNote::Kept };
            (note, Vec::from_iter(key.warning))
        }
    };
    let workspace = match &settings.workspace {
        Some(workspace) => workspace.clone(),
        None => state.as_ref().map_err(String::clone)?.workspace()?,
    };
    let kept = store::open(settings.store, state.as_ref().map_err(String::clone))?;
    warnings.extend(kept.notes);
    warnings.extend(without_effect(&settings));
    let agent = setup::agent(&settings, &model, workspace.clone(), state.as_ref().ok())?;
    config.secrets.extend(model.api_key().map(str::to_owned));
    warnings.extend(agent.about().warnings);
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
    let handle = server.handle();
    let mut notes = [
        format!("Stopping: working runs have {} s to finish.", drain.as_secs_f64()),
        "Stopping now: working runs are ended. A third signal leaves them behind.".to_owned(),
    ]
    .into_iter();
    signals::watch(notes.len(), move || {
        say(&(notes.next().unwrap_or_default() + "\n"));
        handle.drain();
    })
    .map_err(|error| format!("Could not watch for signals: {error}."))?;
    say(&greeting(&Greeting {
        addr,
        key,
        model: &model,
        workspace: &workspace.display().to_string(),
        store: &kept.place,
        warnings: &warnings,
        key_command: &setup::key_command(&settings),
    }));
    server.run().map_err(|error| failed(&error))?;
    Ok(0)
}

/// What is known of the key when the server starts.
enum KeyNote {
    /// Made just now, so this is the time to show it.
    New(String),
    Kept,
    /// By flag or variable: whoever gave it knows it.
    Given,
}

struct Greeting<'a> {
    addr: SocketAddr,
    key: KeyNote,
    model: &'a Choice,
    workspace: &'a str,
    store: &'a str,
    warnings: &'a [String],
    key_command: &'a str,
}

fn greeting(it: &Greeting<'_>) -> String {
    let url = format!("http://{}", reachable(it.addr));
    let key_command = it.key_command;
    let (key, bearer) = match &it.key {
        KeyNote::New(key) => (
            format!(
                "{url}/#key={key}\n           (shown this once; `{key_command}` prints it again)"
            ),
            format!("$({key_command})"),
        ),
        KeyNote::Kept => (
            format!("the one made earlier; `{key_command}` prints it"),
            format!("$({key_command})"),
        ),
        KeyNote::Given => {
            ("the one given by --key or variable".to_owned(), "PUT_IT_HERE".to_owned())
        }
    };
    let warnings: String =
        it.warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
    format!(
        "runwire {version} listens on {url}\n\
         Key:       {key}\n\
         Model:     {model}\n\
         Workspace: {workspace}\n\
         Store:     {store}\n\
         {warnings}\
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
    )
}

/// Where a client on this machine finds the server.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// A connection is a descriptor, and shells hand out few: takes as many as this process may have.
#[cfg(feature = "sys")]
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(2 * runwire::limits::CONNS_MAX as u64);
    if current.is_some_and(|current| current < wanted) {
        // A system that says no leaves the limit as it was, and accepting pauses there.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
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

fn say(text: &str) {
    // A server whose standard error is closed still serves.
    let _ = io::stderr().write_all(text.as_bytes());
}
