//! The chain of manifest lines of one device and epoch: each names the digest of the one before, so that none can be
//! lost, altered or moved unseen.

use std::collections::HashMap;

use model::{Epoch, RangeSet, SeqRange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::LakeError;
use crate::line::ManifestLine;
use crate::signature::SigningKey;
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
    ///
    /// With a key the line is signed, too.
    pub fn seal(
        &mut self,
        line: ManifestLine,
        uploaded_at: Timestamp,
        key: Option<&SigningKey>,
    ) -> Result<String, LakeError> {
        if line.epoch != self.epoch {
            return Err(LakeError::OtherEpoch { expected: self.epoch.clone(), found: line.epoch });
        }
        let sealed = ManifestLine { uploaded_at: Some(uploaded_at), prev: Some(self.head), ..line };
        let plain = sealed.to_text()?;
        let text = key.map_or(plain.clone(), |key| key.sign(&plain));
        self.head = Digest::of(text.as_bytes());
        Ok(text)
    }
}

/// A line with what the chain needs of it.
#[derive(Clone, Copy)]
pub(crate) struct Link<'a> {
    pub(crate) line: &'a ManifestLine,
    pub(crate) digest: Digest,
}

/// Checks the lines of one epoch, in the order in which they stand, over as many days as there are. Where they begin
/// in the middle of a chain, the first is taken at its word; `head`, where known, is the digest of the last.
///
/// A line that was altered and one that is missing break the chain in the same way. They are told apart by the ranges:
/// a missing line leaves positions beside its neighbours that no line and no gap answers for.
///
/// A lake into which another one was imported has a chain of each sink that wrote it, and each must hold.
pub fn verify_chain<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    head: Option<&Digest>,
) -> Result<Vec<Finding>, LakeError> {
    let parse = |text: &str| ManifestLine::parse(text).map(|line| (line, Digest::of(text.as_bytes())));
    let parsed = texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let links: Vec<_> = parsed.iter().map(|(line, digest)| Link { line, digest: *digest }).collect();
    Ok(check_chain(&links, head))
}

/// The same for lines that were read before.
pub(crate) fn check_chain(links: &[Link<'_>], head: Option<&Digest>) -> Vec<Finding> {
    let holes = uncovered(links.iter().map(|link| link.line));
    let links = &in_place(links);
    let by_digest: HashMap<Digest, &Link<'_>> = links.iter().map(|link| (link.digest, link)).collect();
    let chains = strands(links, &by_digest);
    let mut findings = Vec::new();
    for chain in &chains {
        for (index, link) in chain.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| chain[index]);
            findings.extend(broken(link, before, &by_digest, &holes));
        }
    }
    let is_end = |head: &Digest| match chains.as_slice() {
        [] => head.is_none(),
        chains => chains.iter().filter_map(|chain| chain.last()).any(|last| last.digest == *head),
    };
    if head.is_some_and(|head| !is_end(head)) {
        findings.push(Finding::LinesCutOff { after: links.last().map(|last| last.line.key.clone()) });
    }
    findings
}

/// Lines that were made again stand wherever they were put; they belong where their positions are.
fn in_place<'a>(links: &[Link<'a>]) -> Vec<Link<'a>> {
    let (mut rebuilt, sealed): (Vec<_>, Vec<_>) = links.iter().copied().partition(|link| link.line.rebuilt);
    rebuilt.sort_by_key(|link| link.line.first);
    let mut rebuilt = rebuilt.into_iter().peekable();
    let mut placed = Vec::with_capacity(links.len());
    for link in sealed {
        while let Some(before) = rebuilt.next_if(|before| before.line.first < link.line.first) {
            placed.push(before);
        }
        placed.push(link);
    }
    placed.extend(rebuilt);
    placed
}

/// The chains in these lines. A line that follows none begins another one if it says so, or where nothing is broken by
/// that: it names no line that is here, and every chain so far goes on behind it.
fn strands<'l, 'a>(links: &'l [Link<'a>], by_digest: &HashMap<Digest, &Link<'a>>) -> Vec<Vec<&'l Link<'a>>> {
    let last_named: HashMap<Digest, usize> =
        links.iter().enumerate().filter_map(|(index, link)| link.line.prev.map(|prev| (prev, index))).collect();
    let mut chains: Vec<Vec<&Link<'a>>> = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let prev = link.line.prev.unwrap_or_default();
        let tail = |chain: &Vec<&Link<'a>>| chain.last().map(|last| last.digest);
        let follows = chains.iter().position(|chain| tail(chain) == Some(prev));
        let goes_on = |chain| tail(chain).and_then(|tail| last_named.get(&tail)).is_some_and(|named| *named > index);
        let is_apart = !by_digest.contains_key(&prev) && chains.iter().all(goes_on);
        let is_start = link.line.prev.is_some() && (prev.is_none() || is_apart);
        let bridges = |chain: &Vec<&Link<'a>>| chain.last().is_some_and(|last| is_bridged(last, link));
        let follows = follows.or_else(|| chains.iter().position(bridges));
        match follows.or_else(|| chains.len().checked_sub(1).filter(|_| !is_start)) {
            Some(chain) => chains[chain].push(link),
            None => chains.push(vec![link]),
        }
    }
    chains
}

/// Whether the chain may be broken here: a line that was made again has another digest than the one that was lost, so
/// the next is believed if positions join.
fn is_bridged(before: &Link<'_>, link: &Link<'_>) -> bool {
    (before.line.rebuilt || link.line.rebuilt) && before.line.next == link.line.first
}

/// What is wrong between a line and the one that stands before it.
fn broken(
    link: &Link<'_>,
    before: Option<&Link<'_>>,
    by_digest: &HashMap<Digest, &Link<'_>>,
    holes: &[SeqRange],
) -> Option<Finding> {
    let key = link.line.key.clone();
    let Some(prev) = link.line.prev else { return Some(Finding::LineAltered { key }) };
    if before.is_some_and(|before| before.digest == prev || is_bridged(before, link)) {
        return None;
    }
    let follows = by_digest.get(&prev).map(|link| link.line.key.clone());
    let Some(before) = before else { return follows.map(|follows| Finding::LineMoved { key, follows: Some(follows) }) };
    if follows.is_some() || prev.is_none() {
        return Some(Finding::LineMoved { key, follows });
    }
    let touches = |hole: &SeqRange, line: &ManifestLine| hole.first == line.next || hole.next == line.first;
    let beside = holes.iter().filter(|hole| touches(hole, before.line) || touches(hole, link.line));
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
