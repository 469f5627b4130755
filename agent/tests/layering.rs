//! Who may know whom: the edges of `ARCHITECTURE.md`, held against the imports and manifests as they are.
//!
//! A new edge between rooms is a decision: it is changed here and in `ARCHITECTURE.md` in one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("acquire", &["backoff", "clock", "config", "record", "telemetry"]),
    ("backoff", &[]),
    (
        "cli",
        &[
            "acquire",
            "backoff",
            "clock",
            "config",
            "control",
            "doctor",
            "lasting",
            "link",
            "provision",
            "remote",
            "run",
            "simulate",
            "sinks",
            "telemetry",
            "update",
        ],
    ),
    ("clock", &["lasting"]),
    ("config", &["lasting"]),
    ("control", &["acquire", "clock", "config", "sinks", "telemetry"]),
    ("lasting", &[]),
    ("doctor", &["acquire", "clock", "config", "control", "link", "sinks", "telemetry"]),
    ("link", &["backoff", "clock", "config", "telemetry"]),
    ("provision", &["backoff", "clock", "config", "control", "lasting", "link", "record", "sinks", "telemetry"]),
    ("record", &["clock", "config", "telemetry"]),
    (
        "remote",
        &[
            "acquire",
            "backoff",
            "clock",
            "config",
            "control",
            "link",
            "provision",
            "record",
            "sinks",
            "telemetry",
            "update",
        ],
    ),
    (
        "run",
        &[
            "acquire",
            "backoff",
            "clock",
            "config",
            "control",
            "link",
            "provision",
            "record",
            "remote",
            "sinks",
            "supervise",
            "telemetry",
            "update",
        ],
    ),
    ("simulate", &[]),
    ("sinks", &["backoff", "clock", "config", "lasting", "link", "record", "telemetry"]),
    ("supervise", &["telemetry"]),
    ("telemetry", &[]),
    ("update", &["backoff", "clock", "config", "control", "lasting", "link", "record", "sinks", "telemetry"]),
];

/// Crate of ours, and the crates of ours it may name.
const CRATES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("journal", &["model"]),
    ("instruments", &["model"]),
    ("lake", &["model"]),
    ("tidegate", &["instruments", "journal", "lake", "model"]),
];

/// Other people's crate, and the one place that may name it.
const OWNED: &[(&str, &str)] = &[
    ("sled::", "agent/crates/journal/"),
    ("bincode::", "agent/crates/journal/"),
    ("parquet::", "agent/crates/lake/"),
    ("rumqttc::", "agent/src/link/"),
    ("rumqttc4::", "agent/src/link/"),
    ("aws_sdk_s3::", "agent/src/sinks/s3/"),
    ("tokio_serial::", "agent/src/acquire/"),
    ("axum::", "agent/src/control/"),
    ("rtime_clock::", "agent/src/clock/"),
    ("ratatui_core::", "agent/src/cli/top/"),
];

/// What may never be in the binary: a second TLS stack, a system library on the target, a second toolchain.
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls", "libudev-sys", "cmake", "arrow"];
/// What may be in it once.
const SINGLE: &[&str] = &["rustls", "rustls-webpki", "ring", "hyper", "tokio", "zstd"];

/// Crates that hold no I/O, no clock and no runtime.
const PURE: &[&str] = &["model", "instruments", "lake"];
const IMPURE_WORDS: &[&str] = &["tokio", "std::fs", "std::net", "std::time::Instant", "SystemTime", "std::thread"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The code of a file: comments and unit tests left out.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room_of(src: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(src).expect("below src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn rooms_import_only_what_the_architecture_allows() {
    let src = root().join("agent/src");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(&src) {
        let room = room_of(&src, &file);
        if room == "main" || room == "lib" {
            continue;
        }
        for piece in code(&file).split("crate::").skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
            let imported = &piece[..end];
            if imported != room && ROOMS.iter().any(|(known, _)| *known == imported) {
                found.entry(room.clone()).or_default().insert(imported.to_owned());
            }
        }
    }
    let mut wrong = Vec::new();
    for (room, imports) in &found {
        let allowed = ROOMS.iter().find(|(known, _)| known == room).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{room} is a new room: give it a line in ROOMS"));
        wrong.extend(
            imports.iter().filter(|import| !allowed.contains(&import.as_str())).map(|to| format!("{room} -> {to}")),
        );
        wrong.extend(
            allowed
                .iter()
                .filter(|to| !imports.contains(**to))
                .map(|to| format!("{room} -> {to} is allowed and not used")),
        );
    }
    assert!(wrong.is_empty(), "edges that ARCHITECTURE.md does not have: {wrong:#?}");
}

#[test]
fn crates_name_only_the_crates_below_them() {
    for (name, allowed) in CRATES {
        let folder = if *name == "tidegate" { "agent".to_owned() } else { format!("agent/crates/{name}") };
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        for (other, _) in CRATES {
            let is_named = manifest.lines().any(|line| line.starts_with(&format!("{other}.")));
            assert!(!is_named || allowed.contains(other), "{name} names {other}");
        }
    }
}

#[test]
fn other_peoples_crates_have_one_owner_each() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("agent")) {
        let shown = file.strip_prefix(root()).expect("below the root").display().to_string();
        let text = code(&file);
        for (word, owner) in OWNED {
            let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if text.match_indices(word).any(|(at, _)| begins(at)) && !shown.starts_with(owner) {
                wrong.push(format!("{shown} names {word}"));
            }
        }
    }
    wrong.retain(|line| !line.starts_with("agent/tests/layering.rs"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_do_no_io_and_read_no_clock() {
    for name in PURE {
        for file in rust_files(&root().join(format!("agent/crates/{name}/src"))) {
            let text = code(&file);
            for word in IMPURE_WORDS {
                assert!(!text.contains(word), "{} has {word}", file.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for file in rust_files(&root().join("agent")) {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(text.starts_with("//!"), "{} has no module doc", file.display());
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines, split it", file.display());
    }
}

#[test]
fn there_is_one_tls_stack_and_no_system_library() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "tidegate", "--edges", "normal,build", "--prefix", "none"])
        .current_dir(root())
        .output()
        .expect("cargo runs these tests");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let packages: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or(rest)))
        .collect();
    for name in BANNED {
        assert!(!packages.iter().any(|(found, _)| found == name), "{name} is in the tree");
    }
    for name in SINGLE {
        let versions: Vec<_> = packages.iter().filter(|(found, _)| found == name).collect();
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
}
