//! The fuzzers' corpus, each file as it is, with every bit flipped, and cut short everywhere: nothing panics, and
//! nothing depends on how the line cut it.
//!
//! The files began as what instruments say, good and torn; what a fuzzer finds is added to them.

use std::fs;
use std::path::Path;

use instruments::fuzzing::ALL;

/// Files longer than this are mutated at every so many bytes only.
const BYTES_EACH_MAX: usize = 256;

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz").join(name)
}

#[test]
fn the_corpus_and_all_that_is_a_bit_beside_it_panics_no_decoder() {
    for (name, target) in ALL {
        let mut replayed = 0;
        for entry in fs::read_dir(folder("corpus").join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            target(&bytes);
            let step = bytes.len() / BYTES_EACH_MAX + 1;
            for at in (0..bytes.len()).step_by(step) {
                target(&bytes[..at]);
                target(&bytes[at..]);
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    target(&flipped);
                }
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has a corpus");
    }
}

#[test]
fn every_target_is_built() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for (name, _) in ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} stands in fuzz/Cargo.toml");
        assert!(folder("fuzz_targets").join(format!("{name}.rs")).try_exists().unwrap(), "{name} has a file");
    }
}
