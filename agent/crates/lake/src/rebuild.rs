//! The catalogue made again from the objects, where manifests were lost.
//!
//! A line that is there stays as it stands: the chain holds it. Lines are made for the objects that none names. They
//! have what the object says and `rebuilt`, and they name the line before them, so that the chain leads up to them; the
//! line that comes next was sealed by the device and can not name one of these. That break is what `rebuilt` admits.

use std::collections::BTreeMap;

use model::{Seq, Timestamp};

use crate::catalogue::Entry;
use crate::digest::Digest;
use crate::error::LakeError;
use crate::line::ManifestLine;

/// Links lines that were made again ([`rebuild`](crate::rebuild)), each with the time at which its object came to lie
/// there, to those that are there. The same objects make the same lines.
pub fn link_rebuilt(written: &[Entry], made: Vec<(ManifestLine, Timestamp)>) -> Result<Vec<Entry>, LakeError> {
    let mut made = made;
    // By name: journals have no order, and need none here.
    let place = |line: &ManifestLine| (line.epoch.to_string(), line.first);
    made.sort_by_cached_key(|(line, _)| place(line));
    let digest = |text: &str| Digest::of(text.as_bytes());
    let mut digests: BTreeMap<(String, Seq), Digest> =
        written.iter().map(|entry| (place(&entry.line), digest(&entry.text))).collect();
    let mut linked = Vec::with_capacity(made.len());
    for (line, uploaded_at) in made {
        let of_epoch = (line.epoch.to_string(), Seq(0))..place(&line);
        let before = digests.range(of_epoch).next_back().map_or(Digest::NONE, |(_, digest)| *digest);
        let line = ManifestLine { uploaded_at: Some(uploaded_at), prev: Some(before), rebuilt: true, ..line };
        let text = line.to_text()?;
        digests.insert(place(&line), digest(&text));
        linked.push(Entry { text, line });
    }
    Ok(linked)
}
