//! The program that looks into generations is the test binary again: the test that includes this is its child's side.

use std::env;
use std::ffi::OsString;

use journal::{PROBE_LIMIT_DEFAULT, Probe, answer_probe};

const CHILD_ARGS: &str = "JOURNAL_TEST_PROBE";

/// Does nothing unless it is the child: then it looks into a generation, and may crash.
#[test]
fn child_looks_into_a_generation() {
    let Ok(args) = env::var(CHILD_ARGS) else { return };
    let args: Vec<OsString> = args.split('\n').filter(|arg| !arg.is_empty()).map(OsString::from).collect();
    answer_probe(&args, &mut std::io::stdout()).expect("says what it found");
}

/// Starts this binary as the child.
pub fn probe() -> Probe {
    let name = format!("{}::child_looks_into_a_generation", module_path!().rsplit("::").next().expect("a module"));
    let script = format!("{CHILD_ARGS}=\"$1\n$2\n$3\" exec \"$0\" --exact {name} --nocapture --test-threads=1");
    let exe = env::current_exe().expect("runs from a file").into_os_string();
    let args = ["-c".into(), script.into(), exe];
    Probe { program: "/bin/sh".into(), args: args.to_vec(), limit: PROBE_LIMIT_DEFAULT }
}
