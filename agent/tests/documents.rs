//! The configurations that the documents show are right: every `toml` block, run through `check`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidegate::config::{Config, Layers, load};

fn blocks(document: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(root.join(document)).expect("a document");
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(!blocks.is_empty(), "{document} shows no configuration");
    blocks.join("\n")
}

fn checked(text: &str) -> Config {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tidegate.toml");
    fs::write(&file, text).expect("a file");
    load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

#[test]
fn the_readme_shows_configurations_that_are_right() {
    let config = checked(&blocks("README.md"));
    assert_eq!(config.sinks.len(), 3);
    assert_eq!(config.buses.iter().map(|bus| bus.instruments.len()).sum::<usize>(), 2);
}

#[test]
fn the_reference_shows_configurations_that_are_right() {
    let config = checked(&blocks("docs/CONFIG.md"));
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
fn the_guide_to_instruments_shows_configurations_that_are_right() {
    let config = checked(&blocks("docs/INSTRUMENTS.md"));
    assert_eq!(config.buses[0].instruments.len(), 3);
}
