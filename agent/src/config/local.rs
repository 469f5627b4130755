//! `[local]`: how the agent is asked on the spot: the control socket, and the web page where one is wanted.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::device::DeviceConfig;
use super::node::Node;
use super::section::{Fit, Misfit, Section};
use super::value::{expanded, file, list, text};

/// `[local]`
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The control socket, mode 0660.
    pub socket: PathBuf,
    /// The web page; none: no port is opened.
    pub web: Option<WebConfig>,
}

/// The web page, with `/metrics` and `/healthz`.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Where it listens. Beyond loopback there is a token.
    pub listen: SocketAddr,
    /// Names, beside its addresses, under which it may be asked for.
    pub hosts: Vec<String>,
    /// The file with the token that whoever asks must show.
    pub token_file: Option<PathBuf>,
}

const SOCKET_DEFAULT: &str = "/run/tidegate/tidegate.sock";

/// A shorter token can be guessed over a network.
const TOKEN_CHARS_MIN: usize = 16;
/// A longer one is no token.
const TOKEN_BYTES_MAX: u64 = 512;
/// Names that a page may be asked for under.
const HOSTS_MAX: usize = 16;

/// A token file that has no token in it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can not be read.
    #[error("can not read web_token_file {path}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can be guessed, or does not fit into a header.
    #[error(
        "the token in {0} must be one line of at least {TOKEN_CHARS_MIN} and at most {TOKEN_BYTES_MAX} letters, digits and \
         signs, without spaces: `openssl rand -hex 24` makes one"
    )]
    Unfit(PathBuf),
}

/// Reads a token; white space around it is no part of it.
pub fn read_token(path: &Path) -> Result<String, TokenError> {
    let unread = |source| TokenError::Unread { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    // Two for the end of the line.
    let opened = File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX + 3).read_to_end(&mut bytes));
    opened.map_err(unread)?;
    let token = bytes.trim_ascii();
    let fits = (TOKEN_CHARS_MIN as u64..=TOKEN_BYTES_MAX).contains(&(token.len() as u64));
    match std::str::from_utf8(token) {
        Ok(text) if fits && token.iter().all(u8::is_ascii_graphic) => Ok(text.to_owned()),
        _ => Err(TokenError::Unfit(path.to_path_buf())),
    }
}

pub(super) fn read(root: &Section<'_>, device: &DeviceConfig) -> LocalConfig {
    let Some(section) = root.section("local") else { return LocalConfig { socket: SOCKET_DEFAULT.into(), web: None } };
    let socket = section.get("socket", expanded(device)).map_or_else(|| SOCKET_DEFAULT.into(), PathBuf::from);
    let listen = section.get("web", address).flatten();
    let token_file = section.get("web_token_file", |node| token(device, node));
    let hosts = section.get("web_hosts", hosts).unwrap_or_default();
    if let Some(listen) = listen
        && !listen.ip().is_loopback()
        && !section.has("web_token_file")
    {
        let words = format!("{} is beyond loopback: that needs a token", listen.ip());
        let help = "local.web_token_file = \"/etc/tidegate/web.token\", or web = \"127.0.0.1:8480\" and `ssh -L`";
        section.refuse("web", Misfit::new(words).help(help));
    }
    section.finish();
    LocalConfig { socket, web: listen.map(|listen| WebConfig { listen, hosts, token_file }) }
}

/// Where to listen; `off`: nowhere.
fn address(node: &Node) -> Fit<Option<SocketAddr>> {
    let written = text(node)?;
    if node.at.is_afar() {
        return Err(Misfit::new("no port can be opened from afar"));
    }
    if written == "off" {
        return Ok(None);
    }
    match written.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(Some(address)),
        _ => Err(Misfit::new(format!("\"{written}\" is no address with a port"))
            .help("\"off\", \"127.0.0.1:8480\" or \"[::1]:8480\"")),
    }
}

/// The file is read again when the page is opened: what can not be read now (a check by somebody who may not) is no problem.
fn token(device: &DeviceConfig, node: &Node) -> Fit<PathBuf> {
    let path = file(device)(node)?;
    match read_token(&path) {
        Err(unfit @ TokenError::Unfit(_)) => Err(Misfit::new(unfit.to_string())),
        _ => Ok(path),
    }
}

fn hosts(node: &Node) -> Fit<Vec<String>> {
    let name = |node: &Node| {
        let written = text(node)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        // A colon is an IPv6 address's; `pond.local:8480` is a name with a port.
        let has_port = written.contains(':') && written.parse::<std::net::Ipv6Addr>().is_err();
        if written.is_empty() || written.len() > 253 || has_port || !written.chars().all(is_name) {
            return Err(Misfit::new(format!("\"{written}\" is no host's name")).help("\"pond.local\", without a port"));
        }
        Ok(written.to_ascii_lowercase())
    };
    let names = list(name)(node)?;
    if names.len() > HOSTS_MAX {
        return Err(Misfit::new(format!("at most {HOSTS_MAX} names")));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_long_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (text, is_token) in [
            ("0123456789abcdef\n", true),
            ("  0123456789abcdef\r\n", true),
            ("0123456789abcde\n", false),
            ("", false),
            ("\n", false),
            ("0123456789 abcdefgh", false),
            ("0123456789abcdefé", false),
            (&"a".repeat(512), true),
            (&"a".repeat(513), false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_token(&path).ok().as_deref(), is_token.then(|| text.trim()), "{text:?}");
        }
        assert!(matches!(read_token(&dir.path().join("none")), Err(TokenError::Unread { .. })));
    }
}
