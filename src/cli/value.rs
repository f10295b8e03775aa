//! What people type for a setting, and how each kind of it is read.
use super::settings::{LogForm, StoreKind};
use runwire::approval::Approve;
use runwire::config::OnOrphan;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value: what help calls it, and what a message says was expected.
#[derive(Debug)]
pub struct Kind {
    /// Stands for the value in help; empty for a switch, which needs none.
    pub meta: &'static str,
    /// Completes the sentence "expected ...", with an example.
    pub expected: &'static str,
    /// True if the value must never be repeated, not even in an error message.
    pub secret: bool,
    /// True if several go with commas between them.
    #[cfg_attr(not(feature = "config"), expect(dead_code, reason = "a file has lists"))]
    pub list: bool,
}

const fn list(meta: &'static str, expected: &'static str) -> Kind {
    Kind { list: true, ..kind(meta, expected) }
}

pub const fn kind(meta: &'static str, expected: &'static str) -> Kind {
    Kind { meta, expected, secret: false, list: false }
}

pub const HOST: Kind = kind("ADDRESS", "an IP address, such as 127.0.0.1 or 0.0.0.0");
pub const PORT: Kind = kind("PORT", "a port from 0 (any free one) to 65535, such as 8642");
pub const KEY: Kind = Kind {
    meta: "KEY",
    expected: "at least 16 characters of visible ASCII, such as the output of `openssl rand -hex 32`",
    secret: true,
    list: false,
};
pub const KEYS: Kind = kind("FILE", "a file, such as ./keys.json");
pub const SCOPES: Kind =
    list("SCOPE,...", "runs:write, runs:read, runs:control or admin, with commas between them");
pub const LIMIT: Kind = kind("COUNT", "a number from 1 to 4294967295, such as 8");
pub const ORIGINS: Kind =
    list("ORIGINS", "origins with commas between them, such as https://app.example.com, or *");
pub const HOSTS: Kind =
    list("NAMES", "host names without port, commas between them, such as agent.example.com");
pub const SIZE: Kind = kind("SIZE", "a number of bytes from 1 on, or with K, M or G, such as 10M");
pub const TIME: Kind = kind("TIME", "a time above zero in ms, s, m, h or d, such as 10s or 5m");
pub const GRACE: Kind = kind("TIME", "a time in ms, s, m, h or d, such as 10s, or 0");
pub const TIME_OR_NONE: Kind =
    kind("TIME", "a time above zero in ms, s, m, h or d, such as 10s or 5m, or none");
pub const AGE: Kind =
    kind("TIME", "a time above zero in ms, s, m, h or d, such as 12h or 30d, or forever");
pub const RUNS: Kind = kind("COUNT", "a number from 1 to 10000, such as 64");
pub const RUNS_OR_ALL: Kind = kind("COUNT", "a number from 1 on, such as 10000, or all");
pub const SIZE_OR_ALL: Kind =
    kind("SIZE", "a number of bytes from 1 on, or with K, M or G, such as 2G, or all");
pub const CALLS_OR_NONE: Kind = kind("COUNT", "a number from 0 on, such as 100, or none");
pub const COUNT_OR_NONE: Kind = kind("COUNT", "a number from 1 on, such as 200000, or none");
pub const SIZE_OR_NONE: Kind =
    kind("SIZE", "a number of bytes from 1 on, or with K, M or G, such as 1M, or none");
pub const MEMORY: Kind =
    kind("SIZE", "a number of bytes from 8M on, or with K, M or G, such as 16M, or none");
pub const QUEUE: Kind = kind("COUNT", "a number from 0 to 1000000, such as 1024");
pub const TURNS: Kind = kind("COUNT", "a number from 1 to 10000, such as 50");
pub const TOKENS: Kind = kind("COUNT", "a number from 256 to 100000000, such as 32768");
pub const ORPHAN: Kind = kind("WHAT", "keep or cancel");
pub const STORE: Kind = kind("WHERE", "sqlite or memory");
pub const DIR: Kind = kind("DIR", "a directory, such as ./work");
pub const FILE: Kind = kind("FILE", "a file to write, such as ./runs.jsonl");
#[cfg(feature = "config")]
pub const CONFIG: Kind = kind("FILE", "a file in TOML, such as ./runwire.toml");
pub const SWITCH: Kind = kind("", "true or false");
pub const ON_OFF: Kind = kind("WHAT", "on or off");
pub const AUTO_OFF: Kind = kind("WHAT", "auto or off");
pub const ALLOW_DENY: Kind = kind("WHAT", "allow or deny");
pub const APPROVE: Kind = kind("WHAT", "never, risky or always");
pub const MODEL: Kind = kind("NAME", "builtin, or a model's name, such as gpt-5-mini");
pub const BASE_URL: Kind =
    kind("URL", "an http or https address that ends in /v1, such as http://127.0.0.1:8080/v1");
pub const SERVER_URL: Kind =
    kind("URL", "the http or https address of a server, such as http://127.0.0.1:8642");
#[cfg(feature = "webhooks")]
pub const HOOK_URL: Kind = Kind {
    meta: "URL",
    expected: "an https address without user name, such as https://example.com/hooks",
    // What follows the host may be as good as a password.
    secret: true,
    list: false,
};
#[cfg(feature = "webhooks")]
pub const HOOK_SECRET: Kind = Kind {
    meta: "SECRET",
    expected: "whsec_ and 24 to 64 bytes in base64, such as `echo whsec_$(openssl rand -base64 32)`; or up to \
               4 of them, with spaces between",
    secret: true,
    list: false,
};
pub const VARIABLE: Kind = kind("VARIABLE", "the name of a variable, such as OPENAI_API_KEY");
pub const TEXT: Kind = kind("TEXT", "text in UTF-8, such as \"Answer briefly.\"");
pub const LOG: Kind = kind("FORM", "text, json or off");
pub const LEVEL: Kind = kind("LEVEL", "off, error, warn, info or debug");

/// A key shorter than this could be guessed.
pub const KEY_BYTES_MIN: usize = 16;

/// One value as it was typed. Each method answers `None` if it cannot be read as that kind.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a>(pub &'a OsStr);

impl Given<'_> {
    pub fn text(&self) -> Option<&str> {
        self.0.to_str().filter(|text| !text.trim().is_empty())
    }

    #[cfg(feature = "webhooks")]
    pub fn webhook(&self) -> Option<runwire::config::Webhook> {
        runwire::config::Webhook::new(self.text()?).ok()
    }

    #[cfg(feature = "webhooks")]
    pub fn webhook_secret(&self) -> Option<String> {
        let text = self.text()?;
        runwire::wire::webhook::secrets(text).map(|_| text.to_owned())
    }

    pub fn path(&self) -> Option<PathBuf> {
        Some(PathBuf::from(self.0)).filter(|path| !path.as_os_str().is_empty())
    }

    /// `localhost` is taken at its word, so that no resolver need be asked.
    pub fn host(&self) -> Option<IpAddr> {
        match self.text()? {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            text => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
        }
    }

    pub fn port(&self) -> Option<u16> {
        number(self.text()?)?.try_into().ok()
    }

    pub fn count(&self, range: RangeInclusive<u64>) -> Option<usize> {
        let count = number(self.text()?).filter(|count| range.contains(count))?;
        count.try_into().ok()
    }

    /// Bytes: K, M and G are powers of 1024.
    pub fn size(&self) -> Option<usize> {
        let text = self.text()?;
        let (digits, unit) = split_unit(text);
        let factor: u64 = match unit {
            "" => 1,
            "K" | "k" => 1 << 10,
            "M" | "m" => 1 << 20,
            "G" | "g" => 1 << 30,
            _ => return None,
        };
        let bytes = number(digits)?.checked_mul(factor).filter(|bytes| *bytes > 0)?;
        bytes.try_into().ok()
    }

    /// `Some(None)` for the word "none".
    pub fn size_or_none(&self) -> Option<Option<usize>> {
        if self.0 == "none" { Some(None) } else { self.size().map(Some) }
    }

    /// A plain number is seconds.
    pub fn grace(&self) -> Option<Duration> {
        let (digits, unit) = split_unit(self.text()?);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number(digits)?.checked_mul(unit_ms).map(Duration::from_millis)
    }

    pub fn time(&self) -> Option<Duration> {
        self.grace().filter(|time| !time.is_zero())
    }

    /// `Some(None)` for the word "none".
    pub fn time_or_none(&self) -> Option<Option<Duration>> {
        if self.0 == "none" { Some(None) } else { self.time().map(Some) }
    }

    /// `Some(None)` for the word "forever".
    pub fn age(&self) -> Option<Option<Duration>> {
        if self.0 == "forever" { Some(None) } else { self.time().map(Some) }
    }

    /// `Some(None)` for the word that means no limit.
    pub fn or(&self, word: &str, read: impl FnOnce(&Self) -> Option<usize>) -> Option<Option<u64>> {
        if self.0 == word { Some(None) } else { Some(Some(read(self)? as u64)) }
    }

    pub fn switch(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// True for "auto".
    pub fn auto(&self) -> Option<bool> {
        match self.text()? {
            "auto" => Some(true),
            "off" => Some(false),
            _ => None,
        }
    }

    pub fn allowed(&self) -> Option<bool> {
        match self.text()? {
            "allow" => Some(true),
            "deny" => Some(false),
            _ => None,
        }
    }

    pub fn approve(&self) -> Option<Approve> {
        match self.text()? {
            "never" => Some(Approve::Never),
            "risky" => Some(Approve::Risky),
            "always" => Some(Approve::Always),
            _ => None,
        }
    }

    pub fn orphan(&self) -> Option<OnOrphan> {
        match self.text()? {
            "keep" => Some(OnOrphan::Keep),
            "cancel" => Some(OnOrphan::Cancel),
            _ => None,
        }
    }

    pub fn store(&self) -> Option<StoreKind> {
        let kinds = [StoreKind::Sqlite, StoreKind::Memory];
        kinds.into_iter().find(|kind| self.0 == kind.name())
    }

    pub fn log_form(&self) -> Option<LogForm> {
        match self.text()? {
            "text" => Some(LogForm::Text),
            "json" => Some(LogForm::Json),
            "off" => Some(LogForm::Off),
            _ => None,
        }
    }

    pub fn level(&self) -> Option<log::LevelFilter> {
        let level: log::LevelFilter = self.text()?.parse().ok()?;
        Some(level).filter(|level| *level < log::LevelFilter::Trace)
    }

    pub fn key(&self) -> Option<String> {
        let key = self.text()?;
        let visible = key.bytes().all(|b| b.is_ascii_graphic());
        (visible && key.len() >= KEY_BYTES_MIN).then(|| key.to_owned())
    }

    pub fn origins(&self) -> Option<Vec<String>> {
        self.list(|origin| {
            origin == "*"
                || split_url(origin).is_some_and(|(_, host, rest)| is_name(host) && rest.is_empty())
        })
    }

    pub fn hosts(&self) -> Option<Vec<String>> {
        self.list(|name| is_name(name) && !has_port(name))
    }

    /// The address without its last slash.
    pub fn base_url(&self) -> Option<String> {
        self.url().filter(|url| url.ends_with("/v1"))
    }

    /// The address without its last slash.
    pub fn url(&self) -> Option<String> {
        let url = self.text()?.trim_end_matches('/');
        let (_, host, rest) = split_url(url)?;
        let plain = url.bytes().all(|b| b.is_ascii_graphic()) && !rest.contains(['?', '#']);
        (is_name(host) && plain).then(|| url.to_owned())
    }

    pub fn variable(&self) -> Option<String> {
        let name = self.text()?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        (name.bytes().all(allowed) && !name.as_bytes()[0].is_ascii_digit()).then(|| name.to_owned())
    }

    fn list(&self, is_good: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let items = self.text()?.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<String> = items.map(str::to_owned).collect();
        (!items.is_empty() && items.iter().all(|item| is_good(item))).then_some(items)
    }
}

/// Scheme, authority and the rest (path, query) of an http or https address.
pub fn split_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    matches!(scheme, "http" | "https").then(|| (scheme, &rest[..end], &rest[end..]))
}

/// True if an http address leads to this machine.
pub fn is_loopback(url: &str) -> bool {
    let Some((_, authority, _)) = split_url(url) else { return false };
    let host = if has_port(authority) {
        authority.rsplit_once(':').map_or("", |(host, _)| host)
    } else {
        authority
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn number(digits: &str) -> Option<u64> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    only_digits.then(|| digits.parse().ok()).flatten()
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    !name.is_empty() && name.bytes().all(allowed)
}

fn has_port(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
}
