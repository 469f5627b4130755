//! Object keys: the same batch of the same device always has the same name, and a name says what it holds.

use std::fmt;

use model::{Day, DeviceId, Epoch, Seq, SeqRange, SiteId, Timestamp};

use crate::error::LakeError;
use crate::format::Format;
use crate::line::ManifestLine;

/// S3 takes keys of 1024 bytes; names, day and range need at most 320 of them.
const PREFIX_BYTES_MAX: usize = 512;

/// What stands before `readings/` and `manifests/` in every key: empty, or text that stays in its bucket or folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// Takes a prefix as it was written: no leading slash, no empty, `.` or `..` folder, nothing a path could trip over.
    pub fn try_new(text: &str) -> Result<Self, LakeError> {
        let refused = || LakeError::Prefix(text.to_owned());
        let (folders, rest) = text.rsplit_once('/').map_or((None, text), |(folders, rest)| (Some(folders), rest));
        let is_folder = |folder: &str| !matches!(folder, "" | "." | "..");
        let stays = folders.is_none_or(|folders| folders.split('/').all(is_folder)) && !text.ends_with("..");
        let is_plain = |c: char| c.is_alphanumeric() || "!_.*'()=-/ ".contains(c);
        if text.len() > PREFIX_BYTES_MAX || !stays || !text.chars().all(is_plain) || rest == "." {
            return Err(refused());
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What every key of one device's journal shares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Where the lake begins in its bucket or folder.
    pub prefix: Prefix,
    /// Where the device stands.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The journal.
    pub epoch: Epoch,
}

/// `<prefix>readings/v1/site=<site>/device=<device>/dt=<day>/<epoch>-<first:012>-<next:012>.<extension>`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Whose rows.
    pub origin: Origin,
    /// The UTC day of the first of them.
    pub day: Day,
    /// Which of them.
    pub range: SeqRange,
    /// How they are written.
    pub format: Format,
}

impl ObjectKey {
    /// Reads a key back; what this crate would not have written is refused.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        let key = parse(text).filter(|key| key.to_string() == text);
        key.ok_or_else(|| LakeError::Key(text.to_owned()))
    }
}

/// Where the objects and manifests of one device lie, whichever journal they come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Home {
    /// Where the lake begins in its bucket or folder.
    pub prefix: Prefix,
    /// Where the device stands.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
}

impl Home {
    /// The key of a day's manifest.
    pub fn manifest_key(&self, uploaded: Day) -> String {
        let Self { prefix, site, device } = self;
        format!("{}manifests/v1/site={site}/device={device}/dt={uploaded}/manifest.ndjson.zst", prefix.as_str())
    }

    /// Reads the key of a manifest back: whose, and of which day of upload.
    pub fn of_manifest(key: &str) -> Option<(Self, Day)> {
        let mut parts = key.strip_suffix("/manifest.ndjson.zst")?.rsplitn(5, '/');
        let day = parse_day(parts.next()?.strip_prefix("dt=")?)?;
        let device = DeviceId::try_new(parts.next()?.strip_prefix("device=")?).ok()?;
        let site = SiteId::try_new(parts.next()?.strip_prefix("site=")?).ok()?;
        let is_version_1 = parts.next()? == "v1";
        let prefix = Prefix::try_new(parts.next()?.strip_suffix("manifests")?).ok()?;
        let home = Self { prefix, site, device };
        (is_version_1 && home.manifest_key(day) == key).then_some((home, day))
    }

    /// Where the objects of one device lie, or of all of a lake: what their keys begin with.
    pub fn readings_under(prefix: &Prefix, of: Option<(&SiteId, &DeviceId)>) -> String {
        under(prefix, "readings", of)
    }

    /// The same of manifests.
    pub fn manifests_under(prefix: &Prefix, of: Option<(&SiteId, &DeviceId)>) -> String {
        under(prefix, "manifests", of)
    }

    /// Where the object of a manifest line lies; nowhere if its key is another device's, or of another batch than the
    /// line says. The prefix is the one of this lake: a lake that was copied whole elsewhere keeps its lines as they
    /// are, because the chain holds them.
    pub fn place_of(&self, line: &ManifestLine) -> Option<String> {
        let key = ObjectKey::parse(&line.key).ok()?;
        let Origin { site, device, epoch, .. } = &key.origin;
        let is_ours = *site == self.site && *device == self.device;
        let is_the_lines = *epoch == line.epoch && key.range == line.range() && key.format == line.format;
        let origin = Origin { prefix: self.prefix.clone(), ..key.origin.clone() };
        (is_ours && is_the_lines).then(|| ObjectKey { origin, ..key }.to_string())
    }
}

fn under(prefix: &Prefix, tree: &str, of: Option<(&SiteId, &DeviceId)>) -> String {
    let device = of.map(|(site, device)| format!("site={site}/device={device}/")).unwrap_or_default();
    format!("{}{tree}/v1/{device}", prefix.as_str())
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin: Origin { prefix, site, device, epoch }, day, range, format } = self;
        let SeqRange { first: Seq(first), next: Seq(next) } = range;
        write!(f, "{}readings/v1/site={site}/device={device}/dt={day}/", prefix.as_str())?;
        write!(f, "{epoch}-{first:012}-{next:012}.{}", format.extension())
    }
}

/// `<prefix>manifests/v1/site=<site>/device=<device>/dt=<UTC day of upload>/manifest.ndjson.zst`
pub fn manifest_key(origin: &Origin, uploaded: Day) -> String {
    let Origin { prefix, site, device, .. } = origin.clone();
    Home { prefix, site, device }.manifest_key(uploaded)
}

fn parse(text: &str) -> Option<ObjectKey> {
    let mut parts = text.rsplitn(6, '/');
    let (name, extension) = parts.next()?.split_once('.')?;
    let day = parse_day(parts.next()?.strip_prefix("dt=")?)?;
    let device = DeviceId::try_new(parts.next()?.strip_prefix("device=")?).ok()?;
    let site = SiteId::try_new(parts.next()?.strip_prefix("site=")?).ok()?;
    let is_version_1 = parts.next()? == "v1";
    let prefix = Prefix::try_new(parts.next()?.strip_suffix("readings")?).ok()?;
    let (epoch, range) = name.split_once('-')?;
    let epoch = Epoch::parse(epoch)?;
    let (first, next) = range.split_once('-')?;
    let (first, next) = (Seq(first.parse().ok()?), Seq(next.parse().ok()?));
    let format = Format::ALL.into_iter().find(|format| format.extension() == extension)?;
    let range = SeqRange::new(first, next);
    (is_version_1 && first < next).then_some(ObjectKey {
        origin: Origin { prefix, site, device, epoch },
        day,
        range,
        format,
    })
}

fn parse_day(text: &str) -> Option<Day> {
    Timestamp::parse(&format!("{text}T00:00:00Z")).map(Timestamp::day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "readings/v1/site=lac-vert/device=gw-1/dt=2026-11-22/7f3k9abc-000000001041-000000001043.parquet";

    #[test]
    fn a_key_reads_back_with_and_without_prefix() {
        for prefix in ["", "lake/", "farm a/v1/", "half"] {
            for end in ["", "ndjson.zst"] {
                let text = match end {
                    "" => format!("{prefix}{KEY}"),
                    end => format!("{prefix}{}", KEY.replace("parquet", end)),
                };
                let key = ObjectKey::parse(&text).expect("ours");
                assert_eq!(key.to_string(), text);
                assert_eq!(key.origin.prefix.as_str(), prefix);
                assert_eq!(key.range, SeqRange::new(Seq(1041), Seq(1043)));
                assert_eq!(key.day.to_string(), "2026-11-22");
            }
        }
    }

    #[test]
    fn a_sequence_of_more_than_twelve_digits_still_reads_back() {
        let long = KEY.replace("-000000001043", "-18446744073709551615");
        assert_eq!(ObjectKey::parse(&long).expect("ours").to_string(), long);
    }

    #[test]
    fn a_key_that_is_not_ours_or_leaves_the_lake_is_refused() {
        let bad = [
            ("site=lac-vert", "site=.."),
            ("device=gw-1", "device=a/b"),
            ("dt=2026-11-22", "dt=2026-13-22"),
            ("dt=2026-11-22", "dt=2026-11-22T00:00:00Z"),
            ("dt=2026-11-22", ".."),
            ("7f3k9abc", ".."),
            ("-000000001041", "-1041"),
            ("-000000001041", "-+00000001041"),
            ("-000000001041", "-000000001043"),
            (".parquet", ".parquet.tmp"),
            (".parquet", ""),
            ("v1", "v2"),
            ("readings", "manifests"),
            ("readings", "/readings"),
            ("readings", "../readings"),
            ("readings", "a/../readings"),
            ("readings", "a//readings"),
            ("readings", "a\\readings"),
            ("readings", "a\0readings"),
        ];
        for (part, instead) in bad {
            let text = KEY.replacen(part, instead, 1);
            assert!(ObjectKey::parse(&text).is_err(), "{text} was taken");
        }
        assert!(ObjectKey::parse("").is_err());
    }

    #[test]
    fn a_manifest_has_one_key_a_day() {
        let key = ObjectKey::parse(&format!("lake/{KEY}")).expect("ours");
        assert_eq!(
            manifest_key(&key.origin, key.day),
            "lake/manifests/v1/site=lac-vert/device=gw-1/dt=2026-11-22/manifest.ndjson.zst"
        );
        let (home, day) = Home::of_manifest(&manifest_key(&key.origin, key.day)).expect("ours");
        assert_eq!((home.prefix.as_str(), home.device.as_str(), day), ("lake/", "gw-1", key.day));
        assert_eq!(Home::of_manifest("lake/manifests/v1/site=a/device=b/dt=x/manifest.ndjson.zst"), None);
    }
}
