//! See `journal::fuzzing::cursor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| journal::fuzzing::cursor(bytes));
