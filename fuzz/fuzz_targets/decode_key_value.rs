//! See `instruments::fuzzing::key_value`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::key_value(bytes));
