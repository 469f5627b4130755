//! An S3-compatible object store.
//!
//! Objects are put with `If-None-Match: *`: a put whose reply was lost is answered 412 when it comes again, and that
//! is a yes if it is the same object. A store that does not know the header overwrites with the same bytes, or is not shown
//! it again. Checksums are headers, made from the whole body beforehand: nothing is sent in chunks with a trailer, which
//! some stores keep as part of the object. One put an object: the largest has 4 MiB (`batch.max_bytes`), and parts begin at 5.
//!
//! The SDK retries nothing and lists nothing; when to try again is the runner's business. It does put the time of signatures
//! right: by the `Date` of the answer before, whatever this device's clock says.

mod answer;
mod credentials;
mod iot;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    RuntimeComponents, SharedCredentialsProvider, SharedHttpClient,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_http_client::proxy::ProxyConfig as SdkProxy;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};
use aws_smithy_types::base64;
use bytes::Bytes;
use md5::Md5;
use model::{SinkId, Timestamp};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::DeliverError;
use super::lake::shelf::{Expect, Found, Listed, Put, ShelfError, Tag};
use crate::clock::Clock;
use crate::config::proxy::ProxyConfig;
use crate::config::sink::{Checksum, S3Config};
use crate::telemetry::health::{Conditional, SinkHealth};
use answer::{code, is_stranger, is_unknown_header, status, verdict, words};
use credentials::Provider as CredentialsProvider;
pub use iot::http_date;

/// Reaching the store: a satellite link with packet loss needs it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A request that carries nothing, and its answer. A connection that leads nowhere costs so much, and then there is another.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// What is put has as much longer as it takes over the slowest line: 64 kbit/s.
const BYTES_PER_SECOND_MIN: u64 = 8 << 10;

/// Attempts of a person's command: a year of a lake is many requests, and one that gets lost is no news.
const ATTEMPTS: u32 = 3;

/// An object so small is put a second time to see what the store makes of that.
const TRIED_BYTES_MAX: usize = 64 << 10;
/// The user metadata that says which bytes an object was put with: `x-amz-meta-sha256`.
const DIGEST: &str = "sha256";

/// A bucket.
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    checksum: Checksum,
    credentials: Arc<CredentialsProvider>,
    health: Arc<SinkHealth>,
    /// The store does not take a put with a condition.
    is_unconditional: AtomicBool,
}

impl Bucket {
    /// A store in the configured bucket. Nothing is reached yet; credentials are read at each request.
    pub fn new(config: &S3Config, clock: &Clock, health: &Arc<SinkHealth>) -> Self {
        Self::with(config, RetryConfig::disabled(), clock, health)
    }

    /// The same for a command that reads or imports: what gets lost on the way is asked for again.
    pub fn patient(config: &S3Config) -> Self {
        let id = SinkId::try_new("lake").expect("a name");
        let nobodys = Arc::new(SinkHealth::new(id, "s3"));
        Self::with(config, RetryConfig::standard().with_max_attempts(ATTEMPTS), &Clock::of_this_boot(), &nobodys)
    }

    fn with(config: &S3Config, retry: RetryConfig, clock: &Clock, health: &Arc<SinkHealth>) -> Self {
        let http = http_client(config.proxy.as_ref());
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(ANSWER_TIMEOUT).build();
        let checksum = match (config.checksum, &config.endpoint) {
            (Checksum::Auto, None) => Checksum::Crc64Nvme,
            (Checksum::Auto, Some(_)) => Checksum::Md5,
            (checksum, _) => checksum,
        };
        // The SDK makes those that are its own, which `Content-MD5` is not.
        let calculation = match checksum {
            Checksum::None | Checksum::Md5 => RequestChecksumCalculation::WhenRequired,
            _ => RequestChecksumCalculation::WhenSupported,
        };
        // Other stores than AWS refuse what they do not know, with an answer or, worse, a signature that does not match.
        let validation = match &config.endpoint {
            None => ResponseChecksumValidation::WhenSupported,
            Some(_) => ResponseChecksumValidation::WhenRequired,
        };
        let credentials =
            Arc::new(CredentialsProvider::new(config.credentials.clone(), config.proxy.clone(), clock, health));
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .credentials_provider(SharedCredentialsProvider::from(credentials.clone() as Arc<dyn ProvideCredentials>))
            // The SDK's keeps for a quarter of an hour what may have been rotated since.
            .identity_cache(IdentityCache::no_cache())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(retry)
            .force_path_style(config.is_path_style)
            .request_checksum_calculation(calculation)
            .response_checksum_validation(validation);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let client = aws_sdk_s3::Client::from_conf(builder.build());
        let (name, health) = (config.bucket.clone(), health.clone());
        Self { client, name, checksum, credentials, health, is_unconditional: AtomicBool::new(false) }
    }

    /// What lies under a key, if it has at most so many bytes.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Found, ShelfError> {
        let answer = match self.client.get_object().bucket(&self.name).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if code(&error) == "NoSuchKey" => return Ok(Found::Nothing),
            Err(error) => return Err(self.away(key, &error)),
        };
        let size = answer.content_length().and_then(|size| u64::try_from(size).ok());
        match size {
            Some(size) if size > bytes_max => Ok(Found::Larger(size)),
            Some(_) => {
                let tag = Tag(answer.e_tag().unwrap_or_default().to_owned());
                let body = answer.body.collect().await;
                let body = body.map_err(|error| ShelfError::Away(format!("{key}: cut short: {error}")))?;
                Ok(Found::Bytes(body.into_bytes(), tag))
            }
            None => Err(ShelfError::Away(format!("{key}: the store does not say how large it is"))),
        }
    }

    /// The size of what lies under a key.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ShelfError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(answer) => Ok(Some(answer.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0))),
            // A reply to HEAD has no body that could say which of key and bucket is not there.
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.away(key, &error)),
        }
    }

    /// Everything whose key begins so; `asks` is called for each request.
    pub async fn list(&self, beginning: &str, asks: impl Fn()) -> Result<Vec<Listed>, ShelfError> {
        let mut listed = Vec::new();
        let mut pages = self.client.list_objects_v2().bucket(&self.name).prefix(beginning).into_paginator().send();
        while let Some(page) = pages.next().await {
            asks();
            let page = page.map_err(|error| self.away(beginning, &error))?;
            for object in page.contents() {
                let modified = object.last_modified().and_then(|time| time.to_millis().ok()).unwrap_or_default();
                let key = object.key().unwrap_or_default().to_owned();
                listed.push(Listed { key, modified: Timestamp::from_millis(modified) });
            }
        }
        Ok(listed)
    }

    /// Puts an object under a key where what was expected lies.
    pub async fn put_if(&self, key: &str, bytes: Bytes, kind: &str, expect: Expect<'_>) -> Result<Put, ShelfError> {
        // Only a store that is known to look itself is left to it.
        if self.health.conditional.get() != Some(Conditional::Honoured) && !self.is_as_expected(key, expect).await? {
            return Ok(Put::Other);
        }
        match self.send(key, bytes.clone(), kind, expect).await {
            Ok(tag) => {
                if expect == Expect::Nothing {
                    self.try_condition(key, bytes, kind).await;
                }
                Ok(Put::Done(tag))
            }
            // 404: what was expected there is not any more.
            Err(error) if matches!(status(&error), Some(412)) || code(&error) == "NoSuchKey" => Ok(Put::Other),
            Err(error) => Err(self.away(key, &error)),
        }
    }

    /// Whether what is expected lies there, as far as we may know: what others put in the next instant is not seen.
    async fn is_as_expected(&self, key: &str, expect: Expect<'_>) -> Result<bool, ShelfError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(there) => Ok(matches!(expect, Expect::Tag(Tag(tag)) if there.e_tag() == Some(tag))),
            Err(error) if status(&error) == Some(404) => Ok(expect == Expect::Nothing),
            Err(error) if status(&error) == Some(403) => Ok(true),
            Err(error) => Err(self.away(key, &error)),
        }
    }

    /// Puts an object whose name says which bytes it has.
    pub async fn put_sealed(&self, key: &str, bytes: Bytes, kind: &str) -> Result<(), DeliverError> {
        match self.send(key, bytes.clone(), kind, Expect::Nothing).await {
            Ok(_) => {
                self.try_condition(key, bytes, kind).await;
                Ok(())
            }
            Err(error) if status(&error) == Some(412) => {
                self.health.conditional.set(Some(Conditional::Honoured));
                self.compare(key, &bytes).await
            }
            Err(error) => Err(verdict(&error)),
        }
    }

    /// Something lies under the key already. As a rule it is the same object, put by an attempt whose reply was lost.
    async fn compare(&self, key: &str, bytes: &Bytes) -> Result<(), DeliverError> {
        let there = match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(there) => there,
            // Who may only put is told no more than 412. The key holds the journal's epoch and positions: nobody else has it.
            Err(error) if status(&error) == Some(403) => return Ok(()),
            Err(error) => return Err(verdict(&error)),
        };
        let size = there.content_length().and_then(|size| usize::try_from(size).ok());
        let is_marked = there.metadata().and_then(|marks| marks.get(DIGEST)) == Some(&digest(bytes));
        let is_same = size == Some(bytes.len())
            && (is_marked
                || match self.get(key, u64::try_from(bytes.len()).unwrap_or(u64::MAX)).await {
                    Ok(found) => matches!(found, Found::Bytes(there, _) if there == *bytes),
                    Err(error) => return Err(DeliverError::retry(error.to_string())),
                });
        if is_same {
            return Ok(());
        }
        let size = size.map_or_else(String::new, |size| format!(" of {size} bytes"));
        Err(DeliverError::reject(format!(
            "another object{size} lies under s3://{}/{key}, and ours of {} bytes is not put over it",
            self.name,
            bytes.len()
        )))
    }

    /// Sees once what the store makes of a put that must not overwrite: with the bytes that are there already, so that
    /// nothing changes even where it overwrites.
    async fn try_condition(&self, key: &str, bytes: Bytes, kind: &str) {
        if self.health.conditional.lock().is_some() || bytes.len() > TRIED_BYTES_MAX {
            return;
        }
        let seen = match self.send(key, bytes, kind, Expect::Nothing).await {
            Ok(_) => Conditional::Ignored,
            Err(error) if status(&error) == Some(412) => Conditional::Honoured,
            // The next object tells.
            Err(_) => return,
        };
        self.health.conditional.set(Some(seen));
    }

    fn away<E>(&self, key: &str, error: &SdkError<E>) -> ShelfError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if is_stranger(error) {
            self.credentials.doubt();
        }
        // Who may not list is not told that a key is not there, only that he may not know.
        let hint = match status(error) {
            Some(403) => " (a store says so of any key that is not there, unless s3:ListBucket is granted)",
            _ => "",
        };
        ShelfError::Away(format!("s3://{}/{key}: {}{hint}", self.name, words(error)))
    }

    /// Puts with a condition; without one where the store does not take that.
    async fn send(
        &self,
        key: &str,
        bytes: Bytes,
        kind: &str,
        expect: Expect<'_>,
    ) -> Result<Tag, SdkError<PutObjectError>> {
        let expect = Some(expect).filter(|_| !self.is_unconditional.load(Ordering::Relaxed));
        let error = match self.put(key, bytes.clone(), kind, expect).await {
            Err(error) if expect.is_some() && is_unknown_header(&error) => error,
            sent => return sent,
        };
        let tag = self.put(key, bytes, kind, None).await?;
        info!(sink = %self.health.id, said = words(&error), "the store takes no conditional put, it is left out from now on");
        self.is_unconditional.store(true, Ordering::Relaxed);
        self.health.conditional.set(Some(Conditional::Refused));
        Ok(tag)
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        kind: &str,
        expect: Option<Expect<'_>>,
    ) -> Result<Tag, SdkError<PutObjectError>> {
        let (if_none_match, if_match) = match expect {
            None => (None, None),
            Some(Expect::Nothing) => (Some("*".to_owned()), None),
            Some(Expect::Tag(Tag(tag))) => (None, Some(tag.clone())),
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(put_timeout(bytes.len()))
            .build();
        let (algorithm, md5) = match self.checksum {
            Checksum::None | Checksum::Auto => (None, None),
            Checksum::Crc64Nvme => (Some(ChecksumAlgorithm::Crc64Nvme), None),
            Checksum::Crc32 => (Some(ChecksumAlgorithm::Crc32), None),
            Checksum::Sha256 => (Some(ChecksumAlgorithm::Sha256), None),
            Checksum::Md5 => (None, Some(base64::encode(Md5::digest(&bytes)))),
        };
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(kind)
            .metadata(DIGEST, digest(&bytes))
            .set_checksum_algorithm(algorithm)
            .set_content_md5(md5)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts));
        match put.send().await {
            Ok(done) => Ok(Tag(done.e_tag().unwrap_or_default().to_owned())),
            Err(error) => {
                if is_stranger(&error) {
                    self.credentials.doubt();
                }
                Err(error)
            }
        }
    }
}

/// The SDK's client, through a proxy if there is one: CONNECT to a store that speaks TLS.
fn http_client(proxy: Option<&ProxyConfig>) -> SharedHttpClient {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let Some(proxy) = proxy.cloned() else { return HttpBuilder::new().tls_provider(tls).build_https() };
    HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(through(&proxy));
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(tls.clone()).build()
    })
}

fn through(proxy: &ProxyConfig) -> SdkProxy {
    let host = if proxy.host.contains(':') { format!("[{}]", proxy.host) } else { proxy.host.clone() };
    let way = SdkProxy::all(format!("http://{host}:{}", proxy.port)).expect("host and port are checked");
    match &proxy.login {
        None => way,
        Some((username, file)) => match std::fs::read_to_string(file) {
            Ok(password) => way.with_basic_auth(username, password.trim_end_matches(['\r', '\n'])),
            Err(error) => {
                // The proxy will say that it wants a login.
                warn!(file = %file.display(), %error, "can not read proxy_password_file");
                way
            }
        },
    }
}

fn put_timeout(bytes: usize) -> Duration {
    ANSWER_TIMEOUT + Duration::from_secs(u64::try_from(bytes).unwrap_or(u64::MAX) / BYTES_PER_SECOND_MIN)
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_time_that_the_slowest_line_takes_for_it() {
        assert_eq!(put_timeout(0), Duration::from_secs(60));
        assert_eq!(put_timeout(4 << 20), Duration::from_secs(60 + 512));
    }
}
