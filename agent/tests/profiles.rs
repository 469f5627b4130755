//! Every shipped profile is a right configuration, decodes its own example line, and what its simulator says is
//! refused by nobody.

use std::collections::BTreeMap;
use std::path::Path;

use instruments::simulate::Simulation;
use instruments::{Output, Protocol};
use model::{Clock, Stamp, Timestamp};
use tidegate::config::{Layers, load, simulated};

fn at() -> Stamp {
    Stamp { time: Timestamp::from_millis(0), mono_ms: 0, clock: Clock::Untrusted }
}

fn bound(profile: &str) -> (Box<dyn Protocol>, usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tidegate.toml");
    let text = format!(
        "[device]\nid = \"d\"\n[bus.b]\nport = \"/dev/ttyS9\"\n[instrument.i]\nbus = \"b\"\nprofile = \"{profile}\"\n"
    );
    std::fs::write(&file, text).expect("a file");
    let config = load(&Layers { file, env: BTreeMap::new() }).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let instrument = &config.buses[0].instruments[0];
    let protocol = instruments::bind(&instrument.protocol, &instrument.fields()).expect("checked just now");
    (protocol, instrument.quantities.len())
}

#[test]
fn every_profile_decodes_its_example() {
    for profile in instruments::profiles::ALL {
        let about: toml::Table = profile.text.parse().expect("a profile is TOML");
        let example = about["example"].as_str().expect("an example line");
        let (mut protocol, _) = bound(profile.name);
        let mut out = Output::default();
        protocol.receive(example.as_bytes(), at(), &mut out);
        protocol.receive(b"\r\n", at(), &mut out);
        assert_eq!(out.counts.refused, 0, "{}: {:?}", profile.name, out.refused);
        assert!(!out.samples.is_empty(), "{}: nothing in {example:?}", profile.name);
    }
}

#[test]
fn what_a_profiles_simulator_says_its_decoder_takes() {
    for profile in instruments::profiles::ALL {
        let simulation = simulated(profile.name, Path::new("/nonexistent")).expect("a profile can be simulated");
        let simulation = Simulation::parse(&simulation.simulation, 7).expect("a simulation");
        let (mut protocol, quantities) = bound(profile.name);
        let mut out = Output::default();
        for number in 0..500 {
            protocol.receive(&simulation.line(number), at(), &mut out);
        }
        assert_eq!(out.counts.refused, 0, "{}: {:?}", profile.name, out.refused);
        assert_eq!(out.samples.len(), 500 * quantities, "{}", profile.name);
    }
}
