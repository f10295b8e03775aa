//! The manual page, in roff: the help of every command and the table of settings.
use super::args::{COMMANDS, Topic};
use super::help;
use super::settings::Setting;
use super::table::SETTINGS;
use std::fmt::Write;

/// The whole page.
pub fn text() -> String {
    let mut page = format!(
        ".TH RUNWIRE 1 \"\" \"runwire {}\" \"User Commands\"\n.SH NAME\n\
         runwire \\- runs AI agents and streams every step they take\n.SH SYNOPSIS\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, _) in COMMANDS {
        write!(page, ".B runwire {name}\n[\\fISETTINGS\\fR]\n.br\n").expect("a String");
    }
    page += ".SH DESCRIPTION\n";
    verbatim(&mut page, &help::text(Topic::All));
    page += ".SH COMMANDS\n";
    for (name, topic) in COMMANDS {
        writeln!(page, ".SS runwire {name}").expect("a String takes any text");
        verbatim(&mut page, help::intro(*topic));
    }
    page += ".SH SETTINGS\n";
    for setting in SETTINGS {
        option(&mut page, setting);
    }
    page += FILES;
    page
}

fn option(page: &mut String, setting: &Setting) {
    let Setting { name, kind, help, default, also, .. } = setting;
    let takers: Vec<&str> = COMMANDS
        .iter()
        .filter(|(_, topic)| !help::intro(*topic).contains("Takes every setting"))
        .filter(|(_, topic)| setting.commands & topic.bit() != 0)
        .map(|(name, _)| *name)
        .collect();
    let (name, help, default) = (escaped(name), escaped(help), escaped(default));
    let meta = kind.meta;
    write!(page, ".TP\n\\fB\\-\\-{name}\\fR \\fI{meta}\\fR\n{help}\n").expect("a String");
    if !setting.is_switch() {
        writeln!(page, "Default: {default}.").expect("a String takes any text");
    }
    let older = also.map(|name| format!(" or {name}")).unwrap_or_default();
    let (takers, variable) = (takers.join(", "), setting.variable());
    writeln!(page, "Variable: {variable}{older}. For {takers}.").expect("a String takes any text");
}

const FILES: &str = "\
.SH FILES
.TP
.I ~/.config/runwire/config.toml
Configuration, if it is there; \\fBrunwire config \\-\\-example\\fR prints one.
.TP
.I ~/.local/state/runwire
State directory: the key, further keys, the stored runs and the server's workspace.
.SH EXIT STATUS
0 done, 1 failed, 2 wrong usage, 130 interrupted.
";

/// Text as it is typed, line by line.
fn verbatim(page: &mut String, text: &str) {
    *page += ".nf\n";
    for line in text.lines() {
        *page += &escaped(line);
        page.push('\n');
    }
    *page += ".fi\n";
}

/// A line that roff takes for text whatever it begins with.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    let text = text.replace('`', "\\(ga").replace('\'', "\\(aq").replace('^', "\\(ha");
    let text = text.replace('~', "\\(ti");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
