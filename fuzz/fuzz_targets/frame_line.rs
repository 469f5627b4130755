//! See `instruments::fuzzing::line`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::line(bytes));
