//! The fuzzers' corpus, each file as it is, with every bit flipped, and cut short everywhere: nothing panics.
//!
//! The files began as the golden fixtures; what a fuzzer finds is added to them.

use std::fs;
use std::path::Path;

use journal::fuzzing;

/// Files longer than this are mutated at every so many bytes only.
const BYTES_EACH_MAX: usize = 2048;

type Target = (&'static str, fn(&[u8]));

#[test]
fn the_corpus_and_all_that_is_a_bit_beside_it_panics_no_decoder() {
    let targets: [Target; 5] = [
        ("block", fuzzing::block),
        ("cursor", fuzzing::cursor),
        ("log", fuzzing::log),
        ("owed", fuzzing::owed),
        ("sealed", fuzzing::sealed),
    ];
    for (name, target) in targets {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus").join(name);
        let mut replayed = 0;
        for entry in fs::read_dir(&dir).unwrap() {
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
