//! See `journal::fuzzing::owed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| journal::fuzzing::owed(bytes));
