//! What a store's answer means: its words for a person, and whether waiting helps.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::sinks::DeliverError;

/// Codes that no retry makes better. Missing bucket, wrong key, denied access and expired tokens are a person's to
/// mend, and then the object is to arrive: those are tried again for ever.
const REFUSED_FOR_GOOD: &[&str] = &["EntityTooLarge", "KeyTooLongError", "MethodNotAllowed", "NotImplemented"];
/// Codes of a store that does not know, or does not know any more, who we are.
const WHO_ARE_YOU: &[&str] =
    &["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"];
/// Codes with which stores answer 400 to a header that they do not know.
const UNKNOWN_HEADER: &[&str] = &["NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedHeader"];
/// The longest wait that a store may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// What an answer that is no success means for the object.
pub fn verdict<E>(error: &SdkError<E>) -> DeliverError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if status(error).is_some() && REFUSED_FOR_GOOD.contains(&code(error)) {
        return DeliverError::reject(words(error));
    }
    DeliverError::Retry { reason: words(error), after: retry_after(error) }
}

/// Whether the store does not know who we are.
pub fn is_stranger<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    WHO_ARE_YOU.contains(&code(error))
}

/// Whether a put may have been refused for its condition.
pub fn is_unknown_header<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match status(error) {
        Some(501) => true,
        Some(400) => UNKNOWN_HEADER.contains(&code(error)),
        _ => false,
    }
}

/// The HTTP status, if there was an answer.
pub fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The store's word for it.
pub fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

fn retry_after<E>(error: &SdkError<E>) -> Option<Duration> {
    let seconds = error.raw_response()?.headers().get("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The error with its causes in one line, without request ids and dumps.
pub fn words<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let causes: Vec<&dyn Error> = std::iter::successors(Error::source(error), |&cause| cause.source()).collect();
    if let Some(service) = error.as_service_error() {
        // HEAD and some proxies answer without a body.
        let code =
            service.code().map_or_else(|| status(error).map_or_else(String::new, |it| it.to_string()), str::to_owned);
        return format!("the store says {code}: {}", service.message().unwrap_or("nothing more"));
    }
    if let Some(no_credentials) = causes.iter().find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        let why = no_credentials.source().map_or_else(|| no_credentials.to_string(), ToString::to_string);
        return format!("no credentials: {why}");
    }
    causes.iter().fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
