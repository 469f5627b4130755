//! The live view on real terminals: what it shows, how it fits, what it sends, and that it gives the terminal back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, stderr};
use e2e::patience::now;
use e2e::places;
use e2e::pty::Port;
use e2e::screen::Screen;
use e2e::talker::Talker;
use e2e::terminal::Terminal;

const LIMIT: Duration = Duration::from_mins(1);

/// An instrument that says `n,<number>` once a second as several quantities.
fn several(name: &str, port: &Path, quantities: usize) -> String {
    let mut text = format!(
        "[bus.{name}]\nport = \"{}\"\nbaud = 115200\n\n[instrument.{name}]\nbus = \"{name}\"\n\n\
         [instrument.{name}.protocol]\ntype = \"stream\"\n\
         frame = {{ type = \"line\", start = \"n,\", end = \"\\r\\n\", max = 64 }}\n\
         decode = {{ type = \"delimited\", sep = \",\", columns = {} }}\n\n",
        port.display(),
        quantities + 1
    );
    for (number, field) in (1..=quantities).zip(2..) {
        let head = format!("[instrument.{name}.quantity.quantity_{number}]\nfield = {field}\n");
        text = text + &head + "unit = \"mg/L\"\nvalid = [0.0, 90.0]\n\n";
    }
    text
}

/// A value that wanders, with two decimals.
fn wandering(number: u64, salt: u64) -> String {
    let step =
        number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(salt.wrapping_mul(1_442_695_040_888_963_407));
    format!("{}.{:02}", 7 + (step >> 33) % 5, (step >> 40) % 100)
}

fn says(quantities: u64, salt: u64) -> impl Fn(u64) -> String {
    move |number| {
        let values: Vec<String> = (0..quantities).map(|at| wandering(number, salt + at)).collect();
        format!("n,{}\r\n", values.join(","))
    }
}

/// An agent with an optode that talks, a sonde that does not, and a folder to deliver to.
fn farm(dir: &Path) -> (Agent, Talker, Port) {
    let (optode, sonde) = (Port::plugged(&dir.join("optode")), Port::plugged(&dir.join("sonde")));
    let config = agent::preamble(dir, "200ms")
        + &several("optode", optode.path(), 2)
        + &agent::counter("sonde", sonde.path())
        + &agent::file_sink("usb", &dir.join("lake"), "ndjson");
    let agent = Agent::started(dir, &config);
    agent.wait_open(&optode, "optode");
    let talker = Talker::start(optode, 5, says(2, 3));
    agent.wait_until("readings", LIMIT, |status| status["journal"]["head"].as_u64() > Some(10));
    (agent, talker, sonde)
}

/// `top` as a shell runs it, and what is said when it has ended.
fn top(agent: &Agent, environment: &str) -> String {
    alone(environment, &agent.config()) + "; echo ended with $?; sleep 1000"
}

fn alone(environment: &str, config: &Path) -> String {
    format!("env {environment} {} --config {} top", places::tidegate().display(), config.display())
}

/// The line of an instrument or sink.
fn of<'l>(lines: &'l [String], name: &str) -> &'l str {
    let is_its = |line: &&String| line.split_whitespace().nth(1) == Some(name);
    lines.iter().find(is_its).unwrap_or_else(|| panic!("no line of {name} in {lines:#?}"))
}

#[test]
fn screens_of_both_sizes_show_what_there_is_and_nothing_wraps() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, _talker, _sonde) = farm(dir.path());
    for (columns, lines) in [(80, 24), (45, 20)] {
        let screen = Screen::start(dir.path(), (columns, lines), &top(&agent, "LC_ALL=C.UTF-8"));
        let shown = screen.wait("the optode's values", LIMIT, |shown| {
            shown.iter().any(|line| line.contains("optode") && line.contains("mg/L"))
        });
        assert!(shown.iter().all(|line| line.chars().count() <= usize::from(columns)), "{shown:#?}");
        assert!(shown[0].starts_with("gw-1 at farm"), "{shown:#?}");
        assert!(shown[1].contains("journal") && shown[1].contains("lost now "), "{shown:#?}");
        assert!(of(&shown, "optode").trim_start_matches(['▸', ' ']).starts_with("up"), "{shown:#?}");
        assert!(of(&shown, "usb").contains("ok"), "{shown:#?}");
        assert_eq!(shown.len(), usize::from(lines), "{shown:#?}");
        assert!(shown[usize::from(lines) - 1].starts_with("q quit"), "{shown:#?}");
        let headings = |word: &str| shown.iter().filter(|line| line.starts_with(&format!("{word} "))).count();
        assert_eq!((headings("instruments"), headings("sinks")), (1, 1), "{shown:#?}");
        // Another size is another picture, at once.
        screen.resize((120, 40));
        screen.wait("the wide picture", LIMIT, |shown| {
            shown.len() == 40 && shown[39].starts_with("q quit") && shown.iter().any(|line| line.contains("trend"))
        });
    }
}

#[test]
fn without_colour_no_colour_is_sent_and_without_utf8_no_more_than_ascii() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, _talker, _sonde) = farm(dir.path());
    let colours = |escapes: &str| {
        let sequences = escapes.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
        let codes: Vec<u32> =
            sequences.flat_map(|(codes, _)| codes.split(';').filter_map(|code| code.parse().ok())).collect();
        codes.into_iter().filter(|code| (30..=49).contains(code) && *code != 39 && *code != 49).count()
    };
    let plain = Screen::start(dir.path(), (80, 24), &top(&agent, "NO_COLOR=1 LC_ALL=C LANG=C"));
    let shown = plain.wait_words("mg/L", LIMIT);
    assert!(shown.concat().is_ascii(), "{shown:#?}");
    assert!(of(&shown, "optode").contains("up"), "the state is a word: {shown:#?}");
    assert_eq!(colours(&plain.escapes()), 0, "{}", plain.escapes());
    drop(plain);
    let coloured = Screen::start(dir.path(), (80, 24), &top(&agent, "-u NO_COLOR LC_ALL=C.UTF-8"));
    coloured.wait_words("mg/L", LIMIT);
    assert!(colours(&coloured.escapes()) > 0, "{}", coloured.escapes());
}

#[test]
fn an_instrument_is_shown_with_the_bytes_of_its_line_and_a_sink_with_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, _talker, _sonde) = farm(dir.path());
    let screen = Screen::start(dir.path(), (80, 24), &top(&agent, "LC_ALL=C.UTF-8"));
    // What is wrong stands first.
    let shown = screen.wait("the sonde", LIMIT, |shown| shown.iter().any(|line| line.starts_with("▸silent  sonde")));
    assert!(of(&shown, "optode").contains("mg/L"), "{shown:#?}");
    screen.press(&["Down", "Enter"]);
    screen.wait("the optode's page", LIMIT, |shown| shown.iter().any(|line| line.starts_with("optode up on optode")));
    let shown = screen
        .wait("bytes", LIMIT, |shown| shown.iter().any(|line| line.contains(" in  6e 2c ") && line.contains("|n,")));
    let has = |name: &str| shown.iter().any(|line| line.starts_with(name));
    assert!(has("quantity_1") && has("quantity_2"), "{shown:#?}");
    assert!(shown.iter().any(|line| line.contains('▁') && line.contains('█')), "trends: {shown:#?}");
    screen.press(&["Tab"]);
    screen.wait_words("records since the start", LIMIT);
    screen.press(&["q"]);
    screen.wait_words("q quit", LIMIT);
    screen.press(&["c"]);
    screen.wait("what was looked at", LIMIT, |shown| {
        let begins = |words: &str| shown.iter().any(|line| line.starts_with(words));
        begins("fault    sonde: the port of sonde is open") && begins("ok       optode: ")
    });
    screen.press(&["q", "q"]);
    screen.wait_words("ended with 0", LIMIT);
}

#[test]
fn an_agent_that_goes_away_is_said_so_and_one_that_comes_back_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, _talker, _sonde) = farm(dir.path());
    let screen = Screen::start(dir.path(), (80, 24), &top(&agent, "LC_ALL=C.UTF-8"));
    screen.wait_words("mg/L", LIMIT);
    agent.kill();
    let shown = screen.wait_words("not reached for", LIMIT);
    assert!(shown.iter().any(|line| line.contains("mg/L")), "the last picture stays: {shown:#?}");
    agent.start();
    screen.wait("the agent again", LIMIT, |shown| {
        !shown.iter().any(|line| line.contains("not reached")) && shown.iter().any(|line| line.contains("mg/L"))
    });
}

#[test]
fn the_terminal_is_given_back_by_every_end_and_by_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, _talker, _sonde) = farm(dir.path());
    for end in ["q", "C-c", "TERM"] {
        let stty = |name: &str| format!("stty -a > {}", dir.path().join(name).display());
        let command = [stty("before"), alone("LC_ALL=C.UTF-8", &agent.config()), stty("after")].join("; ");
        let screen = Screen::start(dir.path(), (80, 24), &(command + "; echo given back; sleep 1000"));
        screen.wait_words("mg/L", LIMIT);
        match end {
            "TERM" => terminate_child(screen.pid()),
            key => screen.press(&[key]),
        }
        let shown = screen.wait_words("given back", LIMIT);
        assert!(!shown.iter().any(|line| line.contains("mg/L")), "{end}: the picture is left behind: {shown:#?}");
        let settings = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"), "{end}");
    }
    let screen = Screen::start(dir.path(), (80, 24), "bash --norc --noprofile -i");
    screen.press(&[&alone("LC_ALL=C.UTF-8", &agent.config()), "Enter"]);
    screen.wait_words("mg/L", LIMIT);
    screen.press(&["C-z"]);
    let shown = screen.wait_words("Stopped", LIMIT);
    assert!(!shown.iter().any(|line| line.contains("q quit")), "{shown:#?}");
    screen.press(&["fg", "Enter"]);
    screen.wait("the picture again", LIMIT, |shown| {
        shown.last().is_some_and(|line| line.starts_with("q quit")) && shown.iter().any(|line| line.contains("mg/L"))
    });
}

/// SIGTERM to the only child that is called tidegate.
fn terminate_child(shell: i32) {
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("a shell that runs");
    let child = children
        .split_whitespace()
        .find(|child| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "tidegate"));
    let child = child.and_then(|child| child.parse().ok()).and_then(rustix::process::Pid::from_raw).expect("a child");
    rustix::process::kill_process(child, rustix::process::Signal::TERM).expect("it runs");
}

#[test]
fn without_a_terminal_or_an_agent_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tidegate.toml");
    fs::write(&config, agent::preamble(dir.path(), "1s")).unwrap();
    let ended = agent::run(&["--config", config.to_str().unwrap(), "top"]);
    assert_eq!(ended.status.code(), Some(exit::USAGE));
    assert!(stderr(&ended).contains("use `status`"), "{}", stderr(&ended));
    let command = alone("LC_ALL=C.UTF-8", &config) + "; echo ended with $?; sleep 1000";
    let screen = Screen::start(dir.path(), (80, 24), &command);
    let shown = screen.wait_words("ended with 69", LIMIT);
    assert!(shown.iter().any(|line| line.contains("no agent answers")), "{shown:#?}");
}

/// What a picture may cost, and so what a second does.
const BYTES_A_PICTURE_MAX: usize = 3_000;

#[test]
fn twenty_instruments_cost_less_than_three_kilobytes_a_second() {
    const INSTRUMENTS: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let mut config =
        agent::preamble(dir.path(), "500ms") + &agent::file_sink("usb", &dir.path().join("lake"), "ndjson");
    let mut ports = Vec::new();
    for number in 1..=INSTRUMENTS {
        let port = Port::plugged(&dir.path().join(format!("port-{number}")));
        config += &several(&format!("do-{number:02}"), port.path(), 3);
        ports.push(port);
    }
    let agent = Agent::started(dir.path(), &config);
    for (port, number) in ports.iter().zip(1..) {
        agent.wait_open(port, &format!("do-{number:02}"));
    }
    let talkers: Vec<Talker> =
        ports.into_iter().zip(0..).map(|(port, salt)| Talker::start(port, 1, says(3, salt * 10))).collect();
    agent.wait_until("all to be up", LIMIT, |status| {
        status["instruments"].as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "up"))
    });
    for (size, look) in [((80, 24), "C.UTF-8"), ((120, 40), "C.UTF-8"), ((45, 20), "C")] {
        let config = agent.config();
        let args = ["--config", config.to_str().unwrap(), "top"];
        let mut terminal = Terminal::start(&places::tidegate(), &args, size, &[("LC_ALL", look)]);
        // The first pictures fill the screen and the trends.
        terminal.read_until(LIMIT, |bytes| pictures(bytes) >= 4);
        let begin = now();
        let bytes = terminal.read_until(LIMIT, |bytes| pictures(bytes) >= 15);
        let (shown, seconds) = (pictures(&bytes), begin.elapsed().as_secs_f64());
        let each = bytes.len() / shown;
        println!(
            "{}x{} {look}: {} bytes, {shown} pictures in {seconds:.1} s: {each} a picture",
            size.0,
            size.1,
            bytes.len()
        );
        assert!(each <= BYTES_A_PICTURE_MAX, "{size:?}: {each} bytes a picture");
        // No more than one a second, but for the first.
        assert!(seconds >= f64::from(u32::try_from(shown).unwrap() - 2), "{shown} pictures in {seconds:.1} s");
    }
    drop(talkers);
}

/// Pictures that have ended: each is a synchronized update.
fn pictures(bytes: &[u8]) -> usize {
    bytes.windows(8).filter(|window| *window == b"\x1b[?2026l").count()
}
