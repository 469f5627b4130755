//! Lakes: a folder that can be written, a bucket that takes an object, once, and gives it back.
//!
//! The object is always the same one, `<prefix>doctor/v1/site=<site>/device=<device>/probe`, so that a look leaves one object
//! behind however often it is taken, and the second put shows what the store makes of `If-None-Match`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lake::Home;
use rustix::fs::statvfs;
use tokio::time::timeout;

use super::disk::{FREE_BYTES_FAULT, Mount, free_bytes, there};
use super::network::{Far, aws};
use super::{Looked, Patient, STEP_LIMIT, Waiting};
use crate::config::sink::{FileConfig, S3Config};
use crate::config::{Config, SinkConfig, SinkKind};
use crate::control::check::{Area, Check};
use crate::sinks::lake::shelf::{Found, ShelfError};
use crate::sinks::s3::Bucket;
use crate::telemetry::health::{Conditional, SinkHealth};

const AREA: Area = Area::Store;
/// What is put.
const PROBE: &[u8] = b"tidegate doctor\n";
/// Codes of a store that knows us and does not let us.
const DENIED: [&str; 2] = ["AccessDenied", "403"];
const KIND: &str = "text/plain";
/// A day of a busy device.
const FREE_BYTES_WARNING: u64 = 64 << 20;
/// Where sticks and disks are mounted.
const MOUNTED: [&str; 3] = ["/media", "/mnt", "/run/media"];
const TRIED: &str = ".doctor.part";

/// The folders.
pub fn folders(patient: &Patient) -> Looked {
    let Ok(config) = &patient.config else { return Vec::new() };
    let of = |sink: &SinkConfig| match &sink.kind {
        SinkKind::File(file) => of_folder(patient, file).into_iter().map(|check| check.of(sink.id.as_str())).collect(),
        SinkKind::Mqtt(_) | SinkKind::S3(_) => Vec::new(),
    };
    config.sinks.iter().flat_map(of).collect()
}

fn of_folder(patient: &Patient, FileConfig { path, .. }: &FileConfig) -> Looked {
    let shown = path.display();
    let above = path.parent().unwrap_or(path);
    if !above.is_dir() {
        let seen = format!("{} is not there: the folder above is never made", above.display());
        return vec![Check::fault(AREA, "store-folder", seen, "plug the stick in and mount it, or name another path")];
    }
    let mut checks = vec![writable(patient, path)];
    let mount = Mount::of(patient, path);
    let is_meant_to_be = MOUNTED.iter().any(|folder| path.starts_with(folder));
    let is_mounted = mount.as_ref().is_some_and(|mount| mount.at != Path::new("/"));
    if is_meant_to_be && !is_mounted {
        let fix = "mount the stick; what was written here meanwhile fills the board's own card";
        checks.push(Check::warning(AREA, "store-mount", format!("nothing is mounted at {shown}"), fix));
    } else if let Some(mount) = mount {
        let seen = format!("{} on {} ({})", mount.source, mount.at.display(), mount.kind);
        checks.push(if mount.is_read_only {
            Check::fault(
                AREA,
                "store-mount",
                format!("{seen} is read-only"),
                "mount it for writing; `dmesg` says why it is not",
            )
        } else {
            Check::ok(AREA, "store-mount", seen)
        });
    }
    if let Ok(facts) = statvfs(there(path)) {
        let free = free_bytes(&facts);
        let seen = format!("{} MiB are free", free >> 20);
        let fix = "another stick, or move old days away: the journal keeps what does not fit until its own budget ends";
        checks.push(match free {
            ..FREE_BYTES_FAULT => Check::fault(AREA, "store-space", seen, fix),
            FREE_BYTES_FAULT..FREE_BYTES_WARNING => Check::warning(AREA, "store-space", seen, fix),
            _ => Check::ok(AREA, "store-space", seen),
        });
    }
    checks
}

/// Where the folder is not there yet, whether it could be made.
fn writable(patient: &Patient, path: &Path) -> Check {
    const NAME: &str = "store-folder";
    let folder = there(path);
    let file = folder.join(TRIED);
    let write = || {
        File::create(&file).and_then(|mut file| file.write_all(PROBE).and_then(|()| file.sync_data()))?;
        fs::remove_file(&file)
    };
    let shown = path.display();
    match write() {
        Ok(()) => Check::ok(AREA, NAME, format!("{shown} can be written")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && patient.agent.may_run() => {
            Check::ok(AREA, NAME, format!("{shown}: not tried, this user may not write there"))
        }
        Err(error) => {
            let fix = format!("sudo chown tidegate: {shown}; or is it full, or read-only?");
            Check::fault(AREA, NAME, format!("{}: {error}", folder.display()), fix)
        }
    }
}

/// The buckets, side by side.
pub fn buckets(patient: &Patient) -> Vec<Waiting<'_>> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let mut buckets: Vec<Waiting<'_>> = Vec::new();
    for sink in &config.sinks {
        let SinkKind::S3(s3) = &sink.kind else { continue };
        buckets.push(Box::pin(async move {
            let checks = of_bucket(patient, config, sink, s3).await;
            checks.into_iter().map(|check| check.of(sink.id.as_str())).collect()
        }));
    }
    buckets
}

async fn of_bucket(patient: &Patient, config: &Config, sink: &SinkConfig, s3: &S3Config) -> Looked {
    let url = s3.endpoint.clone().unwrap_or_else(|| aws(&s3.region));
    if let Some(far) = Far::of_url(&url, s3.proxy.as_ref())
        && patient.was_not_reached(&far.host, far.port)
    {
        let seen = format!("not tried: {}:{} can not be reached", far.host, far.port);
        return vec![Check::fault(AREA, "store-reached", seen, "mend the network first")];
    }
    let health = Arc::new(SinkHealth::new(sink.id.clone(), "s3"));
    let bucket = Bucket::new(s3, &patient.clock, &health);
    let prefix = s3.lake.prefix.as_str();
    let key = format!("{prefix}doctor/v1/site={}/device={}/probe", config.device.site, config.device.id);
    let delivers = patient.agent.status().is_some_and(|status| {
        status.sinks.iter().any(|it| it.id == sink.id.as_str() && it.state == "ok" && it.delivered_total > 0)
    });
    let put = timeout(STEP_LIMIT * 2, bucket.put_sealed(&key, Bytes::from_static(PROBE), KIND)).await;
    let words = match put {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", (STEP_LIMIT * 2).as_secs())),
    };
    if let Some(words) = words {
        let is_denied = said(&words).is_some_and(|code| DENIED.contains(&code));
        let may_work = delivers || (is_denied && reads_its_own(patient, config, s3, &bucket).await);
        return vec![refused(&words, s3, &key, may_work)];
    }
    let mut checks = vec![
        Check::ok(AREA, "store-credentials", "the store knows them"),
        Check::ok(AREA, "store-put", format!("s3://{}/{key}", s3.bucket)),
        conditional(health.conditional.get()),
    ];
    let got = timeout(STEP_LIMIT, bucket.get(&key, 1 << 10)).await;
    checks.push(read_back(got));
    checks
}

/// Whether the device may look at its own manifest of today, there or not: a policy often names what it writes and nothing
/// else, and then the probe is refused where readings are not.
async fn reads_its_own(patient: &Patient, config: &Config, s3: &S3Config, bucket: &Bucket) -> bool {
    let (prefix, site, device) = (s3.lake.prefix.clone(), config.device.site.clone(), config.device.id.clone());
    let key = Home { prefix, site, device }.manifest_key(patient.clock.now().day());
    matches!(timeout(STEP_LIMIT, bucket.get(&key, 0)).await, Ok(Ok(_)))
}

fn conditional(seen: Option<Conditional>) -> Check {
    const NAME: &str = "store-conditional";
    let lake = "the lake is whole all the same: what comes again is the same bytes under the same key";
    match seen {
        Some(Conditional::Honoured) => Check::ok(AREA, NAME, "what is there is not put over (If-None-Match)"),
        Some(Conditional::Ignored) => Check::warning(
            AREA,
            NAME,
            "the store takes no notice of If-None-Match",
            format!("nothing must be done: {lake}"),
        ),
        Some(Conditional::Refused) => {
            Check::warning(AREA, NAME, "the store does not take If-None-Match", format!("nothing must be done: {lake}"))
        }
        None => Check::warning(AREA, NAME, "not known: the second put got no answer", "ask again"),
    }
}

fn read_back(got: Result<Result<Found, ShelfError>, tokio::time::error::Elapsed>) -> Check {
    const NAME: &str = "store-read";
    let fix = "allow s3:GetObject on the device's own keys: manifests are read back before they are written";
    match got {
        Ok(Ok(Found::Bytes(bytes, _))) if bytes == PROBE => Check::ok(AREA, NAME, "what was put comes back"),
        Ok(Ok(_)) => {
            Check::fault(AREA, NAME, "something else comes back than was put", "is something between us and the store?")
        }
        Ok(Err(error)) => Check::warning(AREA, NAME, error.to_string(), fix),
        Err(_) => Check::warning(AREA, NAME, format!("no answer within {} s", STEP_LIMIT.as_secs()), "ask again"),
    }
}

/// The store's own word for it, where it has said one.
fn said(words: &str) -> Option<&str> {
    words.strip_prefix("the store says ")?.split(':').next()
}

/// A put that did not come to be, by the store's own word for it.
fn refused(words: &str, s3: &S3Config, key: &str, may_work: bool) -> Check {
    let bucket = &s3.bucket;
    match said(words) {
        None if words.starts_with("no credentials") => {
            let fix = "mend what [sink.NAME.credentials] names";
            Check::fault(AREA, "store-credentials", words, fix)
        }
        None => {
            let fix = "is `endpoint` right, http:// or https://, and is its certificate of an authority that this system knows?";
            Check::fault(AREA, "store-reached", words, fix)
        }
        Some(
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "TokenRefreshRequired",
        ) => {
            let fix = "is the key id right, and the secret behind it the one of this store? Credentials may have been taken back";
            Check::fault(AREA, "store-credentials", words, fix)
        }
        Some("RequestTimeTooSkewed" | "RequestExpired") => {
            Check::fault(AREA, "store-credentials", words, "the clock is wrong: `timedatectl`")
        }
        Some("NoSuchBucket") => {
            let fix = format!("make the bucket {bucket} in {}, or set `bucket` and `region` right", s3.region);
            Check::fault(AREA, "store-put", words, fix)
        }
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "301" | "IllegalLocationConstraintException") => {
            Check::fault(AREA, "store-put", words, format!("the bucket {bucket} is in another region: set `region`"))
        }
        // Policies often let a device write its readings and nothing else.
        Some(code) if DENIED.contains(&code) && may_work => {
            let fix = format!("allow s3:PutObject on {key}, or leave it: what the device has there can be read");
            Check::warning(AREA, "store-put", words, fix)
        }
        Some(code) if DENIED.contains(&code) => {
            let prefix = s3.lake.prefix.as_str();
            let fix =
                format!("allow s3:PutObject and s3:GetObject on {bucket}/{prefix}*, or on what docs/CLOUD.md lists");
            Check::fault(AREA, "store-put", words, fix)
        }
        Some(_) => Check::fault(AREA, "store-put", words, "what does the store's own log say?"),
    }
}
