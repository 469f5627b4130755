//! Reading the document that says which configuration is wanted.
//!
//! `{"revision", "config", "author"?, "at"?, "device"?}`; or signed, `{"document": "<that, as a text>", "signature":
//! "<hex>"}`: Ed25519 over `tidegate config` and a line feed, and then the text as it stands, so that nothing has to be written anew to be
//! checked. Where the device has a key, nothing else is read.

use std::path::PathBuf;

use model::Timestamp;
use serde_json::{Map, Value};

use crate::config::stage::{Fault, Revision};
use lake::VerifyingKey;

/// What stands before the text that is signed: a signature for something else is none for this.
const SIGNED_HEAD: &[u8] = b"tidegate config\n";
/// The longest name.
const REVISION_BYTES_MAX: usize = 64;
/// The longest author.
const AUTHOR_BYTES_MAX: usize = 256;
/// How deep a document may be nested.
const DEPTH_MAX: usize = 16;

/// Who is believed.
pub struct Keys {
    /// This device.
    pub device: String,
    /// The key's file, where revisions must be signed.
    pub key: Option<PathBuf>,
}

/// A document that can not be used, with as much of its name as could be read.
#[derive(Debug)]
pub struct Unread {
    pub revision: Revision,
    pub faults: Vec<Fault>,
}

fn unread(name: &str, path: &str, message: impl Into<String>) -> Box<Unread> {
    let revision = Revision { revision: name.to_owned(), config: Value::Null, author: None, at: None };
    Box::new(Unread { revision, faults: vec![Fault { path: path.to_owned(), message: message.into() }] })
}

/// Reads a document.
pub fn read(bytes: &[u8], keys: &Keys) -> Result<Revision, Box<Unread>> {
    let object = parse(bytes)?;
    let Some(key) = &keys.key else {
        return match object.get("document") {
            Some(Value::String(text)) => read_plain(parse(text.as_bytes())?, keys),
            _ => read_plain(object, keys),
        };
    };
    // An unsigned one is named, too: whoever sent it looks for that name.
    let name = object.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (Some(Value::String(text)), Some(Value::String(signature))) = (object.get("document"), object.get("signature"))
    else {
        let wanted = "this device takes signed revisions alone: {\"document\", \"signature\"}";
        return Err(unread(&name, "signature", wanted));
    };
    let pem = std::fs::read(key)
        .map_err(|error| unread(&name, "signature", format!("the device can not read its remote.key: {error}")))?;
    let key = VerifyingKey::from_pem(&pem)
        .map_err(|error| unread(&name, "signature", format!("the device's remote.key is no key: {error}")))?;
    let signed = [SIGNED_HEAD, text.as_bytes()].concat();
    // As whoever wrote it calls it: they look for that name.
    let name = parse(text.as_bytes()).ok().and_then(|object| Some(object.get("revision")?.as_str()?.to_owned()));
    let name: String = name.unwrap_or_default().chars().take(REVISION_BYTES_MAX).collect();
    let is_signed = hex::decode(signature).is_ok_and(|signature| key.verifies(&signed, &signature));
    if !is_signed {
        return Err(unread(&name, "signature", "it is not signed by the key that this device believes"));
    }
    let revision = read_plain(parse(text.as_bytes())?, keys)?;
    if revision.at.is_none() {
        let message = "a signed revision says when it was made: without it an old one could be played back";
        return Err(unread(&revision.revision, "at", message));
    }
    Ok(revision)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Box<Unread>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) if depth(&Value::Object(object.clone())) <= DEPTH_MAX => Ok(object),
        Ok(Value::Object(_)) => Err(unread("", "", format!("it is nested deeper than {DEPTH_MAX}"))),
        Ok(_) => Err(unread("", "", "a JSON object is expected: {\"revision\", \"config\"}")),
        Err(error) => Err(unread("", "", format!("it is no JSON: {error}"))),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn read_plain(mut object: Map<String, Value>, keys: &Keys) -> Result<Revision, Box<Unread>> {
    let name = match object.remove("revision") {
        Some(Value::String(name)) if is_name(&name) => name,
        Some(Value::String(name)) => {
            let message = format!("a name has 1 to {REVISION_BYTES_MAX} of letters, digits and . _ : -");
            return Err(unread(&name.chars().take(REVISION_BYTES_MAX).collect::<String>(), "revision", message));
        }
        _ => return Err(unread("", "revision", "is missing: each revision has a name")),
    };
    let Some(config @ Value::Object(_)) = object.remove("config") else {
        return Err(unread(&name, "config", "is missing: an object with the keys to change"));
    };
    let mut text = |key: &str| match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= AUTHOR_BYTES_MAX => Ok(Some(text)),
        Some(_) => Err(unread(&name, key, format!("a text of at most {AUTHOR_BYTES_MAX} bytes is expected"))),
    };
    let (author, at, device) = (text("author")?, text("at")?, text("device")?);
    if at.as_deref().is_some_and(|at| time(at).is_none()) {
        return Err(unread(&name, "at", "a time is expected, such as 2026-11-23T10:00:00Z"));
    }
    if device.is_some_and(|device| device != keys.device) {
        return Err(unread(&name, "device", format!("this is {}", keys.device)));
    }
    if let Some(key) = object.keys().next() {
        return Err(unread(&name, key, "unknown key; known here: revision, config, author, at, device"));
    }
    Ok(Revision { revision: name, config, author, at })
}

fn is_name(name: &str) -> bool {
    (1..=REVISION_BYTES_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-'))
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
}

/// Words, where a revision was made before the one that is held: by their authors' clocks, where both say.
pub fn is_older(revision: &Revision, held: &Revision) -> Option<String> {
    let (made, held_at) = (time(revision.at.as_deref()?)?, time(held.at.as_deref()?)?);
    let words = || {
        format!("it is older than {} of {}, which is in force", held.revision, held.at.as_deref().unwrap_or_default())
    };
    (made < held_at).then(words)
}
