//! The chain of manifest lines of one device and epoch: each names the digest of the one before, so that none can be
//! lost, altered or moved unseen.

use std::collections::HashMap;

use model::{Epoch, RangeSet, SeqRange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::line::ManifestLine;
use crate::verify::Finding;

/// Where a chain has come to. It goes on over midnight: whoever writes keeps it beside the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The journal whose objects it links.
    pub epoch: Epoch,
    /// The digest of the last line, or 64 zeros before the first.
    pub head: Digest,
}

impl Chain {
    /// A chain without lines.
    pub fn start(epoch: Epoch) -> Self {
        Self { epoch, head: Digest::NONE }
    }

    /// Seals a line: says when the object was delivered and links it. Gives the line's text.
    pub fn seal(&mut self, line: ManifestLine, uploaded_at: Timestamp) -> Result<String, LakeError> {
        if line.epoch != self.epoch {
            return Err(LakeError::OtherEpoch { expected: self.epoch.clone(), found: line.epoch });
        }
        let sealed = ManifestLine { uploaded_at: Some(uploaded_at), prev: Some(self.head), ..line };
        let text = sealed.to_text()?;
        self.head = Digest::of(text.as_bytes());
        Ok(text)
    }
}

/// A line with what the chain needs of it.
struct Link {
    line: ManifestLine,
    digest: Digest,
}

/// Checks the lines of one epoch, in the order in which they stand, over as many days as there are. Where they begin
/// in the middle of a chain, the first is taken at its word; `head`, where known, is the digest of the last.
///
/// A line that was altered and one that is missing break the chain in the same way. They are told apart by the ranges:
/// a missing line leaves positions beside its neighbours that no line and no gap answers for.
pub fn verify_chain<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    head: Option<&Digest>,
) -> Result<Vec<Finding>, LakeError> {
    let parse = |text: &str| ManifestLine::parse(text).map(|line| Link { line, digest: Digest::of(text.as_bytes()) });
    let links = texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let holes = uncovered(links.iter().map(|link| &link.line));
    let by_digest: HashMap<Digest, &Link> = links.iter().map(|link| (link.digest, link)).collect();
    let mut findings = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &links[index]);
        findings.extend(broken(link, before, &by_digest, &holes));
    }
    let last = links.last();
    if head.is_some_and(|head| last.map_or(Digest::NONE, |last| last.digest) != *head) {
        findings.push(Finding::LinesCutOff { after: last.map(|last| last.line.key.clone()) });
    }
    Ok(findings)
}

/// What is wrong between a line and the one that stands before it.
fn broken(
    link: &Link,
    before: Option<&Link>,
    by_digest: &HashMap<Digest, &Link>,
    holes: &[SeqRange],
) -> Option<Finding> {
    let key = link.line.key.clone();
    let Some(prev) = link.line.prev else { return Some(Finding::LineAltered { key }) };
    if before.is_some_and(|before| before.digest == prev) {
        return None;
    }
    let follows = by_digest.get(&prev).map(|link| link.line.key.clone());
    let Some(before) = before else { return follows.map(|follows| Finding::LineMoved { key, follows: Some(follows) }) };
    if follows.is_some() || prev.is_none() {
        return Some(Finding::LineMoved { key, follows });
    }
    let touches = |hole: &SeqRange, line: &ManifestLine| hole.first == line.next || hole.next == line.first;
    let beside = holes.iter().filter(|hole| touches(hole, &before.line) || touches(hole, &link.line));
    let ranges: Vec<_> = beside.copied().collect();
    if ranges.is_empty() {
        return Some(Finding::LineAltered { key: before.line.key.clone() });
    }
    Some(Finding::LineMissing { before: key, ranges })
}

/// Positions of one epoch, between the first and the last, that no line answers for and no recorded gap explains.
pub fn uncovered<'a>(lines: impl IntoIterator<Item = &'a ManifestLine>) -> Vec<SeqRange> {
    let mut held = RangeSet::new();
    for line in lines {
        held.insert(line.range());
        for (first, next) in line.gaps.iter().filter_map(|gap| gap.lost_first.zip(gap.lost_next)) {
            held.insert(SeqRange::new(first, next));
        }
    }
    let whole = held.ranges().first().zip(held.ranges().last());
    whole.map_or_else(Vec::new, |(first, last)| held.missing(SeqRange::new(first.first, last.next)))
}
