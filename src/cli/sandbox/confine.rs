//! The rules a command lives under, for itself and all it starts: Landlock's, and no privilege.
//!
//! Landlock can only open, and opens a folder with all below it. So where something is to stay
//! closed, what lies beside it is opened piece by piece, on every level from the root down. The
//! names in closed folders can still be listed, since `ls /` should work; their files cannot be
//! opened.
use super::Plan;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use runwire::agent::cgroup;
use runwire::limits::SANDBOX_PATHS_MAX;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What is asked of the kernel; an older one enforces what it knows of it.
const KNOWN: ABI = ABI::V9;
/// The devices a command may use, and may write to. All others stay closed: disks and memory hold
/// every secret, a terminal obeys what is written to it.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Puts this process under the plan's rules for good. Returns the version of Landlock in force,
/// 0 where there is none.
pub fn confine(plan: &Plan) -> io::Result<u32> {
    restrict(plan).map_err(|why| io::Error::other(format!("it could not be confined: {why}")))
}

/// As root: keeps nothing but the right to use files of other users, within the rules.
pub fn drop_capabilities() -> io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::DAC_OVERRIDE;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: none };
    // An exec as root gives nothing back: no new privileges.
    Ok(set_capabilities(None, sets)?)
}

fn restrict(plan: &Plan) -> Result<u32, RulesetError> {
    let everything = AccessFs::from_all(KNOWN);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(everything)?
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    if plan.no_network {
        rules = rules.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    let mut open = Openings { rules: Some(rules.create()?), left: SANDBOX_PATHS_MAX };
    let elsewhere = match plan.write_everywhere {
        true => everything,
        false => AccessFs::from_read(KNOWN),
    };
    open.path(Path::new("/"), AccessFs::ReadDir.into())?;
    // What was allowed for this command alone. What may be written there may not be read for that:
    // a home in which a file is made holds keys as well.
    for (paths, access) in
        [(&plan.writes, AccessFs::from_write(KNOWN)), (&plan.reads, AccessFs::from_read(KNOWN))]
    {
        for allowed in paths {
            open.path(allowed, access)?;
        }
    }
    let mut closed = plan.secrets.clone();
    closed.push(PathBuf::from("/dev"));
    if plan.write_everywhere {
        // Who may write there can leave its group.
        for groups in cgroup::mounts() {
            open.path(&groups, AccessFs::from_read(KNOWN))?;
            closed.push(groups);
        }
    }
    open.beneath(Path::new("/"), &closed, elsewhere)?;
    for device in DEVICES {
        open.path(Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for own in plan.workspace.iter().chain(&plan.temporary) {
        let inside = |secret: &&PathBuf| secret.starts_with(own) && *secret != own;
        let closed: Vec<PathBuf> = plan.secrets.iter().filter(inside).cloned().collect();
        open.beneath(own, &closed, everything)?;
    }
    let rules = open.rules.expect("every rule puts the rules back");
    let status = rules.no_new_privs(true).restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        _ => 0,
    })
}

/// Rules in the making.
struct Openings {
    /// `None` only while a rule is being added.
    rules: Option<RulesetCreated>,
    /// Paths that may still be opened.
    left: usize,
}

impl Openings {
    /// Opens one path and all below it, if it is there.
    fn path(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        match hold(CWD, path) {
            Some(held) => self.add(held, access),
            None => Ok(()),
        }
    }

    /// Opens `top` and all below it but what is closed.
    fn beneath<'a>(
        &mut self,
        top: &Path,
        closed: &'a [PathBuf],
        access: BitFlags<AccessFs>,
    ) -> Result<(), RulesetError> {
        let Some(held) = hold(CWD, top) else { return Ok(()) };
        let within = |path: &Path, closed: &[&'a Path]| -> Vec<&'a Path> {
            closed.iter().copied().filter(|closed| closed.starts_with(path)).collect()
        };
        let closed: Vec<&Path> = closed.iter().map(PathBuf::as_path).collect();
        let mut waiting = vec![(top.to_owned(), held, within(top, &closed))];
        while let Some((path, held, closed)) = waiting.pop() {
            if closed.is_empty() {
                self.add(held, access)?;
                continue;
            }
            if closed.contains(&path.as_path()) {
                continue;
            }
            // What cannot be listed cannot be opened either.
            for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                // Held without following links: what a link leads to is opened where it lies.
                if let Some(child) = hold(&held, Path::new(&entry.file_name())) {
                    let path = path.join(entry.file_name());
                    let closed = within(&path, &closed);
                    waiting.push((path, child, closed));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, held: OwnedFd, access: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
        self.left = left;
        let kind = fstat(&held).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let access = match kind {
            Ok(FileType::Directory) => access,
            Ok(FileType::Symlink) | Err(_) => return Ok(()),
            Ok(_) => access & AccessFs::from_file(KNOWN),
        };
        let rules = self.rules.take().expect("every rule puts the rules back");
        self.rules = Some(rules.add_rule(PathBeneath::new(held, access))?);
        Ok(())
    }
}

fn hold(from: impl std::os::fd::AsFd, path: &Path) -> Option<OwnedFd> {
    openat(from, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()
}
