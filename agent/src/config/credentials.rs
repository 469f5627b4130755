//! `[sink.*.credentials]`: who we are to an object store.

use std::path::PathBuf;

use super::device::DeviceConfig;
use super::section::{Fit, Misfit, Section};
use super::tls::{self, TlsConfig};
use super::value::{choice, expanded, file, text};

/// `[sink.*.credentials]`
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `AWS_ACCESS_KEY_ID` and friends.
    Env,
    /// An AWS shared credentials file.
    File {
        /// The file.
        path: PathBuf,
        /// Its section.
        profile: String,
    },
    /// A key id, and the file that holds its secret.
    Static {
        /// The key id.
        access_key_id: String,
        /// The file with the secret.
        secret_access_key_file: PathBuf,
    },
    /// The AWS IoT credentials provider.
    Iot(Box<IotCredentials>),
}

/// `type = "iot"`: a certificate is shown and keys that last for an hour are given for it.
#[derive(Debug, Clone)]
pub struct IotCredentials {
    /// Host name of the provider.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Which role.
    pub role_alias: String,
    /// The thing that the certificate is attached to.
    pub thing: String,
    /// Our certificate, and whom we trust.
    pub tls: TlsConfig,
}

/// The section of a shared file that is meant where none is named.
pub const PROFILE_DEFAULT: &str = "default";

#[derive(Clone, Copy)]
enum Type {
    Env,
    File,
    Static,
    Iot,
}

const TYPE: &[(&str, Type)] = &[("env", Type::Env), ("file", Type::File), ("static", Type::Static), ("iot", Type::Iot)];

/// `CreateRoleAlias` and `CreateThing` of the AWS IoT API: the longest names.
const NAME_BYTES_MAX: usize = 128;
/// `aws iot describe-endpoint --endpoint-type iot:CredentialProvider`
const EXAMPLE: &str = "endpoint = \"<prefix>.credentials.iot.<region>.amazonaws.com\"";

/// Reads `[sink.*.credentials]`.
pub(super) fn read(section: &Section<'_>, device: &DeviceConfig) -> Option<Credentials> {
    let credentials = match section.require("type", choice(TYPE))? {
        Type::Env => Some(Credentials::Env),
        Type::File => {
            let profile = section.get("profile", text).unwrap_or_else(|| PROFILE_DEFAULT.to_owned());
            section.require("path", file(device)).map(|path| Credentials::File { path, profile })
        }
        Type::Static => {
            let access_key_id = section.require("access_key_id", text);
            let secret_access_key_file = section.require("secret_access_key_file", file(device));
            Some(Credentials::Static { access_key_id: access_key_id?, secret_access_key_file: secret_access_key_file? })
        }
        Type::Iot => read_iot(section, device).map(|iot| Credentials::Iot(Box::new(iot))),
    };
    section.finish();
    credentials
}

fn read_iot(section: &Section<'_>, device: &DeviceConfig) -> Option<IotCredentials> {
    let endpoint = section.require("endpoint", |node| endpoint(&expanded(device)(node)?));
    // "Valid characters include letters, numbers, and the _ , = , @ , and - characters." Of a thing: `[a-zA-Z0-9:_-]+`.
    let role_alias = section.require("role_alias", |node| name(expanded(device)(node)?, "_,=@-"));
    let thing = section.get("thing", |node| name(expanded(device)(node)?, ":_-"));
    let tls = tls::read_files(section, device);
    if tls.identity.is_none() && !section.has("cert") && !section.has("key") {
        section.refuse("", Misfit::new("`cert` and `key` are missing: they are what credentials are given for"));
    }
    let (host, port) = endpoint?;
    tls.identity.as_ref()?;
    Some(IotCredentials {
        host,
        port,
        role_alias: role_alias?,
        thing: thing.unwrap_or_else(|| device.id.to_string()),
        tls,
    })
}

fn endpoint(text: &str) -> Fit<(String, u16)> {
    let misfit = || Misfit::new(format!("\"{text}\" is no host, and no host:port")).help(EXAMPLE);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().map_err(|_| misfit())?),
        _ => (text, 443),
    };
    let host = host.trim_matches(['[', ']']);
    let is_host = !host.is_empty() && !host.contains(['/', '@', ' ']);
    if is_host { Ok((host.to_owned(), port)) } else { Err(misfit()) }
}

fn name(text: String, marks: &str) -> Fit<String> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c));
    if is_name {
        return Ok(text);
    }
    Err(Misfit::new(format!("a name there has 1 to {NAME_BYTES_MAX} of letters, digits and {marks}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_or_without_a_port() {
        let aws = "c1.credentials.iot.eu-west-1.amazonaws.com";
        assert_eq!(endpoint(aws).ok(), Some((aws.to_owned(), 443)));
        assert_eq!(endpoint("localhost:8443").ok(), Some(("localhost".to_owned(), 8443)));
        for bad in ["https://host", "host/", "", ":1", "host:x"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_hold_what_aws_lets_them_hold() {
        assert!(name("edge_Alias=1,@-".to_owned(), "_,=@-").is_ok());
        for bad in ["", "a/b", "a b", "a?b"] {
            assert!(name(bad.to_owned(), "_,=@-").is_err(), "{bad}");
        }
    }
}
