//! See `journal::fuzzing::sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| journal::fuzzing::sealed(bytes));
