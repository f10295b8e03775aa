//! Webhooks: who is told of what, where, and which addresses that may be.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Bytes of a webhook's address.
pub const HOOK_URL_BYTES_MAX: usize = 2048;
/// The events a webhook can be told of, in the order of `Webhook::events`.
pub const HOOK_EVENTS: [&str; 5] =
    ["run.completed", "run.failed", "run.cancelled", "run.interrupted", "approval.request"];

/// The server's settings for webhooks; without them there are none.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// What signs deliveries: the bytes of `whsec_` secrets, 1 or more. Each makes a signature of
    /// its own, so that a secret can be changed while receivers still know the other one.
    pub secrets: Vec<Vec<u8>>,
    /// Told of all runs, beside what a run asks for itself.
    pub all_runs: Option<Webhook>,
    /// True if deliveries may go to this machine and its network, and by `http:`.
    pub allow_private: bool,
    /// The pauses before further tries; after the last of them a delivery is given up. Each is
    /// lengthened by up to a fifth, so that not all come at once.
    pub retries: Vec<Duration>,
}

impl Webhooks {
    /// For no run of itself, to public addresses, with the pauses of the Standard Webhooks
    /// specification's example.
    pub fn new(secret: Vec<u8>) -> Webhooks {
        let (minute, hour) = (60, 3600);
        let retries = [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour]
            .into_iter()
            .chain([20 * hour, 24 * hour]);
        let retries = retries.map(Duration::from_secs).collect();
        Webhooks { secrets: vec![secret], all_runs: None, allow_private: false, retries }
    }
}

/// Where deliveries go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: Box<str>,
    /// A bit for each of `HOOK_EVENTS`.
    events: u8,
}

impl Webhook {
    /// Told of all `HOOK_EVENTS`.
    ///
    /// # Errors
    /// What to change, if this is no address to deliver to.
    pub fn new(url: &str) -> Result<Webhook, &'static str> {
        check_url(url)?;
        Ok(Webhook { url: url.into(), events: (1 << HOOK_EVENTS.len()) - 1 })
    }

    /// Told of these only. `None` unless all are of `HOOK_EVENTS`, and there are any.
    pub fn only<'a>(self, names: impl Iterator<Item = &'a str>) -> Option<Webhook> {
        let mut events = 0;
        for name in names {
            events |= 1 << HOOK_EVENTS.iter().position(|known| *known == name)?;
        }
        (events != 0).then_some(Webhook { events, ..self })
    }

    pub fn wants(&self, event: &str) -> bool {
        HOOK_EVENTS
            .iter()
            .position(|known| *known == event)
            .is_some_and(|at| self.events >> at & 1 == 1)
    }

    pub fn events(&self) -> impl Iterator<Item = &'static str> {
        HOOK_EVENTS.into_iter().filter(|name| self.wants(name))
    }

    /// # Errors
    /// What to change, if the server's settings do not let deliveries go there. What a name stands
    /// for is seen only when it is looked up.
    pub fn check_allowed(&self, allow_private: bool) -> Result<(), &'static str> {
        if allow_private {
            return Ok(());
        }
        if !self.url.starts_with("https://") {
            return Err("must begin with https:// (the server has no --webhook-allow-private)");
        }
        match host(&self.url).trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(ip) if !is_public(ip) => {
                Err("must be a public address (the server has no --webhook-allow-private)")
            }
            _ => Ok(()),
        }
    }
}

/// Scheme, host and port of a checked address: all of it that may be shown.
pub fn hook_origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    &url[..end]
}

fn host(url: &str) -> &str {
    let origin = hook_origin(url);
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    if url.len() > HOOK_URL_BYTES_MAX {
        return Err("must have at most 2048 bytes");
    }
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err("must begin with https://");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['#', '\\', '"', '<', '>'])
    {
        return Err("must be visible ASCII without a fragment: percent-encode the rest");
    }
    if hook_origin(url).contains('@') {
        return Err("must hold no user name or password: the signature says who sends");
    }
    let host = host(url);
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && is_name,
    };
    let origin = hook_origin(url);
    let scheme = if origin.starts_with("https") { "https://" } else { "http://" };
    let rest = &origin[scheme.len() + host.len()..];
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    if !is_host || !rest.is_empty() && !rest.strip_prefix(':').is_some_and(is_port) {
        return Err("must name a host, such as https://example.com/hooks");
    }
    Ok(())
}

/// True if this is an address of the public internet: not of this machine, its network, or a cloud's
/// metadata (RFC 6890 and its successors), however it is wrapped in IPv6.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..128, _)
            | (169, 254, _)
            | (172, 16..32, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // Mapped, compatible (both RFC 4291), translated (RFC 2765).
        (0, 0, 0, 0, 0, 0xffff | 0) | (0, 0, 0, 0, 0xffff, 0) => false,
        // NAT64 (RFC 6052) leads to what it holds; its local prefix (RFC 8215) anywhere.
        (0x64, 0xff9b, 0, 0, 0, 0) => inner(g, h),
        (0x64, 0xff9b, ..) => false,
        // 6to4 (RFC 3056) likewise; Teredo and other protocol assignments (RFC 2928), documentation.
        (0x2002, ..) => inner(b, c),
        (0x2001, 0..0x200 | 0xdb8, ..) | (0x3fff, ..) => false,
        // All that is given out for the world lies in 2000::/3.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_of_this_machine_or_its_network_is_public() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(ip.parse().expect("an address")), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.3.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(is_public(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn an_address_to_deliver_to_has_a_host_and_nothing_secret_in_its_origin() {
        for (url, origin) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example:8443/x?token=1", "https://a.example:8443"),
            ("http://[::1]:80?x", "http://[::1]:80"),
        ] {
            assert!(Webhook::new(url).is_ok(), "{url}");
            assert_eq!(hook_origin(url), origin);
        }
        for url in [
            "",
            "ftp://a",
            "https://",
            "https:///x",
            "https://u:p@a/",
            "https://u@a",
            "https://a b/",
            "https://a/#x",
            "https://a:0/",
            "https://a:99999/",
            "https://a:/",
            "https://[::1/",
            "https://é/",
            "https://a\\@b/",
            "https://[::1]x/",
            "//a",
            "HTTPS://a",
        ] {
            assert!(Webhook::new(url).is_err(), "{url}");
        }
        assert!(Webhook::new(&format!("https://a/{}", "x".repeat(2048))).is_err());
    }

    #[test]
    fn only_public_https_is_allowed_unless_told_otherwise() {
        for url in
            ["http://a.example/", "https://127.0.0.1/", "https://[::1]:1/", "https://[fd00::1]"]
        {
            let webhook = Webhook::new(url).expect("an address");
            assert!(webhook.check_allowed(false).is_err(), "{url}");
            assert_eq!(webhook.check_allowed(true), Ok(()));
        }
        let webhook = Webhook::new("https://1.1.1.1/").expect("an address");
        assert_eq!(webhook.check_allowed(false), Ok(()));
    }
}
