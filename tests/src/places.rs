//! Where things lie: the repository, its captures, its Python, the binary under test, a free port.

use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

/// The folder `tests/`.
pub fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A capture below `tests/data/`.
pub fn data(name: &str) -> PathBuf {
    present(tests().join("data").join(name), "it is part of the repository")
}

/// A program of the Python environment that `tests/run` makes.
pub fn venv(program: &str) -> PathBuf {
    let root = env::var_os("TIDEGATE_TEST_VENV").map_or_else(|| tests().join("../.cache/venv"), PathBuf::from);
    present(root.join("bin").join(program), "run tests/run once: it installs what the tests need")
}

/// A file of the Debian packages that `tests/run` unpacks, or of the system.
pub fn debian(file: &str) -> PathBuf {
    let unpacked = tests().join("../.cache/debian").join(file);
    if unpacked.is_file() {
        unpacked
    } else {
        present(Path::new("/").join(file), "run tests/run once: it unpacks nginx and chrony")
    }
}

/// Python, about to run a script below `tests/`.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(venv("python"));
    command.arg(present(tests().join(script), "it is part of the repository"));
    command
}

/// The agent: `TIDEGATE_BIN`, or what cargo built beside this test.
pub fn tidegate() -> PathBuf {
    let binary = env::var_os("TIDEGATE_BIN").map_or_else(built_beside_this_test, PathBuf::from);
    present(binary, "cargo build --bin tidegate, or set TIDEGATE_BIN")
}

/// `target/<profile>/deps/<test>` lies one folder below `target/<profile>/tidegate`; a bin of ours lies beside it.
fn built_beside_this_test() -> PathBuf {
    let this = env::current_exe().expect("a running program has a path");
    let folder = this.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    profile.join("tidegate")
}

fn present(path: PathBuf, remedy: &str) -> PathBuf {
    let found = path.try_exists().unwrap_or(false);
    assert!(found, "{} is not there: {remedy}", path.display());
    path
}

/// Servers listen between these two: below the kernel's ephemeral range, and such that `port + 10000` (where
/// `SeaweedFS` puts the gRPC side of each of its servers) is a port too.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// What `SeaweedFS` adds to a port for its gRPC side.
pub const GRPC_OFFSET: u16 = 10_000;

/// A loopback port that nobody listens on, and neither on its gRPC side. No port is given twice by one process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries of several checkouts may run at once: each begins elsewhere.
    let begin = u16::try_from(std::process::id() % 9973).expect("less than 9973");
    let span = PORTS.end - PORTS.start;
    (0..span)
        .map(|_| PORTS.start + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span)
        .find(|port| is_free(*port) && is_free(*port + GRPC_OFFSET))
        .expect("one of ten thousand ports is free")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// What a file holds as text, or nothing while it is not there. Bytes that are no text become marks.
pub fn text(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
