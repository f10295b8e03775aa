//! `runwire db`: a look into a server's file of runs, also into a damaged one.
use super::args::{Act, Db};
use super::env::Env;
use super::shown::{clean, counted};
use super::state::State;
use super::store;
use runwire::store::sqlite::{self, Exported};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Does what was asked for. Returns the exit code; a file that is damaged is an error.
pub fn look_into(db: &Db, env: &Env) -> Result<u8, String> {
    let file = locate(db, env)?;
    match &db.act {
        Act::Check => check(&file),
        Act::Export(None) => print(&file),
        Act::Export(Some(output)) => save(&file, output),
    }
}

/// The file that is meant, which is there.
fn locate(db: &Db, env: &Env) -> Result<PathBuf, String> {
    let chosen = db.place.as_ref().or(db.settings.state.as_ref());
    let file = match chosen {
        Some(path) if path.is_file() => path.clone(),
        chosen => State::locate(chosen.map(PathBuf::as_path), env)?.runs_file(),
    };
    match file.metadata() {
        Ok(_) => Ok(file),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
            "There is no file {}: a server makes it at its first start. Name another as FILE.",
            file.display()
        )),
        Err(error) => Err(format!("Could not open {}: {error}.", file.display())),
    }
}

fn check(file: &Path) -> Result<u8, String> {
    let report = sqlite::check(file).map_err(|fault| store::told(&fault))?;
    let shown = file.display();
    let (runs, rows) = (counted(report.runs, "run"), counted(report.rows, "row"));
    let found = format!("{shown}: {runs}, {rows} of events");
    if report.problems.is_empty() {
        return Ok(super::print(&format!("{found}; nothing is wrong.\n")));
    }
    let mut text: String = report.problems.iter().map(|problem| clean(problem) + "\n").collect();
    text += &format!("{found}; {}.\n", counted(report.problems.len() as u64, "problem"));
    super::print(&text);
    Err(format!("{shown} is damaged: `runwire db export` saves what can be read."))
}

/// Exports to standard output; one that is closed ends the command quietly.
fn print(file: &Path) -> Result<u8, String> {
    let mut out = Outlet { out: io::stdout().lock(), is_closed: false };
    let exported = sqlite::export(file, &mut BufWriter::new(&mut out));
    match exported {
        Err(_) if out.is_closed => Ok(0),
        Err(fault) => Err(store::told(&fault)),
        Ok(exported) => judge(&exported),
    }
}

/// Exports to a new file, which only its owner may read.
fn save(file: &Path, output: &Path) -> Result<u8, String> {
    let failed = |error: &io::Error| format!("Could not write {}: {error}.", output.display());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    let made = made.map_err(|error| failed(&error))?;
    let exported = sqlite::export(file, &mut BufWriter::new(&made)).map_err(|fault| {
        // Half an export must not pass for a whole one; one that stays is at least spoken of.
        let _ = fs::remove_file(output);
        store::told(&fault)
    })?;
    made.sync_all().map_err(|error| failed(&error))?;
    let (runs, events) = (counted(exported.runs, "run"), counted(exported.events, "event"));
    super::print(&format!("{runs} with {events} are in {}.\n", output.display()));
    judge(&exported)
}

fn judge(exported: &Exported) -> Result<u8, String> {
    match (exported.unread_runs, exported.unread_events) {
        (0, 0) => Ok(0),
        (runs, events) => Err(format!(
            "The file is damaged: {} could not be read whole, {} not at all.",
            counted(runs, "run"),
            counted(events, "event")
        )),
    }
}

/// Remembers that nobody reads any more.
struct Outlet<W> {
    out: W,
    is_closed: bool,
}

impl<W: Write> Outlet<W> {
    fn note<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        self.is_closed |= matches!(&done, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        done
    }
}

impl<W: Write> Write for Outlet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}
