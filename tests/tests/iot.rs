//! The far side of AWS IoT Core that stories use: AWS's own clients find in it what they know of the real one.

use std::path::Path;

use e2e::process::leashed;
use e2e::{agent, places};

/// What `iot_proof.py` says last: none may be forgotten.
const VERDICT: &str = "40 claims hold, 0 parts differ";

#[test]
fn aws_own_clients_are_devices_of_it() {
    let python = places::python("helpers/iot_proof.py");
    let output = leashed(Path::new(python.get_program())).args(python.get_args()).output().expect("python runs");
    let said = agent::stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", agent::stderr(&output));
    assert_eq!(said.lines().last(), Some(VERDICT), "{said}");
}
