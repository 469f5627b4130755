//! What a capture must give, computed by somebody else: pynmea2, plain Python, the files of a driver's authors.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::places;
use crate::row::Series;

/// What must come of a capture.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The values of each series, in the order of the capture.
    pub series: Series,
    /// How many readings that is.
    pub readings: u64,
    /// How many frames are no reading.
    pub refused: u64,
}

/// Asks `tests/oracle/<script>` about `file`.
#[track_caller]
pub fn ask(script: &str, file: &Path, args: &[&str], instrument: &str) -> Expected {
    let mut python = places::python(&format!("oracle/{script}"));
    let answer: Value = serde_json::from_slice(&run(python.arg(file).args(args))).expect("an oracle prints JSON");
    let readings = answer["readings"].as_array().expect("an oracle lists readings");
    let mut series = Series::new();
    for reading in readings {
        let quantity = reading["quantity"].as_str().expect("a reading has a quantity").to_owned();
        series.entry((instrument.to_owned(), quantity)).or_default().push(reading["value"].as_f64());
    }
    Expected {
        series,
        readings: u64::try_from(readings.len()).expect("a capture is small"),
        refused: answer["refused"].as_u64().expect("an oracle counts"),
    }
}

/// Takes the logger's time stamps off a capture.
pub fn strip_logger(log: &Path, out: &Path) {
    run(places::python("oracle/dcl.py").arg(log).arg(out));
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("start python");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
