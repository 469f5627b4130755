//! Credentials as configured: from the environment, from an AWS shared file, or a key id with its secret in a file.
//! They are read at each request that needs them, so that a rotated secret is used without a restart.

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::{Credentials as AwsCredentials, ProvideCredentials, SharedCredentialsProvider};

use crate::config::sink::Credentials;

/// Largest credentials file.
const FILE_BYTES_MAX: usize = 64 << 10;

/// Provides what the configuration names.
#[derive(Debug)]
pub struct FromConfig {
    credentials: Credentials,
}

impl FromConfig {
    /// A provider for these.
    pub fn provider(credentials: Credentials) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Self { credentials })
    }

    fn load(&self) -> Result<AwsCredentials, CredentialsError> {
        let (id, secret, token) = match &self.credentials {
            Credentials::Env => {
                let token = variable("AWS_SESSION_TOKEN").ok();
                (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?, token)
            }
            Credentials::Static { access_key_id, secret_access_key_file } => {
                let secret = read(secret_access_key_file)?.trim().to_owned();
                (access_key_id.clone(), secret, None)
            }
            Credentials::File(path) => {
                let text = read(path)?;
                let value = |key: &str| default_profile_value(&text, key);
                let missing =
                    |key: &str| CredentialsError::not_loaded(format!("{}: no {key} in [default]", path.display()));
                let id = value("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
                let secret = value("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
                (id, secret, value("aws_session_token"))
            }
        };
        Ok(AwsCredentials::new(id, secret, token, None, "tidegate"))
    }
}

impl ProvideCredentials for FromConfig {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.load())
    }
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

/// The value of a key in the `[default]` section of a shared credentials file.
fn default_profile_value(text: &str, key: &str) -> Option<String> {
    let mut is_default = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_default = line == "[default]";
        } else if let Some((name, value)) = line.split_once('=')
            && is_default
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
    fn the_default_profile_of_a_shared_file_is_read_and_no_other() {
        let text =
            "[ops]\naws_access_key_id = wrong\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=s/=3\n";
        assert_eq!(default_profile_value(text, "aws_access_key_id").as_deref(), Some("AKIA1"));
        assert_eq!(default_profile_value(text, "aws_secret_access_key").as_deref(), Some("s/=3"));
        assert_eq!(default_profile_value(text, "aws_session_token"), None);
    }
}
