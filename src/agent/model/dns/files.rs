//! The two files that say where names are found: hosts(5) and resolv.conf(5).
use std::net::{IpAddr, Ipv4Addr};

/// Name servers and search domains that are used, of each.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;
const NDOTS_MAX: usize = 15;

/// The addresses a hosts file lists for `name`, IPv4 first.
pub fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = text.lines().filter_map(|line| listed(line, name)).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

fn listed(line: &str, name: &str) -> Option<IpAddr> {
    let mut words = line.split('#').next()?.split_whitespace();
    let ip = words.next()?.parse().ok()?;
    words.any(|word| word.eq_ignore_ascii_case(name)).then_some(ip)
}

/// What resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    pub addrs: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl Servers {
    /// Where the text names no server, the one on this machine is asked.
    pub fn parse(text: &str) -> Servers {
        let mut servers = Servers { addrs: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => servers.addrs.extend(words.next().and_then(address)),
                Some("domain" | "search") => {
                    let domains = words.map(|word| word.trim_matches('.').to_owned());
                    servers.search = domains.filter(|word| !word.is_empty()).collect();
                }
                Some("options") => {
                    let mut ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    servers.ndots = ndots.next_back().unwrap_or(servers.ndots).min(NDOTS_MAX);
                }
                _ => {}
            }
        }
        servers.addrs.truncate(SERVERS_MAX);
        servers.search.truncate(SEARCH_MAX);
        if servers.addrs.is_empty() {
            servers.addrs.push(Ipv4Addr::LOCALHOST.into());
        }
        servers
    }

    /// The full names `host` may stand for, likeliest first.
    pub fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(name) = host.strip_suffix('.') {
            return vec![name.to_owned()];
        }
        let mut names: Vec<String> =
            self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let whole_first = host.matches('.').count() >= self.ndots;
        names.insert(if whole_first { 0 } else { names.len() }, host.to_owned());
        names
    }
}

/// Without its scope: `fe80::1%eth0`.
fn address(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_any_of_their_names_without_regard_to_case() {
        let text =
            "# a comment\n::1 box\n192.0.2.7\tmodel Model.Lan # model2\n192.0.2.8 box\nx y\n";
        assert_eq!(hosts(text, "MODEL.lan"), [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(hosts(text, "box").len(), 2);
        assert!(hosts(text, "box")[0].is_ipv4());
        assert!(hosts(text, "model2").is_empty());
    }

    #[test]
    fn search_domains_are_tried_first_for_short_names_and_last_for_long_ones() {
        let text = "domain old\nsearch a.example. b.example\nnameserver 192.0.2.53\n\
                    nameserver fe80::1%eth0\nnameserver x\noptions ndots:2 rotate\n";
        let servers = Servers::parse(text);
        assert_eq!(servers.addrs.len(), 2);
        assert_eq!(servers.candidates("m"), ["m.a.example", "m.b.example", "m"]);
        assert_eq!(servers.candidates("x.y.z")[0], "x.y.z");
        assert_eq!(servers.candidates("m."), ["m"]);
    }

    #[test]
    fn without_a_name_server_this_machine_is_asked() {
        let servers = Servers::parse("");
        assert_eq!(servers.addrs, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(servers.candidates("m"), ["m"]);
    }
}
