//! How a model is reached: the settings, checked, and the HTTP agent they make.
use super::dns::{Dns, Lookup};
use super::transport::Tcp;
use std::net::IpAddr;
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

/// Bytes buffered for each connection, once for TCP and once more for TLS.
const INPUT_BYTES: usize = 16 * 1024;
const OUTPUT_BYTES: usize = 8 * 1024;
const IDLE_CONNECTIONS_MAX: usize = 16;

/// How to reach a model.
#[derive(Clone)]
pub struct OpenAiSettings {
    /// Where the API lives, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The model's name, as its server calls it.
    pub model: String,
    /// The bearer key, if the server wants one. It is never shown.
    pub api_key: Option<String>,
    /// The longest wait for the first token, further tries included, and for each token after it.
    pub timeout: Duration,
    /// Certificates of authorities to trust instead of the public ones, in PEM, as a server of
    /// your own may need.
    pub authorities: Option<Vec<u8>>,
    /// Where host names are looked up.
    pub dns: Dns,
}

impl OpenAiSettings {
    /// No key, a time-out of 120 s, the public authorities, the system's name servers.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> OpenAiSettings {
        OpenAiSettings {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            timeout: Duration::from_secs(120),
            authorities: None,
            dns: Dns::default(),
        }
    }

    /// The base URL without a slash at its end.
    pub(super) fn checked_url(&self) -> Result<String, String> {
        let url = self.base_url.trim().trim_end_matches('/');
        let wrong = |why: &str| Err(format!("--base-url {url:?} {why}"));
        let Ok(uri) = url.parse::<Uri>() else {
            return wrong("is not a URL: it should look like http://127.0.0.1:8080/v1");
        };
        if url.contains('@') {
            // Not shown: it may hold a password.
            return Err("--base-url must not hold a user name or key: use --api-key-env".to_owned());
        }
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return wrong("should begin with http:// or https:// and a host");
        }
        if uri.query().is_some() || url.contains('#') {
            return wrong("should end in /v1, without a query");
        }
        if uri.path() == "/" {
            return wrong("lacks its path, which usually is /v1");
        }
        if url.ends_with("/chat/completions") {
            return wrong("should end before /chat/completions");
        }
        Ok(url.to_owned())
    }

    /// The value of the Authorization header.
    pub(super) fn authorization(&self) -> Result<Option<String>, String> {
        let Some(key) = self.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) else {
            return Ok(None);
        };
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("The model's key holds spaces or characters no key has: \
                        check the variable named by --api-key-env"
                .to_owned());
        }
        Ok(Some(format!("Bearer {key}")))
    }

    /// The agent that makes requests to `url`, with a pool of its own.
    pub(super) fn agent(&self, url: &str) -> Result<Agent, String> {
        let config = Agent::config_builder()
            .user_agent(concat!("runwire/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .input_buffer_size(INPUT_BYTES)
            .output_buffer_size(OUTPUT_BYTES)
            .max_response_header_size(INPUT_BYTES)
            .max_idle_connections(IDLE_CONNECTIONS_MAX)
            .max_idle_connections_per_host(IDLE_CONNECTIONS_MAX)
            .proxy(proxy(url)?)
            .tls_config(
                TlsConfig::builder().root_certs(roots(self.authorities.as_deref())?).build(),
            )
            .build();
        let connector = ().chain(ConnectProxyConnector::default());
        let connector = connector.chain(Tcp).chain(RustlsConnector::default());
        Ok(Agent::with_parts(config, connector, Lookup(self.dns.clone())))
    }
}

/// These authorities, or the public ones.
pub(super) fn roots(pem: Option<&[u8]>) -> Result<RootCerts, String> {
    let Some(pem) = pem else { return Ok(RootCerts::WebPki) };
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("The authorities are not PEM: {error}")),
        }
    }
    if certificates.is_empty() {
        return Err("The authorities hold no certificate".to_owned());
    }
    Ok(certificates.into())
}

/// The environment's proxy. This machine is never reached through one.
fn proxy(url: &str) -> Result<Option<Proxy>, String> {
    let uri: Uri = url.parse().expect("the URL has been checked");
    let host = uri.host().expect("the URL has been checked");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Ok(None);
    }
    let proxy = Proxy::try_from_env().filter(|proxy| !proxy.is_no_proxy(&uri));
    match proxy.as_ref().map(Proxy::protocol) {
        None | Some(ProxyProtocol::Http | ProxyProtocol::Https) => Ok(proxy),
        Some(_) => Err(format!(
            "SOCKS proxies are not supported: name another one, or add {host} to NO_PROXY"
        )),
    }
}
