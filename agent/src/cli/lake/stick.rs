//! What a folder holds, found by looking: a stick is carried to a laptop, and who filled it is not known beforehand.
//! This is the only place that lists, and it lists a folder, never a bucket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lake::{Home, ObjectKey, Prefix};
use model::{Day, DeviceId, SiteId, Timestamp};

/// What one device has on it.
pub struct Part {
    /// Whose.
    pub home: Home,
    /// The days with a manifest.
    pub days: Vec<Day>,
    /// The objects that have a whole name.
    pub objects: Vec<ObjectKey>,
}

/// Every device that has something on the stick.
pub fn parts(root: &Path) -> io::Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for tree in ["manifests", "readings"] {
        for (site, sites) in named(&root.join(tree).join("v1"), "site=")? {
            for (device, folder) in named(&sites, "device=")? {
                let names = SiteId::try_new(&site).ok().zip(DeviceId::try_new(&device).ok());
                let Some((site, device)) = names else { continue };
                let home = Home { prefix: Prefix::default(), site, device };
                let at = parts.iter().position(|part| part.home == home).unwrap_or_else(|| {
                    parts.push(Part { home, days: Vec::new(), objects: Vec::new() });
                    parts.len() - 1
                });
                match tree {
                    "manifests" => parts[at].days = days(&folder)?.into_iter().map(|(day, _)| day).collect(),
                    _ => parts[at].objects = objects(root, &folder)?,
                }
            }
        }
    }
    Ok(parts)
}

fn objects(root: &Path, folder: &Path) -> io::Result<Vec<ObjectKey>> {
    let mut objects = Vec::new();
    for (_, folder) in days(folder)? {
        for (_, file) in named(&folder, "")? {
            let key = file.strip_prefix(root).map(|key| key.to_string_lossy().into_owned());
            // What was being written when the stick was pulled out has another name.
            objects.extend(key.ok().and_then(|key| ObjectKey::parse(&key).ok()));
        }
    }
    Ok(objects)
}

fn days(folder: &Path) -> io::Result<Vec<(Day, PathBuf)>> {
    let day = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z")).map(Timestamp::day);
    Ok(named(folder, "dt=")?.into_iter().filter_map(|(text, folder)| Some((day(&text)?, folder))).collect())
}

/// What begins so in a folder, in order, without that beginning; nothing where there is no folder.
fn named(folder: &Path, beginning: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_prefix(beginning).map(|name| (name.to_owned(), entry.path())));
    }
    found.sort();
    Ok(found)
}
