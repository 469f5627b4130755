//! An S3-compatible object store.
//!
//! Objects are put with `If-None-Match: *`: a put whose reply was lost is answered 412 when it comes again, and that
//! is a yes. The SDK retries nothing and lists nothing; when to try again is the runner's business.

mod credentials;

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation};
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;

use super::DeliverError;
use super::lake::Store;
use crate::config::sink::{Checksum, S3Config};

/// Reaching the store: a satellite link with packet loss needs it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// One put of the largest object over the slowest link: 4 MiB at 64 kbit/s.
const PUT_TIMEOUT: Duration = Duration::from_secs(600);

/// A bucket.
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    checksum: Checksum,
}

impl Bucket {
    /// A store in the configured bucket. Nothing is reached yet; credentials are read at each request.
    pub fn new(config: &S3Config) -> Self {
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
            .retry_config(RetryConfig::disabled())
            .force_path_style(config.is_path_style)
            .request_checksum_calculation(calculation);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        let client = aws_sdk_s3::Client::from_conf(builder.build());
        Self { client, name: config.bucket.clone(), checksum: config.checksum }
    }

    async fn send(&self, key: &str, bytes: Bytes, kind: &str, if_none_match: Option<&str>) -> Result<(), DeliverError> {
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
            .set_if_none_match(if_none_match.map(str::to_owned))
            .body(ByteStream::from(bytes));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => verdict(&error),
        }
    }
}

impl Store for Bucket {
    async fn put_new(&self, key: &str, bytes: Bytes, kind: &'static str) -> Result<(), DeliverError> {
        self.send(key, bytes, kind, Some("*")).await
    }

    async fn put(&self, key: &str, bytes: Bytes, kind: &'static str) -> Result<(), DeliverError> {
        self.send(key, bytes, kind, None).await
    }
}

/// Codes that no retry makes better. Missing bucket, wrong key, denied access and expired tokens are a person's to
/// mend, and then the object is to arrive: those are tried again for ever.
const REFUSED_FOR_GOOD: &[&str] = &["EntityTooLarge", "KeyTooLongError", "MethodNotAllowed", "NotImplemented"];

/// What the store's answer means for the object.
fn verdict(error: &SdkError<PutObjectError>) -> Result<(), DeliverError> {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(|service| service.meta().code()).unwrap_or_default();
    match status {
        // The object is there: an earlier put arrived and its reply did not.
        Some(412) => Ok(()),
        Some(_) if REFUSED_FOR_GOOD.contains(&code) => Err(DeliverError::reject(words(error))),
        _ => Err(DeliverError::retry(words(error))),
    }
}

/// The error with its causes in one line, without request ids and dumps.
fn words(error: &SdkError<PutObjectError>) -> String {
    if let Some(service) = error.as_service_error() {
        let meta = service.meta();
        let code = meta.code().unwrap_or("no code");
        return format!("the store says {code}: {}", meta.message().unwrap_or("nothing more"));
    }
    let text = DisplayErrorContext(error).to_string();
    text.split(" (").next().unwrap_or(&text).to_owned()
}
