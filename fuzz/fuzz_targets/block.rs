//! See `journal::fuzzing::block`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| journal::fuzzing::block(bytes));
