//! The service manager's watchdog is fed while all is alive, and not while something hangs: told over the real protocol
//! (`sd_notify(3)`), with this test as the service manager.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent};
use e2e::patience::wait_for;
use e2e::pty::Port;
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(1);
/// As `WatchdogSec=` would be, but for a story.
const WATCHDOG: Duration = Duration::from_secs(2);

/// What a service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    fn listening(dir: &Path) -> Self {
        Self(UnixDatagram::bind(dir.join("notify")).expect("a short path"))
    }

    fn environment(dir: &Path) -> [String; 3] {
        let socket = format!("NOTIFY_SOCKET={}", dir.join("notify").display());
        ["env".to_owned(), socket, format!("WATCHDOG_USEC={}", WATCHDOG.as_micros())]
    }

    /// The next word, if one comes in time.
    fn hears(&self, limit: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(limit)).expect("more than nothing");
        let mut word = [0; 256];
        let length = self.0.recv(&mut word).ok()?;
        Some(String::from_utf8_lossy(&word[..length]).trim_end().to_owned())
    }
}

#[test]
fn the_watchdog_is_fed_from_the_start_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::listening(dir.path());
    let environment = Manager::environment(dir.path());
    let under: Vec<&str> = environment.iter().map(String::as_str).collect();
    // A port that is not there and a broker that nobody runs are waited for: that is being alive.
    let config = agent::preamble(dir.path(), "100ms")
        + &agent::counter("counter", &dir.path().join("no-port"))
        + &agent::mqtt_sink("cloud", "mqtt://127.0.0.1:1");
    let mut agent = Agent::launched_under(dir.path(), &config, &under);
    assert_eq!(manager.hears(LIMIT).as_deref(), Some("READY=1"));
    for _ in 0..8 {
        assert_eq!(manager.hears(WATCHDOG).as_deref(), Some("WATCHDOG=1"), "{}", agent.log_tail());
    }
    agent.terminate();
    let last = std::iter::from_fn(|| manager.hears(Duration::from_millis(1))).last();
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_writer_that_hangs_is_named_and_the_watchdog_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::listening(dir.path());
    let environment = Manager::environment(dir.path());
    // As on a card that does not answer: the journal's writer makes a twentieth sync, and it does not return.
    let hang = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let hang = [&hang[..], &["-e", "inject=fdatasync:delay_enter=120000000:when=20+"]].concat();
    let under: Vec<&str> = environment.iter().map(String::as_str).chain(hang).collect();
    let port = Port::plugged(&dir.path().join("port"));
    let config = agent::preamble(dir.path(), "100ms") + &agent::counter("counter", port.path());
    let agent = Agent::launched_under(dir.path(), &config, &under);
    agent.wait_ready();
    let _talker = Talker::start(port, 100, |number| format!("n,{number}\r\n"));
    wait_for(
        "what hangs to be named",
        LIMIT,
        || agent.log_tail(),
        || agent.log_tail().contains("no beat, the watchdog is not fed tasks=\"record\"").then_some(()),
    );
    // What was said before that, and then nothing until the manager would act.
    let earlier = std::iter::from_fn(|| manager.hears(Duration::from_millis(1))).count();
    assert!(earlier >= 1, "it was ready");
    assert_eq!(manager.hears(WATCHDOG), None, "{}", agent.log_tail());
}
