//! See `instruments::fuzzing::delimited`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::delimited(bytes));
