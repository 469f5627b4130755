//! Asking a proxy for the way to the broker: HTTP CONNECT (RFC 9110, section 9.3.6) and SOCKS 5 (RFC 1928, RFC 1929).
//!
//! Both are given the broker's name and resolve it themselves. Nothing of ours is shown to them but the login: TLS is
//! inside the tunnel.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::config::proxy::{ProxyConfig, ProxyKind};

/// The longest head of an answer that is read: proxies add a few hundred bytes about themselves.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// RFC 1928 and 1929 have one byte for the length of a name, a user and a password.
const SOCKS_TEXT_BYTES_MAX: usize = 255;

/// A proxy that does not let us through.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The password file.
    #[error("can not read proxy_password_file {path}")]
    Password {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The connection.
    #[error("it closed the connection or broke it off")]
    Broken(#[from] io::Error),
    /// It wants to know who we are.
    #[error("it wants a login: set `proxy_username` and `proxy_password_file`")]
    LoginWanted,
    /// It does not like who we are.
    #[error("it refuses our login: are `proxy_username` and `proxy_password_file` right?")]
    LoginRefused,
    /// It says no.
    #[error("it does not let us through to {target}: {answer}")]
    Forbidden {
        /// The broker.
        target: String,
        /// Its words.
        answer: String,
    },
    /// It tried.
    #[error("it can not reach {target}: {answer}")]
    Unreachable {
        /// The broker.
        target: String,
        /// Its words.
        answer: String,
    },
    /// Something else listens there.
    #[error("it does not answer as {0} proxies do: are `proxy`'s scheme and port right?")]
    NotAProxy(&'static str),
    /// What SOCKS has no room for.
    #[error("{0} is longer than the 255 bytes that SOCKS has room for")]
    TooLong(&'static str),
}

/// Asks for the way to `host:port`; the stream is the broker's afterwards.
pub async fn ask<S>(stream: &mut S, proxy: &ProxyConfig, host: &str, port: u16) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let login = match &proxy.login {
        None => None,
        // Read each time, so that a changed one needs no restart.
        Some((username, file)) => {
            let password = std::fs::read_to_string(file)
                .map_err(|source| ProxyError::Password { path: file.display().to_string(), source })?;
            Some((username.as_str(), password.trim_end_matches(['\r', '\n']).to_owned()))
        }
    };
    let login = login.as_ref().map(|(username, password)| (*username, password.as_str()));
    match proxy.kind {
        ProxyKind::Http => http_connect(stream, login, host, port).await,
        ProxyKind::Socks5 => socks5(stream, login, host, port).await,
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn http_connect<S>(stream: &mut S, login: Option<(&str, &str)>, host: &str, port: u16) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = authority(host, port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((username, password)) = login {
        // RFC 7617, section 2.
        let credentials = base64(format!("{username}:{password}").as_bytes());
        request.extend(["Proxy-Authorization: Basic ", &credentials, "\r\n"]);
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;

    // Nothing follows the head before we speak: TLS and MQTT both let the client begin. What is buffered is the head.
    let mut lines = BufReader::new(stream.take(HEAD_BYTES_MAX));
    let mut first = Vec::new();
    lines.read_until(b'\n', &mut first).await?;
    let answer = String::from_utf8_lossy(&first).trim().to_owned();
    let Some((_, answer)) = answer.split_once(' ').filter(|_| answer.starts_with("HTTP/1.")) else {
        return Err(if answer.is_empty() {
            io::Error::from(io::ErrorKind::UnexpectedEof).into()
        } else {
            ProxyError::NotAProxy("HTTP")
        });
    };
    let status = answer.split(' ').next().unwrap_or_default();
    let answer = answer.to_owned();
    match status {
        status if status.len() == 3 && status.starts_with('2') => {}
        // tinyproxy has 401 for a login that is wrong.
        "401" | "407" if login.is_some() => return Err(ProxyError::LoginRefused),
        "401" | "407" => return Err(ProxyError::LoginWanted),
        status if status.starts_with('5') => return Err(ProxyError::Unreachable { target, answer }),
        _ => return Err(ProxyError::Forbidden { target, answer }),
    }
    loop {
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).await?;
        match line.as_slice() {
            b"\r\n" | b"\n" => return Ok(()),
            // The end of the stream, or of our patience.
            line if !line.ends_with(b"\n") => return Err(ProxyError::NotAProxy("HTTP")),
            _ => {}
        }
    }
}

const SOCKS_VERSION: u8 = 5;
const SOCKS_NO_LOGIN: u8 = 0;
const SOCKS_LOGIN: u8 = 2;

async fn socks5<S>(stream: &mut S, login: Option<(&str, &str)>, host: &str, port: u16) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // RFC 1928, section 3: version, how many methods, the methods.
    let methods: &[u8] = if login.is_some() { &[SOCKS_NO_LOGIN, SOCKS_LOGIN] } else { &[SOCKS_NO_LOGIN] };
    let count = u8::try_from(methods.len()).expect("one or two");
    stream.write_all(&[&[SOCKS_VERSION, count], methods].concat()).await?;
    let [version, method] = exactly(stream).await?;
    match (version, method, login) {
        (SOCKS_VERSION, SOCKS_NO_LOGIN, _) => {}
        (SOCKS_VERSION, SOCKS_LOGIN, Some(login)) => socks5_login(stream, login).await?,
        (SOCKS_VERSION, _, None) => return Err(ProxyError::LoginWanted),
        (SOCKS_VERSION, _, Some(_)) => return Err(ProxyError::LoginRefused),
        _ => return Err(ProxyError::NotAProxy("SOCKS 5")),
    }

    // Section 4: version, CONNECT, reserved, address, port.
    let mut request = vec![SOCKS_VERSION, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => request.extend([&[1][..], &address.octets()].concat()),
        Ok(IpAddr::V6(address)) => request.extend([&[4][..], &address.octets()].concat()),
        Err(_) => request.extend([&[3][..], &sized(host, "the broker's name")?].concat()),
    }
    request.extend(port.to_be_bytes());
    stream.write_all(&request).await?;

    // Section 6: version, reply, reserved, the address that it uses, which nobody needs.
    let [version, reply, _, kind] = exactly(stream).await?;
    if version != SOCKS_VERSION {
        return Err(ProxyError::NotAProxy("SOCKS 5"));
    }
    if reply != 0 {
        return Err(refused(reply, authority(host, port)));
    }
    match kind {
        1 => exactly::<6, S>(stream).await.map(drop),
        4 => exactly::<18, S>(stream).await.map(drop),
        3 => {
            let [length] = exactly(stream).await?;
            let mut rest = vec![0; usize::from(length) + 2];
            stream.read_exact(&mut rest).await?;
            Ok(())
        }
        _ => Err(ProxyError::NotAProxy("SOCKS 5")),
    }
}

/// RFC 1929, section 2.
async fn socks5_login<S>(stream: &mut S, (username, password): (&str, &str)) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let login = [&[1][..], &sized(username, "proxy_username")?, &sized(password, "the proxy's password")?].concat();
    stream.write_all(&login).await?;
    let [_, status] = exactly(stream).await?;
    if status == 0 { Ok(()) } else { Err(ProxyError::LoginRefused) }
}

/// RFC 1928, section 6: what a reply says.
fn refused(reply: u8, target: String) -> ProxyError {
    let answer = match reply {
        1 => "general failure",
        2 => return ProxyError::Forbidden { target, answer: "its rules forbid it".to_owned() },
        3 => "its network is unreachable",
        4 => "the host is unreachable, or has no such name",
        5 => "the connection is refused",
        6 => "no answer in time",
        7 | 8 => return ProxyError::NotAProxy("SOCKS 5"),
        other => return ProxyError::Unreachable { target, answer: format!("reply {other}") },
    };
    ProxyError::Unreachable { target, answer: answer.to_owned() }
}

fn sized(text: &str, what: &'static str) -> Result<Vec<u8>, ProxyError> {
    match u8::try_from(text.len()) {
        Ok(length) if text.len() <= SOCKS_TEXT_BYTES_MAX => Ok([&[length], text.as_bytes()].concat()),
        _ => Err(ProxyError::TooLong(what)),
    }
}

async fn exactly<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) & 63;
            let is_there = place <= three.len();
            out.push(if is_there { char::from(DIGITS[usize::try_from(digit).expect("below 64")]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn proxy(kind: ProxyKind, login: Option<(String, PathBuf)>) -> ProxyConfig {
        ProxyConfig { kind, host: "proxy".to_owned(), port: 1, login }
    }

    /// Asks a proxy that answers with these bytes, whatever it is asked; gives what it was asked.
    async fn asked(proxy: &ProxyConfig, answers: &[u8]) -> (Result<(), ProxyError>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answers).await.unwrap();
        let result = ask(&mut ours, proxy, "broker.example", 8883).await;
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        (result, heard)
    }

    fn login(dir: &tempfile::TempDir) -> (String, PathBuf) {
        let file = dir.path().join("password");
        std::fs::write(&file, "open sesame\n").unwrap();
        ("pond".to_owned(), file)
    }

    #[tokio::test]
    async fn http_is_asked_in_its_words_and_its_no_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let plain = proxy(ProxyKind::Http, None);
        let (result, heard) = asked(&plain, b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n").await;
        result.unwrap();
        let request = "CONNECT broker.example:8883 HTTP/1.1\r\nHost: broker.example:8883\r\n\r\n";
        assert_eq!(String::from_utf8(heard).unwrap(), request);
        let with_login = proxy(ProxyKind::Http, Some(login(&dir)));
        let (result, heard) = asked(&with_login, b"HTTP/1.1 407 No\r\n\r\n").await;
        assert!(matches!(result, Err(ProxyError::LoginRefused)));
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("\r\nProxy-Authorization: Basic cG9uZDpvcGVuIHNlc2FtZQ==\r\n"), "{heard}");
        for (answer, words) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "wants a login"),
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "does not let us through to broker.example:8883: 403 Forbidden"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "can not reach broker.example:8883: 502 Bad Gateway"),
            (b"220 smtp.example ESMTP\r\n", "does not answer as HTTP proxies do"),
            (b"HTTP/1.1 200 OK\r\nhalf a he", "does not answer as HTTP proxies do"),
        ] {
            let result = cut(&plain, answer).await;
            let said = result.unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    /// The same where the proxy closes behind its answer.
    async fn cut(proxy: &ProxyConfig, answer: &[u8]) -> Result<(), ProxyError> {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        ask(&mut ours, proxy, "broker.example", 8883).await
    }

    #[tokio::test]
    async fn socks_is_asked_byte_by_byte_and_its_no_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let plain = proxy(ProxyKind::Socks5, None);
        let (result, heard) = asked(&plain, b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x00\x00").await;
        result.unwrap();
        assert_eq!(heard, b"\x05\x01\x00\x05\x01\x00\x03\x0ebroker.example\x22\xb3");
        let with_login = proxy(ProxyKind::Socks5, Some(login(&dir)));
        let (result, heard) = asked(&with_login, b"\x05\x02\x01\x00\x05\x00\x00\x03\x01x\x00\x00").await;
        result.unwrap();
        assert!(heard.starts_with(b"\x05\x02\x00\x02\x01\x04pond\x0bopen sesame\x05\x01"), "{heard:?}");
        for (answer, words) in [
            (&b"\x05\xff"[..], "wants a login"),
            (b"\x05\x00\x05\x02\x00\x01", "its rules forbid it"),
            (b"\x05\x00\x05\x05\x00\x01", "can not reach broker.example:8883: the connection is refused"),
            (b"HTTP/1.1 400 Bad Request\r\n", "does not answer as SOCKS 5 proxies do"),
            (b"\x05", "closed the connection"),
        ] {
            let result = cut(&plain, answer).await;
            let said = result.unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        let (result, _) = asked(&with_login, b"\x05\x02\x01\x01").await;
        assert!(matches!(result, Err(ProxyError::LoginRefused)));
    }
}
