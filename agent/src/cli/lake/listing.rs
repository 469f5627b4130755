//! What a place holds, found by looking: a stick is carried to a laptop, and who filled it is not known beforehand; a
//! catalogue that was lost is made again from what is there. Only `import` (of a folder) and `rebuild` look; no other
//! question lists anything.

use lake::{Home, ObjectKey};
use model::{Day, DeviceId, SiteId, Timestamp};

use super::place::Lake;
use crate::sinks::lake::shelf::ShelfError;

/// What one device has there.
pub struct Part {
    /// Whose.
    pub home: Home,
    /// The days with a manifest.
    pub days: Vec<Day>,
    /// The objects, and since when they have lain there.
    pub objects: Vec<(ObjectKey, Timestamp)>,
}

/// Every device that has something there, or the parts of those that are asked for.
pub async fn parts(lake: &Lake, site: Option<&SiteId>, device: Option<&DeviceId>) -> Result<Vec<Part>, ShelfError> {
    let mut parts = Vec::new();
    let is_asked =
        |home: &Home| site.is_none_or(|site| *site == home.site) && device.is_none_or(|device| *device == home.device);
    for found in lake.shelf.list(&Home::manifests_under(&lake.prefix, site.zip(device))).await? {
        if let Some((home, day)) = Home::of_manifest(&found.key).filter(|(home, _)| is_asked(home)) {
            of(&mut parts, home).days.push(day);
        }
    }
    for found in lake.shelf.list(&Home::readings_under(&lake.prefix, site.zip(device))).await? {
        // What was being written when a stick was pulled out has another name.
        let Ok(key) = ObjectKey::parse(&found.key) else { continue };
        let (prefix, origin) = (key.origin.prefix.clone(), key.origin.clone());
        let home = Home { prefix, site: origin.site, device: origin.device };
        if is_asked(&home) {
            of(&mut parts, home).objects.push((key, found.modified));
        }
    }
    Ok(parts)
}

fn of(parts: &mut Vec<Part>, home: Home) -> &mut Part {
    let at = parts.iter().position(|part| part.home == home).unwrap_or_else(|| {
        parts.push(Part { home, days: Vec::new(), objects: Vec::new() });
        parts.len() - 1
    });
    &mut parts[at]
}
