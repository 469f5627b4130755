//! An S3-compatible object store.
//!
//! Objects are put with `If-None-Match: *`: a put whose reply was lost is answered 412 when it comes again, and that
//! is a yes. The SDK retries nothing and lists nothing; when to try again is the runner's business.

mod credentials;

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use model::Timestamp;

use super::DeliverError;
use super::lake::shelf::{Expect, Found, Listed, Put, ShelfError, Tag};
use crate::config::sink::{Checksum, S3Config};

/// Reaching the store: a satellite link with packet loss needs it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// One put of the largest object over the slowest link: 4 MiB at 64 kbit/s.
const PUT_TIMEOUT: Duration = Duration::from_secs(600);

/// Attempts of a person's command: a year of a lake is many requests, and one that gets lost is no news.
const ATTEMPTS: u32 = 3;

/// A bucket.
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    checksum: Checksum,
}

impl Bucket {
    /// A store in the configured bucket. Nothing is reached yet; credentials are read at each request.
    pub fn new(config: &S3Config) -> Self {
        Self::with(config, RetryConfig::disabled())
    }

    /// The same for a command that reads or imports: what gets lost on the way is asked for again.
    pub fn patient(config: &S3Config) -> Self {
        Self::with(config, RetryConfig::standard().with_max_attempts(ATTEMPTS))
    }

    fn with(config: &S3Config, retry: RetryConfig) -> Self {
        let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(PUT_TIMEOUT).build();
        let calculation = match config.checksum {
            Checksum::None => RequestChecksumCalculation::WhenRequired,
            _ => RequestChecksumCalculation::WhenSupported,
        };
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials::FromConfig::provider(config.credentials.clone()))
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(retry)
            .force_path_style(config.is_path_style)
            .request_checksum_calculation(calculation);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let client = aws_sdk_s3::Client::from_conf(builder.build());
        Self { client, name: config.bucket.clone(), checksum: config.checksum }
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
        match self.send(key, bytes, kind, expect).await {
            Ok(tag) => Ok(Put::Done(tag)),
            // 404: what was expected there is not any more.
            Err(error) if matches!(status(&error), Some(412)) || code(&error) == "NoSuchKey" => Ok(Put::Other),
            Err(error) => Err(self.away(key, &error)),
        }
    }

    /// Puts an object whose name says which bytes it has.
    pub async fn put_sealed(&self, key: &str, bytes: Bytes, kind: &str) -> Result<(), DeliverError> {
        self.send(key, bytes, kind, Expect::Nothing).await.map(|_| ()).or_else(|error| verdict(&error))
    }

    fn away<E>(&self, key: &str, error: &SdkError<E>) -> ShelfError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        // Who may not list is not told that a key is not there, only that he may not know.
        let hint = match status(error) {
            Some(403) => " (a store says so of any key that is not there, unless s3:ListBucket is granted)",
            _ => "",
        };
        ShelfError::Away(format!("s3://{}/{key}: {}{hint}", self.name, words(error)))
    }

    async fn send(
        &self,
        key: &str,
        bytes: Bytes,
        kind: &str,
        expect: Expect<'_>,
    ) -> Result<Tag, SdkError<PutObjectError>> {
        let (if_none_match, if_match) = match expect {
            Expect::Nothing => (Some("*".to_owned()), None),
            Expect::Tag(Tag(tag)) => (None, Some(tag.clone())),
        };
        let algorithm = match self.checksum {
            Checksum::Auto | Checksum::None => None,
            Checksum::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
            Checksum::Crc32 => Some(ChecksumAlgorithm::Crc32),
            Checksum::Sha256 => Some(ChecksumAlgorithm::Sha256),
        };
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(kind)
            .set_checksum_algorithm(algorithm)
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .body(ByteStream::from(bytes));
        put.send().await.map(|done| Tag(done.e_tag().unwrap_or_default().to_owned()))
    }
}

/// Codes that no retry makes better. Missing bucket, wrong key, denied access and expired tokens are a person's to
/// mend, and then the object is to arrive: those are tried again for ever.
const REFUSED_FOR_GOOD: &[&str] = &["EntityTooLarge", "KeyTooLongError", "MethodNotAllowed", "NotImplemented"];

/// What the store's answer means for the object.
fn verdict(error: &SdkError<PutObjectError>) -> Result<(), DeliverError> {
    match status(error) {
        // The object is there: an earlier put arrived and its reply did not.
        Some(412) => Ok(()),
        Some(_) if REFUSED_FOR_GOOD.contains(&code(error)) => Err(DeliverError::reject(words(error))),
        _ => Err(DeliverError::retry(words(error))),
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// The error with its causes in one line, without request ids and dumps.
fn words<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let Some(service) = error.as_service_error() {
        let code = service.code().unwrap_or("no code");
        return format!("the store says {code}: {}", service.message().unwrap_or("nothing more"));
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
