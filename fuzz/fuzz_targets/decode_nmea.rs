//! See `instruments::fuzzing::nmea`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instruments::fuzzing::nmea(bytes));
