//! See `instruments::fuzzing::gap`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::gap(bytes));
