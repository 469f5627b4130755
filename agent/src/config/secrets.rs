//! What of a configuration may not leave the device, and taking it out of any text: the support bundle has to be one that
//! a person can send by mail.
//!
//! Secret are the values of keys that are called so (passwords, tokens, logins' names), the contents of the files that
//! keys name for that (`*_file`, private keys), and what `{env:NAME}` stands for. They are looked for in every layer: what a
//! later one replaces is a secret all the same. Known ones are found literally; beside them go private keys, logins in
//! URLs, and whatever stands behind a word for a secret, so that a text from elsewhere has none either.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::device::{self, DeviceConfig, credential};
use super::layers::{ENV_PREFIX, Layers, drop_ins, env_value, merge, stage_of};
use super::node::{Node, Tree};
use super::section::{Problems, Section};
use super::shown::{ShownKey, shown};
use super::source::{Sources, read_bounded};

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Words in the name of a key whose value is secret.
const WORDS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "username", "access_key_id"];
/// A shorter secret is looked for as a word by itself: it stands in half of all words.
const LITERAL_BYTES_MIN: usize = 4;
/// Lines of a key file that are no shorter are secrets by themselves: a log cuts lines apart.
const LINE_BYTES_MIN: usize = 8;
/// Largest file that holds a secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A secret.
    Secret,
    /// The name of a file that holds one.
    File,
    Plain,
}

fn role(section: &str, key: &str) -> Role {
    let key = key.to_ascii_lowercase();
    let is_key = key == "key" && matches!(section, "tls" | "credentials");
    let is_shared = key == "path" && section == "credentials";
    if key.ends_with("_file") || is_key || is_shared || matches!(key.as_str(), "claim_key" | "signing_key") {
        Role::File
    } else if WORDS.iter().any(|word| key.contains(word)) {
        Role::Secret
    } else {
        Role::Plain
    }
}

/// A word for a secret, and what is said to be it.
static SAID: LazyLock<Regex> = LazyLock::new(|| {
    let words = WORDS.join("|");
    let value = r#""""(?s:.*?)"""|'''(?s:.*?)'''|"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[^\s"',;}]+"#;
    Regex::new(&format!(r#"((?i-u:{words}))([\w-]*["']?[ \t]*[=:][ \t]*)({value})"#)).expect("a literal pattern")
});
static LOGIN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"://[^\s"'<>]*@"#).expect("a literal pattern"));
/// Also one whose end was cut off, and then one whose beginning was.
static PRIVATE_KEYS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    let (begin, end) = ("-----BEGIN [A-Z ]*PRIVATE KEY-----", "-----END [A-Z ]*PRIVATE KEY-----");
    [format!(r"(?s){begin}.*?(?:{end}|\z)"), format!(r"(?s)\A.*?{end}")]
        .map(|pattern| Regex::new(&pattern).expect("a literal pattern"))
});

/// Takes secrets out of texts.
pub struct Redactor {
    env: BTreeMap<String, String>,
    device: DeviceConfig,
    /// Longest first: one may hold another.
    known: Vec<String>,
    unknown: BTreeSet<String>,
}

impl Redactor {
    /// Knows every secret of these layers and of the revisions beside them.
    pub fn of(layers: &Layers) -> Self {
        let merged = merge(layers, None);
        let nobody_reads = Problems::default();
        let device = device::read(&Section::root(&merged.root, &nobody_reads));
        let mut redactor = Self { env: layers.env.clone(), device, known: Vec::new(), unknown: BTreeSet::new() };
        let mut sources = Sources::default();
        for file in files(layers) {
            if let Ok(text) = read_bounded(&file) {
                let source = sources.add(file.display().to_string(), text);
                redactor.learn("", "", &Node::parse_toml(&sources, source, &mut Vec::new()));
            }
        }
        for (name, value) in &layers.env {
            let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
            let source = sources.add(name.clone(), value.clone());
            let lower = path.to_ascii_lowercase();
            let mut parts = lower.rsplit("__");
            let (key, section) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            redactor.learn(section, key, &env_value(&sources, source));
        }
        let (stage, _) = stage_of(layers);
        for revision in stage.confirmed.iter().chain(stage.trial.as_ref().map(|trial| &trial.revision)) {
            let mut node = Node::empty(0);
            node.patch(&revision.config);
            redactor.learn("", "", &node);
        }
        redactor.known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        redactor.known.dedup();
        redactor
    }

    /// Secrets that there are and that could not be read here, in words: a text may hold them.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(String::as_str)
    }

    /// How many are known.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    fn learn(&mut self, section: &str, key: &str, node: &Node) {
        match &node.value {
            Tree::Table(_) => node.children().for_each(|(name, child)| self.learn(key, name, child)),
            Tree::List(items) => items.iter().for_each(|item| self.learn(section, key, item)),
            Tree::Text(text) => self.learn_text(role(section, key), key, text),
            Tree::Integer(number) if role(section, key) == Role::Secret => self.add(&number.to_string()),
            _ => {}
        }
    }

    fn learn_text(&mut self, role: Role, key: &str, text: &str) {
        let mut rest = text;
        while let Some((name, behind)) = rest.split_once("{env:").and_then(|(_, rest)| rest.split_once('}')) {
            match self.env.get(name).cloned() {
                Some(value) => self.add(&value),
                None => drop(self.unknown.insert(format!("the value of {{env:{name}}}"))),
            }
            rest = behind;
        }
        match role {
            Role::Plain => {}
            Role::Secret => {
                let expanded = self.expanded(text);
                let is_name = key.ends_with("username");
                let is_said_anyway = [self.device.id.as_str(), self.device.site.as_str(), "tidegate"];
                if !(is_name && is_said_anyway.contains(&expanded.as_str())) {
                    self.add(&expanded);
                }
            }
            Role::File => {
                let path = self.expanded(text);
                match read_secret(Path::new(&path)) {
                    Ok(contents) => self.learn_contents(&contents),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.unknown.insert(format!("the contents of {path}"));
                    }
                    Err(_) => {}
                }
                if !self.is_path(text) {
                    self.add(text);
                }
            }
        }
    }

    /// A password's file is one line, an AWS credentials file has `name = value`, a key has lines between two marks.
    fn learn_contents(&mut self, contents: &str) {
        self.add(contents.trim());
        for line in contents.lines().map(str::trim).filter(|line| !line.starts_with("-----") && !line.starts_with('['))
        {
            if line.len() >= LINE_BYTES_MIN {
                self.add(line);
            }
            if let Some((name, value)) = line.split_once('=')
                && name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && role("", name.trim()) == Role::Secret
            {
                self.add(value.trim());
            }
        }
    }

    fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        self.known.push(secret.to_owned());
        // As a log line writes it in quotes.
        let escaped = secret.escape_debug().to_string();
        if escaped != secret {
            self.known.push(escaped);
        }
    }

    fn expanded(&self, text: &str) -> String {
        let folder = self.env.get("CREDENTIALS_DIRECTORY").map(String::as_str);
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, (name, behind))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            out.push_str(before);
            match name.split_once(':') {
                None if name == "device" => out.push_str(self.device.id.as_str()),
                None if name == "site" => out.push_str(self.device.site.as_str()),
                Some(("env", name)) => out.push_str(self.env.get(name).map_or("", String::as_str)),
                Some(("credential", name)) => out.push_str(&credential(name, folder).unwrap_or_default()),
                _ => {}
            }
            rest = behind;
        }
        out + rest
    }

    /// Whether the value of a key for a file is the name of one, and no secret that was put there by mistake.
    fn is_path(&self, text: &str) -> bool {
        let path = PathBuf::from(self.expanded(text));
        let has_folder = path.parent().is_some_and(|folder| folder != Path::new("/") && folder.is_dir());
        text.starts_with("{credential:") || (path.is_absolute() && (has_folder || path.is_file()))
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for key in &*PRIVATE_KEYS {
            out = key.replace_all(&out, REDACTED).into_owned();
        }
        for secret in &self.known {
            if !out.contains(secret.as_str()) {
                continue;
            }
            out = if secret.len() < LITERAL_BYTES_MIN {
                without_word(&out, secret)
            } else {
                out.replace(secret.as_str(), REDACTED)
            };
        }
        let out = LOGIN.replace_all(&out, format!("://{REDACTED}@"));
        let said = SAID.replace_all(&out, |found: &Captures<'_>| {
            // The name of a file is no secret.
            if found[2].contains("_file") || found[3].contains(REDACTED) {
                return found[0].to_owned();
            }
            let quote =
                found[3].chars().next().filter(|c| matches!(c, '"' | '\'')).map(String::from).unwrap_or_default();
            format!("{}{}{quote}{REDACTED}{quote}", &found[1], &found[2])
        });
        said.into_owned()
    }

    /// The document without secrets.
    pub fn json(&self, document: &mut Value) {
        self.json_of("", "", document);
    }

    fn json_of(&self, section: &str, key: &str, value: &mut Value) {
        match value {
            Value::Object(object) => object.iter_mut().for_each(|(name, value)| self.json_of(key, name, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json_of(section, key, item)),
            Value::String(text) => *text = self.value(role(section, key), text),
            Value::Number(_) if role(section, key) == Role::Secret => *value = REDACTED.into(),
            _ => {}
        }
    }

    fn value(&self, role: Role, text: &str) -> String {
        match role {
            Role::Secret => REDACTED.to_owned(),
            Role::File if !self.is_path(text) => REDACTED.to_owned(),
            _ => self.text(text),
        }
    }

    /// The configuration in force without secrets.
    pub fn shown(&self, layers: &Layers) -> Vec<ShownKey> {
        let mut keys = shown(layers);
        for shown in &mut keys {
            let mut names = shown.key.rsplit('.');
            let (key, section) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            let written: Option<String> =
                shown.value.parse::<toml::Value>().ok().and_then(|value| value.try_into().ok());
            shown.value = match (role(section, key), written) {
                (Role::Plain, None) => self.text(&shown.value),
                (_, None) => REDACTED.to_owned(),
                (role, Some(text)) => toml::Value::from(self.value(role, &text)).to_string(),
            };
        }
        keys
    }

    /// The files of the configuration as they are written, without secrets.
    pub fn files(&self, layers: &Layers) -> Vec<(PathBuf, io::Result<String>)> {
        files(layers).into_iter().map(|file| (file.clone(), read_bounded(&file).map(|text| self.file(&text)))).collect()
    }

    fn file(&self, text: &str) -> String {
        let (mut sources, mut problems) = (Sources::default(), Vec::new());
        let source = sources.add("", text);
        let root = Node::parse_toml(&sources, source, &mut problems);
        let mut out = text.to_owned();
        let mut places = Vec::new();
        self.places("", "", &root, &mut places);
        places.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for ((start, end), value) in places {
            out.replace_range(start..end, &toml::Value::from(value).to_string());
        }
        // A comment may have an old password, and in a file that is broken it is not known what is a value.
        let hides = |text: &str| SAID.is_match(text) || text.split(|c: char| !c.is_alphanumeric()).any(is_word);
        let lines = out.lines().map(|line| match line.split_once('#') {
            Some((before, comment)) if hides(comment) => format!("{before}# {REDACTED}\n"),
            _ if !problems.is_empty() && hides(line) && !line.contains("_file") => format!("# {REDACTED}\n"),
            _ => format!("{line}\n"),
        });
        self.text(&lines.collect::<String>())
    }

    fn places(&self, section: &str, key: &str, node: &Node, places: &mut Vec<((usize, usize), String)>) {
        let place = (node.at.span.start, node.at.span.end);
        match &node.value {
            Tree::Table(_) => node.children().for_each(|(name, child)| self.places(key, name, child, places)),
            Tree::List(items) => items.iter().for_each(|item| self.places(section, key, item, places)),
            Tree::Text(text) => {
                let said = self.value(role(section, key), text);
                if said != *text {
                    places.push((place, said));
                }
            }
            _ if role(section, key) == Role::Secret => places.push((place, REDACTED.to_owned())),
            _ => {}
        }
    }
}

fn is_word(word: &str) -> bool {
    WORDS.contains(&word.to_ascii_lowercase().as_str())
}

fn files(layers: &Layers) -> Vec<PathBuf> {
    std::iter::once(layers.file.clone()).chain(drop_ins(&layers.file)).collect()
}

fn read_secret(file: &Path) -> io::Result<String> {
    let about = std::fs::metadata(file)?;
    if !about.is_file() || about.len() > SECRET_FILE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    std::fs::read_to_string(file)
}

fn without_word(text: &str, word: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (start, _) in text.match_indices(word) {
        let end = start + word.len();
        let is_part = text[..start].ends_with(char::is_alphanumeric) || text[end..].starts_with(char::is_alphanumeric);
        if !is_part {
            out.push_str(&text[at..start]);
            out.push_str(REDACTED);
            at = end;
        }
    }
    out + &text[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(dir: &Path, config: &str, env: &[(&str, &str)]) -> (Redactor, Layers) {
        let file = dir.join("tidegate.toml");
        std::fs::write(&file, config).expect("a folder of our own");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let layers = Layers { file, env };
        (Redactor::of(&layers), layers)
    }

    #[test]
    fn what_is_secret_is_found_wherever_it_stands() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let password = dir.path().join("password");
        std::fs::write(&password, "c0rrect \"horse\"\n").expect("written");
        let config = format!(
            "[device]\nid = \"gw-1\"\n# the old password was swordfish\n[sink.cloud]\nusername = \"otto\"\npassword = \"in \
             the wrong place\"\npassword_file = \"{}\"\ntopic = \"a/{{env:TOPIC}}\"\nsecret_access_key_file = \
             \"/wJalrXUtnFEMI/K7MDENG\"\n",
            password.display()
        );
        let (redactor, layers) = redactor(dir.path(), &config, &[("TOPIC", "hidden-farm")]);
        let log = "said c0rrect \"horse\", \"c0rrect \\\"horse\\\"\", otto, hidden-farm, in the wrong place, swordfish? \
                   http://me:too@host/ token=abc Password: 'x y' end";
        let clean = redactor.text(log);
        for secret in ["c0rrect", "otto", "hidden-farm", "wrong place", "me:too", "abc", "x y"] {
            assert!(!clean.contains(secret), "{secret}: {clean}");
        }
        assert!(clean.contains("host/") && clean.ends_with(" end"), "{clean}");
        let files = redactor.files(&layers);
        let file = files[0].1.as_ref().expect("it is there");
        for secret in ["swordfish", "otto", "wrong place", "wJalr"] {
            assert!(!file.contains(secret), "{secret}: {file}");
        }
        assert!(file.contains("{env:TOPIC}") && file.contains(&format!("password_file = \"{}\"", password.display())));
        let shown = format!("{:?}", redactor.shown(&layers));
        assert!(!shown.contains("otto") && !shown.contains("wJalr") && shown.contains("gw-1"), "{shown}");
        assert_eq!(redactor.unknown().count(), 0);
    }

    #[test]
    fn a_file_that_does_not_parse_shows_no_secret_either() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = "[sink.cloud\nusername = \"otto\nthe password is = = \"hunter2 and more\"\nurl = \"mqtt://x\"\n";
        let (redactor, layers) = redactor(dir.path(), config, &[]);
        let file = redactor.files(&layers).remove(0).1.expect("it is there");
        assert!(!file.contains("otto") && !file.contains("hunter2") && !file.contains("more"), "{file}");
        assert!(file.contains("mqtt://x"), "{file}");
    }

    #[test]
    fn a_private_key_goes_whole_or_cut() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (redactor, _) = redactor(dir.path(), "", &[]);
        let (begin, end) = ("-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----");
        assert_eq!(redactor.text(&format!("a {begin}\nMHc\n{end} b")), "a [redacted] b");
        assert_eq!(redactor.text(&format!("a {begin}\nMHc\n")), "a [redacted]");
        assert_eq!(redactor.text(&format!("MHc\n{end} b")), "[redacted] b");
    }

    #[test]
    fn what_is_not_known_here_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (redactor, _) = redactor(dir.path(), "[sink.a]\nurl = \"{env:BROKER}\"\n", &[]);
        assert_eq!(redactor.unknown().collect::<Vec<_>>(), ["the value of {env:BROKER}"]);
    }

    #[test]
    fn a_short_secret_is_found_as_a_word() {
        assert_eq!(without_word("pw is pw, not pwd", "pw"), "[redacted] is [redacted], not pwd");
    }
}
