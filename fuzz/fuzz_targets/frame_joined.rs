//! See `instruments::fuzzing::joined`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::joined(bytes));
