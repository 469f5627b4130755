//! See `instruments::fuzzing::sdi12`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::sdi12(bytes));
