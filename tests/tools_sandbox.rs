//! Confined commands: every known way out of the workspace, to a key, and to a life after the
//! command's end. Where the kernel has no Landlock these tests fail; nothing else would tell.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod agent_support;

use agent_support::processes::{means, settings, terminal, tools};
use agent_support::{Dir, call, eventually, read};
use runwire::agent::Settings;
use runwire::agent::tools::Tools;
use runwire::config::EndedBy;
use serde_json::json;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// A state directory with a key and a file outside, beside the workspace.
fn with_outside(dir: &Dir) -> Settings {
    fs::write(dir.path("outside"), "safe").unwrap();
    fs::create_dir(dir.path("state")).unwrap();
    fs::write(dir.path("state/key"), "open sesame").unwrap();
    Settings { private: vec![dir.path("state")], ..settings(dir) }
}

#[test]
fn this_kernel_confines_commands_and_the_tools_say_so() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let confinement = tools.confinement().unwrap();
    assert!(confinement.landlock_abi >= 1, "no Landlock: {confinement:?}");
    assert_eq!((confinement.network, confinement.ended_by), (true, means()));
    let warnings = tools.warnings().join("\n");
    assert!(!warnings.contains("not confined: "), "{warnings}");
    assert!(warnings.contains("modes and times"), "{warnings}");
    let off = Tools::new(&Settings { sandbox: false, ..settings(&dir) }).unwrap();
    assert!(off.warnings().join("\n").contains("not confined: "));
    assert_eq!(off.confinement().unwrap().ended_by, means());
    let without = Tools::new(&Settings { cgroup: false, ..settings(&dir) }).unwrap();
    assert_eq!(without.confinement().unwrap().ended_by, EndedBy::Supervisor);
}

#[test]
fn a_confined_command_works_as_any_other() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let root = tools.workspace().display().to_string();
    assert_eq!(terminal(&tools, "pwd"), Ok(format!("{root}\n[exit code 0]")));
    assert_eq!(terminal(&tools, "echo a >&2; exit 3"), Err("a\n[exit code 3]".into()));
    assert_eq!(terminal(&tools, "kill -9 $$"), Err("[ended by signal 9]".into()));
    assert_eq!(terminal(&tools, "cat"), Ok("[exit code 0]".into()));
    let work = "mkdir -p a/b && echo x >a/b/c && mv a/b/c a/d && ln a/d e && ln -s a/d f && \
                cat e f && rm -r a && ls / >/dev/null && head -c 3 /dev/zero | wc -c && \
                cat /etc/passwd >/dev/null && grep -c . /proc/self/status >/dev/null";
    assert_eq!(terminal(&tools, work), Ok("x\nx\n3\n[exit code 0]".into()));
    let own_ends = "echo a >/dev/stdout; echo b >/dev/stderr; echo c | cat /dev/stdin; bash -c 'cat <(echo d)'";
    assert_eq!(terminal(&tools, own_ends), Ok("a\nb\nc\nd\n[exit code 0]".into()));
    let long = terminal(&tools, &"#".repeat(1 << 20));
    assert!(long.unwrap_err().contains("file"));
    let flood = terminal(&tools, "seq 1 100000").unwrap();
    assert!(flood.ends_with("99999\n100000\n\n[588895 bytes printed in all]\n[exit code 0]"));
}

#[test]
fn no_command_writes_outside_the_workspace() {
    let dir = Dir::new();
    let tools = Tools::new(&with_outside(&dir)).unwrap();
    let outside = dir.path("outside").display().to_string();
    symlink(&outside, dir.inside("link")).unwrap();
    symlink(dir.path(""), dir.inside("folder")).unwrap();
    fs::hard_link(dir.path("outside"), dir.path("twin")).unwrap();
    let exe = env!("CARGO_BIN_EXE_runwire");
    for command in [
        "echo escaped >../outside".to_owned(),
        format!("echo escaped >{outside}"),
        "echo escaped >link".to_owned(),
        "echo escaped >folder/outside".to_owned(),
        format!("echo escaped >/proc/self/root{outside}"),
        format!("echo escaped >/proc/$PPID/root{outside}"),
        "echo escaped >/proc/self/cwd/../outside".to_owned(),
        "ln ../outside hard && echo escaped >hard".to_owned(),
        "mv ../outside here".to_owned(),
        "mv ../state here".to_owned(),
        "cp -l ../outside hard".to_owned(),
        "rm -f ../outside".to_owned(),
        "truncate -s 0 ../outside".to_owned(),
        "echo new >../new".to_owned(),
        "mkdir ../new".to_owned(),
        "ln -s /etc ../new".to_owned(),
        "mkfifo ../new".to_owned(),
        "cp /bin/sh sh && mv sh ../new".to_owned(),
        "mount --bind .. folder".to_owned(),
        "unshare -r -m sh -c 'mount --bind .. /mnt && echo escaped >/mnt/outside'".to_owned(),
        format!("{exe} __sandbox supervise -- 'echo escaped >{outside}'"),
        format!("env -i setsid /bin/sh -c 'echo escaped >{outside}'"),
        "mkdir -p /sys/fs/cgroup/unified/x || mkdir /sys/fs/cgroup/x".to_owned(),
    ] {
        let ended = terminal(&tools, &command);
        assert_eq!(read(dir.path("outside")), "safe", "{command}");
        assert!(!dir.path("new").exists(), "{command}");
        assert!(dir.path("state/key").exists(), "{command}");
        assert!(ended.is_err() || command.contains("supervise"), "{command}: {ended:?}");
    }
}

#[test]
fn a_setuid_program_gives_no_new_privilege() {
    let dir = Dir::new();
    let tools = tools(&dir);
    fs::copy("/usr/bin/id", dir.inside("id")).unwrap();
    fs::set_permissions(dir.inside("id"), fs::Permissions::from_mode(0o4755)).unwrap();
    let shown = terminal(
        &tools,
        "grep NoNewPrivs /proc/self/status; grep CapEff /proc/self/status; ./id -u",
    )
    .unwrap();
    assert!(shown.contains("NoNewPrivs:\t1"), "{shown}");
    let effective = shown.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let beyond = u64::from_str_radix(effective, 16).unwrap() & !2;
    assert_eq!(beyond, 0, "more than CAP_DAC_OVERRIDE: {shown}");
    let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    assert!(shown.contains(&format!("\n{}\n", own.unwrap())), "{shown}");
}

#[test]
fn allow_outside_opens_all_but_the_secrets_for_writing() {
    let dir = Dir::new();
    let open = Settings { allow_outside: true, ..with_outside(&dir) };
    let tools = Tools::new(&open).unwrap();
    terminal(&tools, "echo changed >../outside; echo new >/dev/null").unwrap();
    assert_eq!(read(dir.path("outside")), "changed\n");
    terminal(&tools, "echo changed >../state/key").unwrap_err();
    terminal(&tools, "cat ../state/key").unwrap_err();
    assert_eq!(read(dir.path("state/key")), "open sesame");
}

#[test]
fn no_command_reads_the_servers_key() {
    let dir = Dir::new();
    let tools = Tools::new(&with_outside(&dir)).unwrap();
    let key = dir.path("state/key").display().to_string();
    symlink(&key, dir.inside("link")).unwrap();
    symlink(dir.path("state"), dir.inside("folder")).unwrap();
    let held = fs::File::open(&key).unwrap();
    let (own, number) = (std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
    for command in [
        "cat ../state/key".to_owned(),
        "cat link folder/key".to_owned(),
        format!("cat /proc/self/root{key}"),
        format!("cat /proc/{own}/root{key}"),
        format!("cat /proc/{own}/fd/{number}"),
        format!("cat /proc/{own}/environ"),
        format!("head -c 1 /proc/{own}/mem"),
        "cat /proc/$PPID/environ".to_owned(),
        "ln ../state/key hard && cat hard".to_owned(),
        "cp -r ../state here".to_owned(),
        "mv ../state/key here; cat here".to_owned(),
        "cat /etc/shadow".to_owned(),
    ] {
        let ended = terminal(&tools, &command);
        assert!(
            ended.as_ref().is_err_and(|shown| !shown.contains("sesame")),
            "{command}: {ended:?}"
        );
    }
    assert!(terminal(&tools, "cat ../outside").unwrap().contains("safe"));
}

#[test]
fn a_workspace_inside_the_servers_state_is_open_and_the_rest_is_not() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("state/workspace")).unwrap();
    fs::write(dir.path("state/key"), "open sesame").unwrap();
    let private = vec![dir.path("state")];
    let workspace = dir.path("state/workspace");
    let tools = Tools::new(&Settings { workspace, private, ..settings(&dir) }).unwrap();
    assert_eq!(terminal(&tools, "echo a >a && cat a"), Ok("a\n[exit code 0]".into()));
    assert!(terminal(&tools, "cat ../key").is_err());
    assert!(terminal(&tools, "echo x >../key").is_err());
}

#[test]
fn secrets_inside_the_workspace_stay_closed() {
    let dir = Dir::new();
    dir.file(".state/key", "open sesame");
    dir.file("sub/a", "a");
    let private = vec![dir.inside(".state")];
    let tools = Tools::new(&Settings { private, ..settings(&dir) }).unwrap();
    for command in ["cat .state/key", "mv .state x && cat x/key", "echo x >.state/key"] {
        assert!(terminal(&tools, command).is_err(), "{command}");
    }
    assert_eq!(read(dir.inside(".state/key")), "open sesame");
    assert_eq!(terminal(&tools, "cat sub/a; echo b >sub/a"), Ok("a\n[exit code 0]".into()));
    assert!(tools.warnings().iter().any(|warning| warning.contains("A workspace of its own")));
}

/// Not a test of its own: what `keys_at_home_are_closed` runs, with a home of its own.
#[test]
#[ignore = "run by keys_at_home_are_closed"]
fn reads_keys_at_home() {
    let dir = Dir::new();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let tools = tools(&dir);
    for key in [".ssh/id", ".aws/credentials", ".config/gh/hosts.yml", ".netrc"] {
        fs::create_dir_all(home.join(key).parent().unwrap()).unwrap();
        fs::write(home.join(key), "sesame").unwrap();
        let shown = terminal(&tools, &format!("cat ~/{key}"));
        assert!(shown.as_ref().is_err_and(|why| !why.contains("sesame")), "{key}: {shown:?}");
        let path = home.join(key);
        assert!(call(&tools, "read_file", json!({"path": path})).is_err(), "{key}");
    }
    // A link beside the keys must not open them.
    symlink(home.join(".ssh"), home.join("link")).unwrap();
    fs::write(home.join("notes"), "harmless").unwrap();
    assert!(terminal(&tools, "cat ~/link/id").is_err());
    assert!(terminal(&tools, "cat ~/notes").unwrap().contains("harmless"));
    assert!(!terminal(&tools, "env").unwrap().contains("agent.socket"));
    println!("all closed");
}

#[test]
fn keys_at_home_are_closed() {
    let dir = Dir::new();
    fs::create_dir(dir.path("home")).unwrap();
    let shown = Command::new(std::env::current_exe().unwrap())
        .args(["reads_keys_at_home", "--exact", "--ignored", "--nocapture"])
        .env("HOME", dir.path("home"))
        .env("SSH_AUTH_SOCK", "/tmp/agent.socket")
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success() && out.contains("all closed"), "{out}{err}");
}

#[test]
fn temporary_files_have_a_folder_of_the_commands_own_which_goes_with_it() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let shown = terminal(
        &tools,
        "echo x >$TMPDIR/a && mktemp >/dev/null && stat -c %a $TMPDIR && echo $TMPDIR",
    )
    .unwrap();
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("700"), "{shown}");
    let folder = PathBuf::from(lines.next().unwrap());
    eventually("the temporary folder is gone", || !folder.exists());
    assert!(terminal(&tools, "echo x >/tmp/runwire-test-outside").is_err());
}

#[test]
fn a_command_has_limits() {
    let dir = Dir::new();
    let shown = terminal(&tools(&dir), "ulimit -n; ulimit -c; ulimit -H -f").unwrap();
    assert_eq!(shown, "1024\n0\n4194304\n[exit code 0]");
    let shown = terminal(&tools(&dir), "ulimit -n 4096").unwrap_err();
    assert!(shown.contains("exit code 2"), "{shown}");
}

#[test]
fn no_command_signals_the_server_or_its_supervisor() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    let server = std::process::id();
    for command in [
        format!("kill -9 {server}"),
        format!("kill -0 {server}"),
        format!("kill -9 {}", other.id()),
        "kill -9 $PPID".to_owned(),
        "kill -STOP $PPID".to_owned(),
    ] {
        let ended = terminal(&tools, &command);
        assert!(ended.is_err(), "{command}: {ended:?}");
    }
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    let own = terminal(&tools, "sleep 9 & kill $!; wait $!; echo $?").unwrap();
    assert!(own.contains("143\n"), "{own}");
}

#[test]
fn a_command_that_is_denied_the_network_connects_nowhere() {
    let dir = Dir::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
    let connect = format!("bash -c '{connect}'");
    assert!(terminal(&tools(&dir), &connect).unwrap().contains("connected"));
    let denied = Tools::new(&Settings { tool_network: false, ..settings(&dir) }).unwrap();
    let ended = terminal(&denied, &connect);
    assert!(ended.as_ref().is_err_and(|why| why.contains("ermission denied")), "{ended:?}");
    assert!(!denied.confinement().unwrap().network);
    assert!(denied.warnings().iter().any(|warning| warning.contains("UDP")));
}

#[test]
fn a_process_may_tidy_up_when_its_command_is_stopped() {
    let dir = Dir::new();
    let command = "trap 'echo tidied; exit' TERM; echo begun; while :; do sleep 0.01; done";
    let ends_tidily = || {
        let args = json!({"command": command, "timeout": 1});
        let ended = call(&tools(&dir), "terminal", args).unwrap_err();
        assert!(ended.starts_with("begun\n"), "{ended}");
        ended.contains("tidied\n")
    };
    assert!((0..5).any(|_| ends_tidily()));
}

#[test]
fn commands_leave_no_descriptor_and_no_zombie() {
    let dir = Dir::new();
    let tools = tools(&dir);
    let own = format!(") Z {} ", std::process::id());
    for _ in 0..20 {
        terminal(&tools, "sleep 1000 & true").unwrap();
    }
    eventually("the supervisors are reaped", || {
        let stats = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        stats.filter(|stat| stat.contains(&own)).count() == 0
    });
}

#[test]
fn a_program_that_is_no_launcher_is_refused() {
    let dir = Dir::new();
    for program in ["/bin/true", "/no/such/program"] {
        let wrong = Settings { launcher: Some(program.into()), ..settings(&dir) };
        let why = Tools::new(&wrong).err().unwrap().to_string();
        assert!(why.contains("cannot be the launcher"), "{why}");
    }
}
