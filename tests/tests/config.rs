//! A wrong configuration is refused before anything starts, and the operator is told where, what, and how to put it
//! right.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::agent::{self, exit};
use e2e::places;
use serde_json::Value;

/// A configuration in which all is well.
const GOOD: &str = r#"[device]
id = "gw-1"
site = "farm"

[journal]
path = "/nowhere/journal"
commit_interval = "1s"

[local]
socket = "/nowhere/agent.sock"

[bus.rs485]
port = "/dev/ttyUSB0"
baud = 9600

[instrument.probe]
bus = "rs485"

[instrument.probe.protocol]
type = "stream"
frame = { type = "line", end = "\r\n", max = 64 }
decode = { type = "delimited", sep = ",", columns = 3 }

[instrument.probe.quantity.water_temperature]
field = 1
unit = "Cel"

[sink.usb]
type = "file"
path = "/nowhere/lake"
batch = { max_age = "5m" }
"#;

/// One thing that a person gets wrong.
struct Mistake {
    /// Instead of this ...
    right: &'static str,
    /// ... this.
    wrong: &'static str,
    /// What in it is underlined.
    underlined: &'static str,
    /// What the message must say beside that.
    says: &'static str,
}

const MISTAKES: &[Mistake] = &[
    // An unknown key, and the nearest right one.
    Mistake {
        right: "commit_interval",
        wrong: "comit_interval",
        underlined: "comit_interval",
        says: "commit_interval",
    },
    // A type that is wrong.
    Mistake { right: "baud = 9600", wrong: "baud = \"fast\"", underlined: "\"fast\"", says: "" },
    // A duration that is none.
    Mistake { right: "\"5m\"", wrong: "\"1 fortnight\"", underlined: "\"1 fortnight\"", says: "" },
    // A name that would climb out of a topic.
    Mistake { right: "id = \"gw-1\"", wrong: "id = \"gw/1\"", underlined: "\"gw/1\"", says: "'/'" },
    // A bus that is not there, and the nearest that is.
    Mistake { right: "bus = \"rs485\"", wrong: "bus = \"rs486\"", underlined: "\"rs486\"", says: "rs485" },
    // A word that is none of the choices, and the nearest that is.
    Mistake { right: "type = \"file\"", wrong: "type = \"fil\"", underlined: "\"fil\"", says: "file" },
    // A column that the frame does not have.
    Mistake { right: "field = 1", wrong: "field = 4", underlined: "4", says: "3" },
];

impl Mistake {
    fn made_in(&self, text: &str) -> String {
        assert!(text.contains(self.right), "{} is not there to get wrong", self.right);
        text.replacen(self.right, self.wrong, 1)
    }

    /// `LINE:COLUMN` of what is underlined, from 1.
    fn place(&self, text: &str) -> String {
        let at = text.find(self.wrong).expect("just made") + self.wrong.find(self.underlined).expect("part of it");
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        format!("{}:{}", text[..at].matches('\n').count() + 1, at - line_start + 1)
    }
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("farm.toml");
    fs::write(&file, text).expect("write into the story's folder");
    file
}

#[test]
fn a_mistake_is_told_with_its_place_its_text_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    for mistake in MISTAKES {
        let text = mistake.made_in(GOOD);
        let file = write(dir.path(), &text);
        let place = format!("farm.toml:{}", mistake.place(&text));
        for args in [["check", file.to_str().unwrap()].as_slice(), &["--config", file.to_str().unwrap(), "run"]] {
            let output = agent::run(args);
            let told = agent::stderr(&output) + &agent::stdout(&output);
            assert_eq!(output.status.code(), Some(exit::CONFIG), "{args:?} with {}: {told}", mistake.wrong);
            for part in [place.as_str(), mistake.underlined, mistake.says] {
                assert!(told.contains(part), "{args:?} with {} does not say {part:?}:\n{told}", mistake.wrong);
            }
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let text = MISTAKES[..5].iter().fold(GOOD.to_owned(), |text, mistake| mistake.made_in(&text));
    let file = write(dir.path(), &text);
    let output = agent::run(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(exit::CONFIG));
    let told = agent::stderr(&output) + &agent::stdout(&output);
    for mistake in &MISTAKES[..5] {
        let place = format!("farm.toml:{}", mistake.place(&text));
        assert!(told.contains(&place), "nothing is said of {place} ({}):\n{told}", mistake.wrong);
    }
}

#[test]
fn a_good_configuration_passes_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), GOOD);
    let output = agent::run(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    assert!(!Path::new("/nowhere").try_exists().unwrap(), "check made what it was asked about");
}

#[test]
fn a_configuration_that_is_not_there_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("absent.toml");
    let output = agent::run(&["--config", file.to_str().unwrap(), "run"]);
    assert_eq!(output.status.code(), Some(exit::CONFIG));
    assert!(agent::stderr(&output).contains("absent.toml"));
}

#[test]
fn the_schema_takes_every_configuration_that_is_shown_and_no_value_of_a_wrong_kind() {
    let dir = tempfile::tempdir().unwrap();
    let schema = dir.path().join("schema.json");
    let output = agent::run(&["config", "schema"]);
    assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    fs::write(&schema, &output.stdout).unwrap();
    let root = places::tests().parent().unwrap().to_path_buf();
    let mut files = vec![write(dir.path(), GOOD), root.join("README.md"), root.join("systemd/tidegate.toml")];
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")));
    let judged = places::python("helpers/schema.py").arg(&schema).args(&files).output().unwrap();
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap_or_else(|_| panic!("{}", agent::stderr(&judged)));
    assert!(judged["configurations"].as_u64() >= Some(20), "{judged}");
    assert_eq!(judged["against"], Value::Array(Vec::new()), "{judged:#}");
    assert_eq!(judged["lets"], Value::Array(Vec::new()), "{judged:#}");
}
