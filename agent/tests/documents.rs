//! What the documents show is right: every `toml` block runs through `check`, every command of the guide to instruments
//! prints what stands below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use tidegate::config::{Config, Layers, load};
use tidegate::doctor::CHECKS;

fn blocks(document: &str, language: &str) -> String {
    each_block(document, language).join(if language == "toml" { "\n" } else { "" })
}

fn each_block(document: &str, language: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(root.join(document)).expect("a document");
    let blocks: Vec<String> = text
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect();
    assert!(!blocks.is_empty(), "{document} shows no {language}");
    blocks
}

fn checked(text: &str) -> Config {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text).expect("a file");
    load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

#[test]
fn the_readme_shows_configurations_that_are_right() {
    let config = checked(&blocks("README.md", "toml"));
    assert_eq!(config.sinks.len(), 3);
    assert_eq!(config.buses.iter().map(|bus| bus.instruments.len()).sum::<usize>(), 2);
}

#[test]
fn the_reference_shows_configurations_that_are_right() {
    let config = checked(&blocks("docs/CONFIG.md", "toml"));
    let optode =
        config.buses.iter().flat_map(|bus| &bus.instruments).find(|instrument| instrument.id.as_str() == "do-4");
    let optode = optode.expect("the optode of the example");
    let temperature =
        optode.quantities.iter().find(|quantity| quantity.series.quantity.as_str() == "water_temperature");
    let temperature = temperature.expect("the profile's quantity");
    assert_eq!(temperature.offset.to_string(), "-0.12", "ours wins over the profile's");
    assert_eq!(temperature.series.unit, "Cel", "and the rest of it stays");
}

#[test]
fn the_guide_to_updates_shows_a_configuration_that_is_right() {
    let update = checked(&blocks("docs/UPDATE.md", "toml")).update;
    assert_eq!(update.key.as_deref(), Some(Path::new("/etc/tidegate/update.pub")));
    assert_eq!(update.spending.max_rate, Some(32 << 10));
    assert!(update.healthy_for < update.health_within);
}

#[test]
fn the_guide_to_the_cloud_shows_configurations_that_are_right() {
    for block in each_block("docs/CLOUD.md", "toml") {
        assert_eq!(checked(&block).sinks.len(), 2);
    }
}

#[test]
fn the_guide_to_provisioning_shows_a_configuration_that_is_right() {
    let config = checked(&blocks("docs/PROVISION.md", "toml"));
    let provision = config.provision.expect("it is what the guide is about");
    assert_eq!(provision.parameters["SerialNumber"], "pond-7");
    assert_eq!(provision.dir, Path::new("/var/lib/tidegate/keys"));
}

#[test]
fn the_guide_to_instruments_shows_configurations_that_are_right() {
    let config = checked(&blocks("docs/INSTRUMENTS.md", "toml"));
    assert_eq!(config.buses[0].instruments.len(), 6);
}

/// As it is installed, and with every setting that waits in it taken up.
#[test]
fn the_packages_default_configuration_is_right_with_and_without_its_comments() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("systemd/tidegate.toml");
    let text = fs::read_to_string(file).expect("the default configuration");
    let config = checked(&text);
    assert_eq!((config.buses.len(), config.sinks.len()), (0, 0), "it touches nothing");
    let settle = |line| {
        let setting = str::strip_prefix(line, '#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        setting.unwrap_or(line)
    };
    let taken_up: Vec<&str> = text.lines().map(settle).collect();
    let config = checked(&taken_up.join("\n"));
    assert_eq!((config.buses.len(), config.sinks.len()), (1, 1));
    assert_eq!(config.device.id.to_string(), "pond-gw-1");
}

/// Every check that there is has a row in the table, in order, and every row is a check.
#[test]
fn operations_says_what_each_check_of_doctor_means() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(root.join("docs/OPERATIONS.md")).expect("a document");
    let (_, table) = text.split_once("| check | what is looked at |").expect("the table");
    let table = table.split("\n\n").next().expect("its end");
    let rows: BTreeMap<&str, &str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.trim_end_matches('|').split_once("` | ")).collect();
    let checks: BTreeSet<&str> = CHECKS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), checks);
    assert!(rows.values().all(|meaning| meaning.trim().len() > 10), "{rows:#?}");
}

/// Every command of the guide, run as it stands there, prints what stands below it.
#[test]
fn the_guide_to_instruments_shows_what_probe_prints() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("guide.toml"), blocks("docs/INSTRUMENTS.md", "toml")).expect("a file");
    let binary = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let programs = binary.parent().expect("a program lies in a folder").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let run = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).current_dir(&folder).env("PATH", &path).output();
        String::from_utf8(output.expect("bash runs it").stdout).expect("text")
    };
    let consoles = blocks("docs/INSTRUMENTS.md", "console");
    let mut commands = 0;
    for (command, shown) in exchanges(&consoles) {
        assert_eq!(run(command), shown, "$ {command}");
        commands += 1;
    }
    assert_eq!(commands, 5);
}

/// Commands, each with what stands below it.
fn exchanges(consoles: &str) -> Vec<(&str, String)> {
    let mut exchanges: Vec<(&str, String)> = Vec::new();
    for line in consoles.split_inclusive('\n') {
        match (line.strip_prefix("$ "), exchanges.last_mut()) {
            (Some(command), _) => exchanges.push((command.trim_end(), String::new())),
            (None, Some((_, shown))) => shown.push_str(line),
            (None, None) => {}
        }
    }
    exchanges
}
