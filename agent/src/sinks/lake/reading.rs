//! Manifests and objects off a shelf.

use futures_util::{StreamExt, TryStreamExt, stream};
use lake::{Catalogue, Finding, Home, ManifestLine, Query, Walk};
use model::Day;

use super::manifest;
use super::shelf::{Found, Shelf, ShelfError};

/// Manifests asked for at once: a year from the other side of the world in seconds.
const MANIFESTS_AT_ONCE: usize = 16;
/// Largest object that is read: many times what an agent writes.
pub const OBJECT_BYTES_MAX: u64 = 256 << 20;

/// The manifests that a question needs, and the first and the last day of upload that were looked at.
pub async fn catalogue(
    shelf: &Shelf,
    home: &Home,
    query: &Query,
    today: Day,
) -> Result<(Catalogue, (Day, Day)), ShelfError> {
    let mut walk = Walk::new(query, today);
    let mut catalogue = Catalogue::default();
    loop {
        let days = walk.next(&catalogue);
        if days.is_empty() {
            return Ok((catalogue, walk.looked()));
        }
        add_days(shelf, home, &days, &mut catalogue).await?;
    }
}

/// Adds the manifests of some days, where there are any.
pub async fn add_days(shelf: &Shelf, home: &Home, days: &[Day], catalogue: &mut Catalogue) -> Result<(), ShelfError> {
    let get = |day: Day| async move {
        let found = shelf.get(&home.manifest_key(day), manifest::BYTES_MAX).await?;
        Ok::<_, ShelfError>((day, found))
    };
    let found: Vec<_> = stream::iter(days.to_vec()).map(get).buffered(MANIFESTS_AT_ONCE).try_collect().await?;
    for (day, found) in found {
        match found {
            Found::Nothing => {}
            Found::Bytes(bytes, _) => catalogue.add(home, day, &bytes),
            Found::Larger(size) => {
                let reason = format!("{size} bytes are more than any manifest has");
                catalogue.findings.push(Finding::Manifest { key: home.manifest_key(day), reason });
            }
        }
    }
    Ok(())
}

/// The bytes of the object of a line, not looked into yet; or why there are none.
pub async fn object(
    shelf: &Shelf,
    home: &Home,
    line: &ManifestLine,
) -> Result<Result<bytes::Bytes, Finding>, ShelfError> {
    let Some(place) = home.place_of(line) else { return Ok(Err(Finding::Key { key: line.key.clone() })) };
    let key = line.key.clone();
    Ok(match shelf.get(&place, line.bytes.min(OBJECT_BYTES_MAX)).await? {
        Found::Bytes(bytes, _) => Ok(bytes),
        Found::Nothing => Err(Finding::ObjectMissing { key }),
        Found::Larger(found) if found == line.bytes => {
            Err(Finding::Unreadable { key, reason: format!("{found} bytes are more than any object has") })
        }
        Found::Larger(found) => Err(Finding::Size { key, expected: line.bytes, found }),
    })
}
