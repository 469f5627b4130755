//! The layers of a configuration and what is said about a wrong one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use tidegate::config::stage::{Revision, Stage};
use tidegate::config::{Layers, Located, load};

struct Files {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Files {
    fn new(main: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a temporary folder"), env: BTreeMap::new() };
        files.write("tidegate.toml", main);
        files
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tidegate.toml")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn load(&self) -> Result<tidegate::config::Config, Vec<Located>> {
        load(&Layers { file: self.path(), env: self.env.clone() }).map_err(|error| error.located())
    }
}

#[test]
fn later_layers_win_and_environment_is_the_last() {
    let mut files = Files::new("[device]\nid = \"a\"\nsite = \"one\"\ntags = { farm = \"north\" }\n");
    files.write("conf.d/20-late.toml", "[device]\nsite = \"three\"\n");
    files.write("conf.d/10-early.toml", "[device]\nsite = \"two\"\ntags = { pond = \"4\" }\n");
    files.write("conf.d/ignored.txt", "[nonsense]\n");
    let device = files.load().expect("right").device;
    assert_eq!((device.id.as_str(), device.site.as_str()), ("a", "three"));
    assert_eq!(device.tags.len(), 2, "tables join key by key");

    files.env.insert("TIDEGATE__DEVICE__SITE".to_owned(), "four".to_owned());
    files.env.insert("TIDEGATE__JOURNAL__COMMIT_READINGS".to_owned(), "77".to_owned());
    files.env.insert("DEVICE__SITE".to_owned(), "never".to_owned());
    let config = files.load().expect("right");
    assert_eq!((config.device.site.as_str(), config.journal.commit_readings), ("four", 77));
}

#[test]
fn every_problem_is_found_and_points_at_its_own_layer() {
    let mut files = Files::new("[device]\nidd = \"a\"\n\n[journal]\ncommit_interval = 5\n\n[sink.s]\ntype = \"s4\"\n");
    files.write("conf.d/more.toml", "[bus.b]\nport = \"/dev/x\"\nbaudd = 9600\n");
    files.env.insert("TIDEGATE__JOURNAL__MAX_BYTES".to_owned(), "lots".to_owned());
    let problems = files.load().expect_err("four things are wrong");
    let found: Vec<(&str, usize, usize, &str)> =
        problems.iter().map(|p| (p.path.as_str(), p.line, p.column, p.text.as_str())).collect();
    assert_eq!(
        found,
        [
            ("device.idd", 2, 1, "idd"),
            ("journal.commit_interval", 5, 19, "5"),
            ("sink.s.type", 8, 8, "\"s4\""),
            ("bus.b.baudd", 3, 1, "baudd"),
            ("journal.max_bytes", 1, 1, "lots"),
        ]
    );
    assert!(problems[0].help.as_deref().is_some_and(|help| help.contains("`id`")), "{:?}", problems[0].help);
    assert!(problems[2].help.as_deref().is_some_and(|help| help.contains("\"s3\"")), "{:?}", problems[2].help);
    assert!(problems[3].source.ends_with("conf.d/more.toml"));
    assert_eq!(problems[4].source, "environment variable TIDEGATE__JOURNAL__MAX_BYTES");
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let files = Files::new("[device]\nid = \n\n[journal]\ncommit_reading = 5\n");
    let problems = files.load().expect_err("two things are wrong");
    assert!(problems.iter().any(|problem| problem.line == 2), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.path == "journal.commit_reading"), "{problems:?}");
}

#[test]
fn a_decoder_and_its_fields_must_fit() {
    let files = Files::new(
        "[device]\nid = \"d\"\n[bus.b]\nport = \"/dev/x\"\n[instrument.i]\nbus = \"b\"\n\
         protocol = { type = \"stream\", decode = { type = \"delimited\", sep = \",\", columns = 2 } }\n\
         [instrument.i.quantity.q]\nfield = 3\n",
    );
    let problems = files.load().expect_err("there is no column 3");
    assert_eq!((problems[0].path.as_str(), problems[0].line), ("instrument.i.quantity.q.field", 9));
}

/// It stands between the files and the environment, as a patch; one that the device can not use is left out, whatever else
/// it says.
#[test]
fn a_revision_from_afar_lies_over_the_files_and_under_the_environment() {
    let mut files = Files::new("[device]\nid = \"d\"\n");
    let journal = files.folder.path().join("journal");
    fs::create_dir(&journal).expect("a folder");
    let text = format!(
        "[device]\nid = \"d\"\n[journal]\npath = \"{}\"\ncommit_interval = \"2s\"\n[clock]\nhold_untrusted = \"1m\"\n\
         [sink.cloud]\ntype = \"mqtt\"\nurl = \"mqtt://h\"\n[remote]\nallow = [\"journal.commit_interval\", \"clock\"]\n",
        journal.display()
    );
    files.write("tidegate.toml", &text);
    let keep = |config: serde_json::Value| {
        let mut stage = Stage::default();
        stage.begin(Revision { revision: "r1".to_owned(), config, author: None, at: None });
        stage.store(&journal).expect("a writable folder");
    };
    let seconds = |files: &Files| {
        let config = files.load().expect("right");
        let held = (config.journal.commit_interval.as_secs(), config.clock.hold_untrusted.as_secs());
        (held, config.revision().map(str::to_owned))
    };
    keep(json!({"journal": {"commit_interval": "5s"}, "clock": {"hold_untrusted": null}}));
    assert_eq!(seconds(&files), ((5, 600), Some("r1".to_owned())), "null takes a key out: the default is back");
    files.env.insert("TIDEGATE__JOURNAL__COMMIT_INTERVAL".to_owned(), "7s".to_owned());
    assert_eq!(seconds(&files), ((7, 600), Some("r1".to_owned())));
    keep(json!({"journal": {"commit_interval": "5s", "max_bytes": "1GiB"}}));
    assert_eq!(seconds(&files), ((7, 60), None), "it touches what it may not");
    keep(json!({"clock": {"hold_untrusted": 5}}));
    assert_eq!(seconds(&files), ((7, 60), None), "it is wrong");
    fs::write(Stage::file(&journal), "rubbish").expect("write");
    assert_eq!(seconds(&files), ((7, 60), None), "it is damaged");
}

#[test]
fn the_hash_is_of_what_is_said_not_of_how() {
    let one = Files::new("[device]\nid = \"d\" # us\nsite = \"s\"\n").load().expect("right").hash;
    let same = Files::new("device = { site = \"s\", id = \"d\" }\n").load().expect("right").hash;
    let other = Files::new("[device]\nid = \"d\"\nsite = \"t\"\n").load().expect("right").hash;
    assert_eq!(one, same);
    assert_ne!(one, other);
}
