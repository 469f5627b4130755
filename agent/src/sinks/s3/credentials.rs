//! Credentials as configured: from the environment, from an AWS shared file, a key id with its secret in a file, or given
//! by the AWS IoT credentials provider. The files are read at each request, so that a rotated secret is used without a
//! restart.

use std::sync::Arc;

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::{Credentials as AwsCredentials, ProvideCredentials};

use super::iot;
use crate::clock::Clock;
use crate::config::credentials::Credentials;
use crate::config::proxy::ProxyConfig;
use crate::telemetry::health::SinkHealth;

/// Largest credentials file.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Provides what the configuration names.
#[derive(Debug)]
pub enum Provider {
    /// What stands on this device.
    Here(Credentials),
    /// What is given for our certificate.
    Iot(Box<iot::Provider>),
}

impl Provider {
    /// A provider for these.
    pub fn new(credentials: Credentials, proxy: Option<ProxyConfig>, clock: &Clock, health: &Arc<SinkHealth>) -> Self {
        match credentials {
            Credentials::Iot(config) => Self::Iot(Box::new(iot::Provider::new(*config, proxy, clock, health))),
            credentials => Self::Here(credentials),
        }
    }

    /// The store does not know them: where others can be had, they are asked for next time.
    pub fn doubt(&self) {
        if let Self::Iot(provider) = self {
            provider.doubt();
        }
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self {
            Self::Here(credentials) => future::ProvideCredentials::ready(load(credentials)),
            Self::Iot(provider) => future::ProvideCredentials::new(provider.provide()),
        }
    }
}

fn load(credentials: &Credentials) -> Result<AwsCredentials, CredentialsError> {
    let (id, secret, token) = match credentials {
        // Not of this device: `Provider::new` has sorted them out.
        Credentials::Iot(_) => return Err(CredentialsError::not_loaded("credentials of the provider are asked for")),
        Credentials::Env => {
            let token = variable("AWS_SESSION_TOKEN").ok();
            (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?, token)
        }
        Credentials::Static { access_key_id, secret_access_key_file } => {
            let secret = read(secret_access_key_file)?.trim().to_owned();
            (access_key_id.clone(), secret, None)
        }
        Credentials::File { path, profile } => {
            let text = read(path)?;
            let value = |key: &str| profile_value(&text, profile, key);
            let missing =
                |key: &str| CredentialsError::not_loaded(format!("{}: no {key} in [{profile}]", path.display()));
            let id = value("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
            let secret = value("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
            (id, secret, value("aws_session_token"))
        }
    };
    Ok(AwsCredentials::new(id, secret, token, None, "tidegate"))
}

fn variable(name: &str) -> Result<String, CredentialsError> {
    std::env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .ok_or_else(|| CredentialsError::not_loaded(format!("the environment variable {name} is not set")))
}

fn read(path: &std::path::Path) -> Result<String, CredentialsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CredentialsError::not_loaded(format!("{}: {error}", path.display())))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(CredentialsError::not_loaded(format!("{} is too large", path.display())));
    }
    Ok(text)
}

/// The value of a key in the section of a profile of a shared credentials file, or of a shared configuration file, where
/// sections are `[profile NAME]`.
fn profile_value(text: &str, profile: &str, key: &str) -> Option<String> {
    let mut is_wanted = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim();
            is_wanted = name.strip_prefix("profile ").map_or(name, str::trim) == profile;
        } else if let Some((name, value)) = line.split_once('=')
            && is_wanted
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_a_shared_file_that_is_asked_for_is_read_and_no_other() {
        let text = "[ops]\naws_access_key_id = AKIA2\n[ default ] # ours\n# aws_access_key_id = old\n\
                    aws_access_key_id = AKIA1\naws_secret_access_key=s/=3\n[profile pond]\naws_access_key_id=AKIA3\n";
        let value = |profile, key| profile_value(text, profile, key);
        assert_eq!(value("default", "aws_access_key_id").as_deref(), Some("AKIA1"));
        assert_eq!(value("default", "aws_secret_access_key").as_deref(), Some("s/=3"));
        assert_eq!(value("default", "aws_session_token"), None);
        assert_eq!(value("ops", "aws_access_key_id").as_deref(), Some("AKIA2"));
        assert_eq!(value("pond", "aws_access_key_id").as_deref(), Some("AKIA3"));
        assert_eq!(value("profile", "aws_access_key_id"), None);
    }
}
