//! Who is answered: the right method, a host that is this device, and the token where there is one.
//!
//! A page in a browser may have its name resolved to this device's address after it was loaded (DNS rebinding); its requests
//! then have that name as `Host`. So a request is answered only for an address that it came to, `localhost`, and names that
//! the configuration has. `Origin` is not looked at: nothing is changed here, and no answer may be read by another origin.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST};
use hyper::{HeaderMap, Method, Request, StatusCode};
use ring::hmac;
use ring::rand::SystemRandom;

use crate::config::WebConfig;
use crate::config::local::{TokenError, read_token};

/// Why somebody is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Only GET and HEAD: nothing is changed here.
    Method,
    /// No host, or one that is not this device.
    Host,
    /// No token, or another.
    Token,
}

impl Refusal {
    /// As it is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Token => StatusCode::UNAUTHORIZED,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Refusal::Method => "nothing is changed here: GET and HEAD\n",
            Refusal::Host => "not this device's name: ask for its address, or add the name to local.web_hosts\n",
            Refusal::Token => "a token is wanted: Authorization: Bearer TOKEN, as in local.web_token_file\n",
        }
    }
}

/// What is held against a request.
#[derive(Debug)]
pub struct Guard {
    hosts: Vec<String>,
    token: Option<Proof>,
}

/// By which a token is known without being kept. Comparing takes as long whatever differs.
#[derive(Debug)]
struct Proof {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Proof {
    fn of(token: &str) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the kernel gives random bytes");
        let tag = hmac::sign(&key, token.as_bytes());
        Self { key, tag }
    }

    fn fits(&self, shown: &str) -> bool {
        hmac::verify(&self.key, shown.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl Guard {
    /// Reads the token, where there is to be one.
    pub fn new(config: &WebConfig) -> Result<Self, TokenError> {
        let token = config.token_file.as_deref().map(read_token).transpose()?;
        Ok(Self { hosts: config.hosts.clone(), token: token.as_deref().map(Proof::of) })
    }

    /// Whether a request that came to the address `local` is answered at all.
    pub fn admits<B>(&self, request: &Request<B>, local: IpAddr) -> Result<(), Refusal> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::Method);
        }
        let mut named = request.headers().get_all(HOST).into_iter();
        let host = named.next().and_then(|value| value.to_str().ok()).and_then(host_of);
        // A request for a whole URL names its host twice.
        let whole = request.uri().authority().map(|authority| host_of(authority.as_str()));
        let is_ours = |host: &str| self.is_ours(host, local);
        let fits =
            named.next().is_none() && host.is_some_and(is_ours) && whole.is_none_or(|whole| whole.is_some_and(is_ours));
        if fits { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Whether it shows the token, where one is wanted.
    pub fn knows(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(proof) = &self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            shown.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if token.is_some_and(|(_, token)| proof.fits(token.trim())) { Ok(()) } else { Err(Refusal::Token) }
    }

    fn is_ours(&self, host: &str, local: IpAddr) -> bool {
        let is_named = |host: &str| self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let (address, local) = (address.to_canonical(), local.to_canonical());
                // The far end of `ssh -L` may be the other loopback.
                address == local || (address.is_loopback() && local.is_loopback()) || is_named(host)
            }
            Err(_) => host.eq_ignore_ascii_case("localhost") || is_named(host),
        }
    }
}

/// The name or the address of `name:port` or `[address]:port`.
fn host_of(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    is_port.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(token: Option<&str>) -> Guard {
        Guard { hosts: vec!["pond.local".to_owned(), "203.0.113.9".to_owned()], token: token.map(Proof::of) }
    }

    fn asked(uri: &str, host: &[&str], local: &str) -> Result<(), Refusal> {
        let mut request = Request::get(uri);
        for host in host {
            request = request.header(HOST, *host);
        }
        guard(None).admits(&request.body(()).unwrap(), local.parse().unwrap())
    }

    #[test]
    fn only_this_devices_own_names_are_answered() {
        for (host, local) in [
            ("127.0.0.1:8480", "127.0.0.1"),
            ("localhost:8480", "127.0.0.1"),
            ("LOCALHOST", "127.0.0.1"),
            ("[::1]:8480", "::1"),
            ("[::1]:8480", "127.0.0.1"),
            ("pond.local:80", "192.0.2.7"),
            ("Pond.Local", "192.0.2.7"),
            ("192.0.2.7:8480", "192.0.2.7"),
            ("192.0.2.7:8480", "::ffff:192.0.2.7"),
            ("203.0.113.9", "192.0.2.7"),
        ] {
            assert_eq!(asked("/", &[host], local), Ok(()), "{host} at {local}");
        }
        for (host, local) in [
            ("evil.example", "127.0.0.1"),
            ("evil.example:8480", "127.0.0.1"),
            ("localhost.evil.example", "127.0.0.1"),
            ("pond.local.evil.example", "127.0.0.1"),
            ("pond.local:x", "127.0.0.1"),
            ("192.0.2.8", "192.0.2.7"),
            ("127.0.0.1", "192.0.2.7"),
            ("", "127.0.0.1"),
            ("[::1", "127.0.0.1"),
            ("user@127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(asked("/", &[host], local), Err(Refusal::Host), "{host} at {local}");
        }
        assert_eq!(asked("/", &[], "127.0.0.1"), Err(Refusal::Host));
        assert_eq!(asked("/", &["localhost", "evil.example"], "127.0.0.1"), Err(Refusal::Host));
        assert_eq!(asked("http://evil.example/", &["localhost"], "127.0.0.1"), Err(Refusal::Host));
        assert_eq!(asked("http://localhost:8480/", &["localhost"], "127.0.0.1"), Ok(()));
    }

    #[test]
    fn nothing_is_changed() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT, Method::PATCH] {
            let request = Request::builder().method(method).header(HOST, "localhost").body(()).unwrap();
            assert_eq!(guard(None).admits(&request, "127.0.0.1".parse().unwrap()), Err(Refusal::Method));
        }
    }

    #[test]
    fn the_token_is_the_whole_token() {
        let guard = guard(Some("0123456789abcdef"));
        let shown = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, text.parse().unwrap());
            guard.knows(&headers)
        };
        assert_eq!(shown("Bearer 0123456789abcdef"), Ok(()));
        assert_eq!(shown("bearer  0123456789abcdef"), Ok(()));
        for wrong in
            ["Bearer 0123456789abcde", "Bearer 0123456789abcdeff", "Bearer ", "Basic 0123456789abcdef", "Bearer"]
        {
            assert_eq!(shown(wrong), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(guard.knows(&HeaderMap::new()), Err(Refusal::Token));
        assert!(!format!("{guard:?}").contains("0123456789abcdef"), "it is not kept");
    }
}
