//! Two manifests of one day become one, as when a stick is carried to a bucket that has some of its lines already.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::catalogue::Entry;
use crate::digest::Digest;

/// The lines of both, each once: along the chains, and those in order of upload. What is there stays as it stands
/// where nothing is added.
pub fn merge(there: &[Entry], more: &[Entry]) -> Vec<Entry> {
    let mut seen: HashSet<&str> = there.iter().map(|entry| entry.text.as_str()).collect();
    let added: Vec<&Entry> = more.iter().filter(|entry| seen.insert(&entry.text)).collect();
    if added.is_empty() {
        return there.to_vec();
    }
    let mut rest: Vec<&Entry> = there.iter().chain(added).collect();
    rest.sort_by_key(|entry| (entry.line.uploaded_at, entry.line.first));
    along_chains(&rest)
}

fn along_chains(entries: &[&Entry]) -> Vec<Entry> {
    let digests: HashSet<Digest> = entries.iter().map(|entry| Digest::of(entry.text.as_bytes())).collect();
    let mut by_prev: HashMap<Digest, VecDeque<&Entry>> = HashMap::new();
    let mut starts = Vec::new();
    for &entry in entries {
        match entry.line.prev {
            Some(prev) if digests.contains(&prev) => by_prev.entry(prev).or_default().push_back(entry),
            _ => starts.push(entry),
        }
    }
    let mut merged = Vec::with_capacity(entries.len());
    let mut waiting: Vec<&Entry> = starts.into_iter().rev().collect();
    while let Some(entry) = waiting.pop() {
        let followers = by_prev.remove(&Digest::of(entry.text.as_bytes())).unwrap_or_default();
        merged.push(entry.clone());
        waiting.extend(followers.into_iter().rev());
    }
    merged
}
