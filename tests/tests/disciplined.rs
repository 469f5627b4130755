//! Who vouches for the clock where the kernel may not be asked: a sandbox that denies adjtimex, as the unit's does.
//!
//! The real chronyd answers on its real port, in a network and with a `/run` of the story's own: each story runs again
//! in namespaces that `unshare` makes. Where that is not permitted it is skipped, and says so. chronyd sets no clock here.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::agent::{self, Agent};
use e2e::patience::wait_for;
use e2e::places;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::talker::Talker;

const LIMIT: Duration = Duration::from_mins(1);
const INSIDE: &str = "TIDEGATE_TEST_OWN_NET";

/// Looks at the clock that are waited for where nothing is to come of them; the agent takes one a second, and hears at
/// one what it asked at the last.
const LOOKS: usize = 3;

/// Where the second chronyd, the time server, answers the first.
const NTP_PORT: u16 = 12_300;

/// Runs `story` in namespaces of its own: this test again, with an empty `/run` and a loopback that nobody listens on.
fn in_a_room_of_its_own(name: &str, story: impl FnOnce(&Path)) {
    const FURNISH: &str = "mount -t tmpfs tmpfs /run && PATH=$PATH:/usr/sbin:/sbin ip link set lo up";
    if env::var_os(INSIDE).is_some() {
        let dir = tempfile::tempdir().expect("holds in the story");
        story(dir.path());
        return;
    }
    let own = ["--map-root-user", "--mount", "--propagation", "private", "--net", "sh", "-c"];
    let probe = Command::new("unshare").args(own).arg(FURNISH).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        // Not a print macro: those are only shown when a test fails.
        writeln!(std::io::stderr(), "SKIPPED {name}: namespaces of one's own are not permitted here")
            .expect("holds in the story");
        return;
    }
    let mut again = Command::new("unshare");
    again.args(own).arg(format!("{FURNISH} && exec \"$0\" --exact {name} --nocapture --test-threads=1"));
    again.arg(env::current_exe().expect("holds in the story")).env(INSIDE, "1");
    assert!(again.status().expect("holds in the story").success(), "{name} failed in its own namespaces, see above");
}

/// An agent whose every adjtimex is refused with EPERM.
struct Sandboxed<'a> {
    dir: &'a Path,
    agent: Agent,
    _talker: Talker,
}

impl<'a> Sandboxed<'a> {
    fn started(dir: &'a Path) -> Self {
        let port = Port::plugged(&dir.join("port"));
        let config = agent::preamble(dir, "200ms") + &agent::counter("counter", port.path());
        let calls = dir.join("calls").display().to_string();
        let denied = ["strace", "-f", "-qq", "-o", &calls, "-e", "trace=adjtimex,clock_adjtime"];
        let denied = [&denied[..], &["-e", "inject=adjtimex,clock_adjtime:error=EPERM"]].concat();
        let agent = Agent::launched_under(dir, &config, &denied);
        agent.wait_ready();
        let talker = Talker::start(port, 10, |number| format!("n,{number}\r\n"));
        Self { dir, agent, _talker: talker }
    }

    /// How often the agent has looked whether the clock is disciplined: each time it asks the kernel first, in vain.
    fn looks(&self) -> usize {
        places::text(&self.dir.join("calls")).matches("EPERM").count()
    }

    /// Waits for some more looks, after which nobody must have vouched for the clock.
    #[track_caller]
    fn assert_untrusted(&self, why: &str) {
        let enough = self.looks() + LOOKS;
        let context = || self.agent.log_tail();
        wait_for("looks at the clock", LIMIT, context, || (self.looks() >= enough).then_some(()));
        let status = self.agent.status().expect("the agent answers");
        assert_eq!(status["clock"]["state"], "untrusted", "{why}");
    }

    /// Waits until the clock is trusted; it must be so by the word of `voucher`.
    #[track_caller]
    fn assert_vouched_for_by(&self, voucher: &str) {
        self.agent.wait_until("the clock to be trusted", LIMIT, |status| status["clock"]["state"] == "synced");
        let set = || self.agent.tail(10_000).into_iter().find(|row| row.event == "clock-set");
        let set = wait_for("the event to be durable", LIMIT, || self.agent.log_tail(), set);
        assert_eq!(set.whole["said_by"], voucher, "{}", set.whole);
        assert_eq!(set.clock, "synced");
        let log = places::text(&self.dir.join("agent.log"));
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        assert!(warnings.is_empty(), "what is denied is no news: {warnings:#?}");
    }
}

/// chronyd with these lines, once it listens at `port`.
fn chronyd(dir: &Path, lines: &str, port: u16) -> Process {
    fs::create_dir_all(dir).expect("write into the story's folder");
    let config = dir.join("chrony.conf");
    // No file, no socket and no user of the system's; its pid file would be in the way of a second one.
    let text = format!("user root\npidfile {}\nbindcmdaddress 127.0.0.1\n{lines}", dir.join("pid").display());
    fs::write(&config, text).expect("write into the story's folder");
    let mut command = leashed(&places::debian("usr/sbin/chronyd"));
    // -x: it does all but set the clock. -d: in the foreground.
    command.args(["-x", "-d", "-f"]).arg(&config);
    let chronyd = Process::start("chronyd", command, &dir.join("log"));
    // proc(5): the local address in hexadecimal.
    let listens = || places::text(Path::new("/proc/net/udp")).contains(&format!(":{port:04X} ")).then_some(());
    wait_for("chronyd to listen", LIMIT, || chronyd.log_tail(), listens);
    chronyd
}

#[test]
fn a_sandboxed_agent_believes_a_chronyd_that_follows_a_server_and_no_other() {
    const NAME: &str = "a_sandboxed_agent_believes_a_chronyd_that_follows_a_server_and_no_other";
    /// `COMMAND_PORT`, where the agent asks.
    const COMMAND_PORT: u16 = 323;
    in_a_room_of_its_own(NAME, |dir| {
        let board = Sandboxed::started(dir);
        board.assert_untrusted("nobody is there to be asked");

        let alone = chronyd(&dir.join("alone"), "port 0\nlocal stratum 8\n", COMMAND_PORT);
        board.assert_untrusted("it hands on its own time, which nothing has set");
        alone.kill();

        let follow = format!("port 0\nserver 127.0.0.1 port {NTP_PORT} iburst minpoll -2 maxpoll -2\n");
        let follower = chronyd(&dir.join("follower"), &follow, COMMAND_PORT);
        board.assert_untrusted("its server does not answer");

        let serve = format!("port {NTP_PORT}\ncmdport 0\nlocal stratum 8\nallow 127.0.0.1\n");
        let server = chronyd(&dir.join("server"), &serve, NTP_PORT);
        board.assert_vouched_for_by("chrony");
        let asked = board.looks();
        drop((follower, server));
        // Ten a second: it has looked again since, and asked nobody.
        let head = |status: &serde_json::Value| status["journal"]["head"].as_u64();
        let now = head(&board.agent.status().expect("the agent answers"));
        board.agent.wait_until("readings of two seconds", LIMIT, |status| head(status) > now.map(|head| head + 20));
        assert_eq!(board.looks(), asked, "a clock that is trusted is not asked about for ever");
    });
}

#[test]
fn a_sandboxed_agent_believes_the_mark_of_timesyncd() {
    const NAME: &str = "a_sandboxed_agent_believes_the_mark_of_timesyncd";
    in_a_room_of_its_own(NAME, |dir| {
        let board = Sandboxed::started(dir);
        board.assert_untrusted("there is no mark");
        fs::create_dir_all("/run/systemd/timesync").expect("/run is the story's own");
        fs::write("/run/systemd/timesync/synchronized", "").expect("/run is the story's own");
        board.assert_vouched_for_by("timesyncd");
    });
}
