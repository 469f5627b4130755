//! See `instruments::fuzzing::regex`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::regex(bytes));
