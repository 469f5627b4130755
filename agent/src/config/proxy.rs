//! `proxy` of a sink: what stands between us and the broker, and lets us through.

use std::path::PathBuf;

use super::device::DeviceConfig;
use super::section::{Fit, Misfit, Section};
use super::value::{expanded, file};

/// `proxy`, `proxy_username`, `proxy_password_file`
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login, with the file that holds the password.
    pub login: Option<(String, PathBuf)>,
}

/// What a proxy speaks. Both resolve the broker's name at the proxy: a site behind one often has no DNS of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP CONNECT.
    Http,
    /// SOCKS version 5.
    Socks5,
}

const EXAMPLE: &str = "http://host:3128 or socks5://host:1080";

/// Reads the three keys.
pub(super) fn read(section: &Section<'_>, device: &DeviceConfig) -> Option<ProxyConfig> {
    let place = section.get("proxy", |node| place(&expanded(device)(node)?));
    let username = section.get("proxy_username", expanded(device));
    let password_file = section.get("proxy_password_file", file(device));
    let login = match (username, password_file) {
        (Some(username), Some(file)) => Some((username, file)),
        (None, None) => None,
        _ => {
            section.refuse("", Misfit::new("`proxy_username` and `proxy_password_file` go together"));
            None
        }
    };
    if login.is_some() && !section.has("proxy") {
        section.refuse("proxy_username", Misfit::new("a login without a `proxy`").help(format!("proxy = {EXAMPLE}")));
    }
    let (kind, host, port) = place?;
    Some(ProxyConfig { kind, host, port, login })
}

fn place(url: &str) -> Fit<(ProxyKind, String, u16)> {
    let (kind, rest) = match url.split_once("://") {
        Some(("http", rest)) => (ProxyKind::Http, rest),
        // The name is resolved at the proxy either way, which is what `socks5h` asks for.
        Some(("socks5" | "socks5h", rest)) => (ProxyKind::Socks5, rest),
        _ => return Err(Misfit::new(format!("\"{url}\" is no proxy's address")).help(EXAMPLE)),
    };
    if rest.contains('@') {
        let help = "use `proxy_username` and `proxy_password_file`";
        return Err(Misfit::new("a login does not stand in the url").help(help));
    }
    // No default: 80, 1080, 3128 and 8080 are all usual, and a wrong guess is found at the pond.
    let Some((host, port)) = rest.trim_end_matches('/').rsplit_once(':') else {
        return Err(Misfit::new(format!("\"{url}\" names no port")).help(EXAMPLE));
    };
    let port = port.parse().map_err(|_| Misfit::new(format!("\"{port}\" is no port")).help(EXAMPLE))?;
    let host = host.trim_matches(['[', ']']);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(Misfit::new(format!("\"{url}\" names no host")).help(EXAMPLE));
    }
    Ok((kind, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_kind_a_host_and_a_port() {
        assert!(matches!(place("http://proxy:3128"), Ok((ProxyKind::Http, host, 3128)) if host == "proxy"));
        assert!(matches!(place("socks5://[::1]:1080/"), Ok((ProxyKind::Socks5, host, 1080)) if host == "::1"));
        assert!(matches!(place("socks5h://10.0.0.1:1080"), Ok((ProxyKind::Socks5, _, 1080))));
        for bad in [
            "proxy:3128",
            "https://proxy:3128",
            "http://proxy",
            "http://me:secret@proxy:3128",
            "http://:1",
            "http://a proxy:1",
            "http://p:x",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
