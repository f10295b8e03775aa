//! The tool `terminal`: a shell command, its output, and the certain end of its processes.
use super::args::{Args, Field, Kind};
use super::files::Files;
use super::keys;
use super::rules::{self, Scene};
use super::{Need, Tool, ToolCx, Tools};
use crate::limits::{COMMAND_SECONDS, COMMAND_SECONDS_MAX};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

mod group;
mod launcher;
mod output;
mod printed;
mod starter;
mod supervised;

pub(super) use starter::Starter;

use group::End;
use launcher::Launcher;
use output::Output;

pub(super) const TOOL: Tool = Tool {
    name: "terminal",
    description: "Runs a shell command with /bin/sh and shows what it prints and its exit code. \
                  It has no input. When it ends, times out or is stopped, every process it has \
                  started in the background ends with it. It may be confined: then it writes only \
                  in the workspace and in $TMPDIR, which goes with it. Of a long output the head and the tail \
                  are shown, 64 KiB together.",
    main: "command",
    fields: &[
        Field {
            name: "command",
            kind: Kind::Text,
            required: true,
            description: "The command, as for /bin/sh -c.",
        },
        Field {
            name: "workdir",
            kind: Kind::Text,
            required: false,
            description: "The folder to run it in. Default: the workspace.",
        },
        Field {
            name: "timeout",
            kind: Kind::Count,
            required: false,
            description: "Seconds until it is ended, at most 600. Default 120.",
        },
    ],
    is_plain_read: false,
    need,
    run: terminal,
};

fn need(args: &Args, tools: &Tools) -> Option<Need> {
    let folder = folder(args, &tools.files);
    let confinement = tools.starter.confinement();
    let scene = Scene {
        files: &tools.files,
        state: &tools.state,
        keys: &keys::places(),
        folder: folder.clone(),
        is_confined: confinement.landlock_abi > 0,
        no_network: !confinement.network,
    };
    let mut need = rules::need(args.text("command"), &scene)?;
    if folder != tools.files.root() {
        need.command += &format!("\n(in {})", folder.display());
    }
    Some(need)
}

fn folder(args: &Args, files: &Files) -> PathBuf {
    match args.text("workdir") {
        "" => files.root().to_owned(),
        workdir => files.absolute(workdir),
    }
}

fn terminal(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let command = args.text("command");
    if command.contains('\0') {
        return Err("The command contains a NUL character. Write it without.".to_owned());
    }
    let folder = folder(args, cx.files);
    if !folder.is_dir() {
        let shown = folder.display();
        return Err(format!("workdir {shown} is not a folder. Name one that exists."));
    }
    let seconds = args.count("timeout").unwrap_or(COMMAND_SECONDS).clamp(1, COMMAND_SECONDS_MAX);
    let failed = |why: std::io::Error| {
        format!(
            "The command could not be started or watched: {why}. If it is very long, put it \
                 into a file and run that."
        )
    };
    let mut output = Output::default();
    let limit = Duration::from_secs(seconds);
    let environment = environment(cx);
    let starter = cx.starter.widened(cx.widening);
    let ended = starter.run(command, &folder, environment, limit, cx.cancel, &mut output);
    let end = ended.map_err(failed)?;
    let text = output.told();
    match end {
        End::Exited(status) if status.success() => Ok(format!("{text}[exit code 0]")),
        End::Exited(status) => Err(match (status.code(), status.signal()) {
            (Some(code), _) => format!("{text}[exit code {code}]"),
            (None, signal) => format!("{text}[ended by signal {}]", signal.unwrap_or_default()),
        }),
        End::TimedOut => Err(format!(
            "{text}[timed out after {seconds} s; the command and all it had started were ended. \
             Give a longer `timeout` (up to {COMMAND_SECONDS_MAX}) or a faster command.]"
        )),
        End::Stopped => Err(format!("{text}[stopped, as the whole run was]")),
    }
}

/// Variables that lead to programs which act for their caller, outside of its confinement.
const AGENTS: &[&str] =
    &["SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];

/// The server's environment without its settings, its keys, and whatever holds a secret.
fn environment(cx: &ToolCx<'_>) -> Vec<(OsString, OsString)> {
    let is_confined = cx.starter.is_confined() && !cx.widening.is_unconfined();
    let fits = |name: &str, value: &str| {
        let ours = name.starts_with("RUNWIRE_") || name == "API_SERVER_KEY";
        let private = cx.private_env.iter().any(|private| private == name);
        let way_out = is_confined && AGENTS.contains(&name);
        !ours && !private && !way_out && cx.secrets.mask(value) == value
    };
    std::env::vars_os()
        .filter(|(name, value)| fits(&name.to_string_lossy(), &value.to_string_lossy()))
        .collect()
}
