//! What is on a port is named where it is known, and nothing is named that is not there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use e2e::agent::{self, Agent, exit, stderr, stdout};
use e2e::captures::wire_of;
use e2e::patience::{now, wait_for};
use e2e::places;
use e2e::player::Player;
use e2e::process::{Process, leashed};
use e2e::pty::Port;
use e2e::uart::Shape;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(2);

/// As many ports at a time as a small machine listens at without being late.
const AT_A_TIME: usize = 4;

/// A capture with whole records of an instrument that a profile is for; more than one where the bytes are.
struct Known {
    file: String,
    profiles: Vec<String>,
}

/// Captures of which `agent/tests/data/captures.txt` (made by an oracle) says that a profile has values in them, and those in
/// which none has.
fn recorded() -> (Vec<Known>, Vec<String>) {
    let text = fs::read_to_string(places::tests().join("../agent/tests/data/captures.txt")).expect("it is there");
    let (mut known, mut others): (Vec<Known>, Vec<String>) = (Vec::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("capture ") else { continue };
        let (file, profile) = rest.split_once(' ').expect("a capture has a profile");
        let counts: Vec<&str> = lines.peek().map(|line| line.split(' ').collect()).unwrap_or_default();
        let count = |word: &str| {
            let at = counts.iter().position(|found| *found == word)?;
            counts.get(at + 1)?.parse::<u64>().ok()
        };
        let counted = count("frames").zip(count("ignored")).zip(count("refused"));
        let has_values = counted.is_some_and(|((frames, ignored), refused)| frames > ignored + refused);
        if profile == "-" || !has_values {
            others.push(file.to_owned());
            continue;
        }
        match known.iter_mut().find(|known| known.file == file) {
            Some(known) => known.profiles.push(profile.to_owned()),
            None => known.push(Known { file: file.to_owned(), profiles: vec![profile.to_owned()] }),
        }
    }
    (known, others)
}

/// Captures without a value, and yet of an instrument that a profile is for: its name is right, and no name is, too.
const OF_THE_INSTRUMENT: &[(&str, &str, &str)] = &[
    ("_0pcs.bin", "kern-ew", "the scale counts pieces, which is no weight"),
    ("_8ct_15byte", "kern-ew", "the scale says carats, which the profile does not take"),
    ("wavss.log", "triaxys-wave", "damaged by its authors: no checksum fits any more"),
];

fn detect_on(port: &Path, more: &[&str]) -> Output {
    let port = port.display().to_string();
    let mut args = vec!["--config", "/nonexistent/tidegate.toml", "--json", "detect", &port];
    args.extend(more);
    agent::run(&args)
}

fn found(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn names(found: &Value, key: &str) -> Vec<String> {
    let fits = found[key].as_array().expect("a list");
    fits.iter().map(|fit| fit["profile"].as_str().expect("a name").to_owned()).collect()
}

/// What came of one capture.
struct Told {
    what: String,
    expected: String,
    named: Vec<String>,
    seconds: f64,
    is_right: bool,
    is_wrong: bool,
}

/// What it is, its bytes, and the names that are right.
type Play = (String, Vec<u8>, Vec<String>);

/// Plays each of these on a port of its own, some at a time.
fn play_all(plays: &[Play], more: &[&str]) -> Vec<Told> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut told = Vec::new();
    for (round, some) in plays.chunks(AT_A_TIME).enumerate() {
        told.extend(thread::scope(|scope| {
            let play = |(number, (what, bytes, expected)): (usize, &Play)| {
                let port = Port::plugged(&dir.path().join(format!("port-{round}-{number}")));
                let path = port.path().to_owned();
                let _player = Player::start(port, bytes.clone());
                let began = now();
                let output = detect_on(&path, more);
                let seconds = began.elapsed().as_secs_f64();
                let found = found(&output);
                let named = names(&found, "named");
                let code = output.status.code();
                assert_eq!(
                    code,
                    Some(if named.is_empty() { exit::NOT_FINE } else { 0 }),
                    "{what}: {}",
                    stderr(&output)
                );
                Told {
                    what: what.clone(),
                    expected: expected.join(" or "),
                    is_right: named.first().is_some_and(|name| expected.contains(name)),
                    is_wrong: named.iter().any(|name| !expected.contains(name)),
                    named,
                    seconds,
                }
            };
            let started: Vec<_> = some.iter().enumerate().map(|one| scope.spawn(move || play(one))).collect();
            started.into_iter().map(|one| one.join().expect("it is told")).collect::<Vec<_>>()
        }));
    }
    told
}

fn table(told: &[Told]) -> String {
    let mut text = String::new();
    for one in told {
        let verdict = if one.is_right {
            "right"
        } else if one.is_wrong {
            "WRONG"
        } else {
            "-"
        };
        let named = if one.named.is_empty() { "nothing".to_owned() } else { one.named.join(", ") };
        writeln!(text, "{:<64} {:<28} {named:<28} {verdict:<5} {:5.1} s", one.what, one.expected, one.seconds)
            .expect("a String takes any text");
    }
    text
}

#[test]
fn nine_captures_in_ten_are_named_and_none_is_named_wrongly() {
    let dir = tempfile::tempdir().unwrap();
    let (known, _) = recorded();
    let plays = known.into_iter().map(|known| {
        let bytes = wire_of(&known.file, dir.path());
        let mut profiles = known.profiles;
        // The sounder's second sentence is the thermometer's only one: where there is MTW, both read the same bytes.
        if profiles.iter().any(|profile| profile == "nmea-sounder") {
            profiles.push("nmea-thermometer".to_owned());
        }
        // A boat's bus, with its receiver on it: 282 GGA sentences that the golden file is not about.
        if known.file.ends_with("merrimac.log") {
            profiles.push("nmea-gps".to_owned());
        }
        (known.file, bytes, profiles)
    });
    let told = play_all(&plays.collect::<Vec<_>>(), &["--seconds", "4"]);
    println!("{}", table(&told));
    let right = told.iter().filter(|one| one.is_right).count();
    assert!(told.iter().all(|one| !one.is_wrong), "a wrong name:\n{}", table(&told));
    assert!(right * 10 >= told.len() * 9, "{right} of {}:\n{}", told.len(), table(&told));
}

/// Bytes of fixed seeds.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let step = move || {
        // Knuth's MMIX constants; the upper bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(count).collect()
}

#[test]
fn nothing_is_named_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (_, others) = recorded();
    let mut plays: Vec<Play> = others
        .into_iter()
        .map(|file| {
            let of = OF_THE_INSTRUMENT.iter().find(|(part, ..)| file.contains(part));
            let bytes = wire_of(&file, dir.path());
            (file, bytes, of.map(|(_, profile, _)| (*profile).to_owned()).into_iter().collect())
        })
        .collect();
    for seed in 1..=3 {
        plays.push((format!("noise of seed {seed}"), noise(seed, 200_000), Vec::new()));
        let text = noise(seed + 10, 40_000).into_iter().map(|byte| if byte % 13 == 0 { b'\n' } else { 32 + byte % 95 });
        plays.push((format!("printable noise of seed {seed}"), text.collect(), Vec::new()));
    }
    for (what, text) in TEXTS {
        plays.push(((*what).to_owned(), text.as_bytes().to_vec(), Vec::new()));
    }
    plays.push(("silence".to_owned(), Vec::new(), Vec::new()));
    let told = play_all(&plays, &["--seconds", "1"]);
    println!("{}", table(&told));
    assert!(told.iter().all(|one| !one.is_wrong), "a wrong name:\n{}", table(&told));
}

/// What else is found on serial ports: a console, a modem, somebody's board, tables of numbers.
const TEXTS: &[(&str, &str)] = &[
    (
        "a boot log",
        "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd083]\r\n\
         [    0.000000] Linux version 6.1.0-rpi7-rpi-v8 (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP PREEMPT\r\n\
         [    0.081416] pci_bus 0000:00: root bus resource [bus 00-ff]\r\n\
         [    1.253207] EXT4-fs (mmcblk0p2): mounted filesystem with ordered data mode. Quota mode: none.\r\n\
         [    2.010011] systemd[1]: Started Journal Service.\r\n",
    ),
    (
        "a login prompt",
        "\r\nDebian GNU/Linux 12 pond-gw-1 ttyS0\r\n\r\npond-gw-1 login: \r\nLogin timed out after 60 seconds.\r\n",
    ),
    ("a modem", "\r\nRING\r\n\r\n+CREG: 0,1\r\n\r\nOK\r\n\r\n+CSQ: 17,99\r\n\r\nOK\r\n"),
    ("a number a line", "7.612\r7.613\r7.611\r7.612\r"),
    ("two numbers a line", "21.50,65.2\r\n21.51,65.1\r\n21.49,65.3\r\n"),
    ("five numbers a line", "12.31,4.52,6.73,8.01,9.10\r\n12.33,4.51,6.70,8.00,9.11\r\n"),
    ("five numbers and spaces", "12.31, 4.52, 6.73, 8.01, 9.10\r\n12.33, 4.51, 6.70, 8.00, 9.11\r\n"),
    ("twelve numbers a line", "1,2,3,4,5,6,7,8,9,10,11,12\r\n2,3,4,5,6,7,8,9,10,11,12,13\r\n"),
    ("nine columns of somebody's", "a\tb\tc\t12\te\t13\tg\t14\ti\r\nb\tb\tc\t15\te\t16\tg\t17\ti\r\n"),
    ("JSON of somebody's", "{\"id\":7,\"t\":21.5,\"h\":65.2}\r\n{\"id\":7,\"t\":21.6,\"h\":65.1}\r\n"),
    ("sentences of a compass", "$HCHDG,101.1,,,7.1,W*3C\r\n$HCHDM,93.8,M*2B\r\n$HCHDG,101.2,,,7.1,W*3F\r\n"),
];

/// On a wire the speed counts: an instrument is found at its own, told by what the agent sets its port to, and at a wrong one
/// there is garbage, as a UART makes it.
#[test]
fn the_speed_of_a_wire_is_found_also_one_that_the_profile_does_not_have() {
    let dir = tempfile::tempdir().unwrap();
    let shape = |baud, data_bits, is_odd| Shape { baud, data_bits, is_odd };
    let wires = [
        ("nmea/sounder.log", shape(4_800, 8, None), "nmea-sounder", "4800 8N1"),
        ("nmea/sounder.log", shape(38_400, 8, None), "nmea-sounder", "38400 8N1"),
        ("ooi/wetlabs_eco/20140101.flort_real.log", shape(19_200, 8, None), "wetlabs-eco", "19200 8N1"),
        ("ooi/sbe16plus/20131123.ctdbp1_many.log", shape(1_200, 7, Some(false)), "seabird-16plus", "1200 7E1"),
        ("ooi/sami_ph/20140424.phsen2.log", shape(57_600, 8, None), "sami-ph", "57600 8N1"),
        ("rfid/orfid_reader_1.txt", shape(115_200, 8, None), "oregon-rfid", "115200 8N1"),
    ];
    thread::scope(|scope| {
        for (number, (file, shape, profile, line)) in wires.into_iter().enumerate() {
            let dir = dir.path();
            scope.spawn(move || {
                let port = Port::plugged(&dir.join(format!("port-{number}")));
                let path = port.path().to_owned();
                let _player = Player::on_wire(port, wire_of(file, dir), shape);
                let output = detect_on(&path, &["--seconds", "2"]);
                let found = found(&output);
                assert_eq!(
                    names(&found, "named").first().map(String::as_str),
                    Some(profile),
                    "{file}: {}",
                    stderr(&output)
                );
                assert_eq!(found["named"][0]["line"], line, "{file}: {}", stderr(&output));
            });
        }
    });
}

/// At a speed that is not tried all that comes is garbage, as a UART makes it of real records: of none of them is a name.
#[test]
fn a_wire_of_a_speed_that_nobody_uses_gives_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["nmea/sounder.log", "ooi/sbe16plus/20131123.ctdbp1_many.log", "rfid/orfid_reader_1.txt"];
    thread::scope(|scope| {
        for (number, file) in files.into_iter().enumerate() {
            let dir = dir.path();
            scope.spawn(move || {
                let port = Port::plugged(&dir.join(format!("port-{number}")));
                let path = port.path().to_owned();
                let shape = Shape { baud: 14_400, data_bits: 8, is_odd: None };
                let _player = Player::on_wire(port, wire_of(file, dir), shape);
                let output = detect_on(&path, &["--seconds", "1"]);
                assert_eq!(names(&found(&output), "named"), Vec::<String>::new(), "{file}: {}", stderr(&output));
                assert!(found(&output)["bytes"].as_u64() > Some(1_000), "{file}: {}", stderr(&output));
            });
        }
    });
}

/// An instrument that answers as its profile's example does.
struct Parrot {
    process: Process,
    link: PathBuf,
    heard: PathBuf,
}

impl Parrot {
    fn plug(dir: &Path, profile: &str, identity: &str) -> Self {
        let (link, heard) = (dir.join(profile), dir.join(format!("{profile}.heard")));
        let file = places::tests().join(format!("../agent/crates/instruments/profiles/{profile}.toml"));
        let python = places::python("helpers/parrot.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(&link).arg(&heard).arg(file).arg(identity);
        let process = Process::start(profile, command, &dir.join(format!("{profile}.log")));
        wait_for("the port", LIMIT, || process.log_tail(), || heard.try_exists().ok()?.then_some(()));
        Self { process, link, heard }
    }
}

/// Instruments that are asked, what they call themselves, and whether that and what they answer prove them.
const ASKED: &[(&str, &str, bool)] = &[
    ("mt-sics-polled", "", true),
    ("vaisala-wxt-polled", "", true),
    ("aanderaa-optode-polled", "", true),
    ("davis-vantage", "", true),
    ("atlas-ezo-do-polled", "?I,DO,2.17", true),
    ("atlas-ezo-ph-polled", "?I,pH,1.1", true),
    ("decagon-ctd10", "13DECAGON CTD-103991059303507", true),
    ("ysi-exo-sdi12", "13YSIIWQSGEXOSND100", true),
    ("in-situ-rdo-pro", "", true),
    ("hamilton-arc-do", "", true),
    ("yosemitech-do", "", true),
    ("yosemitech-ph", "", true),
    ("ysi-exo-modbus", "", true),
    // A few small whole numbers in the first registers are anybody's.
    ("rs485-soil-7in1", "", false),
    ("rs485-water-probe", "", false),
];

#[test]
fn an_instrument_that_waits_is_asked_only_with_leave_and_only_what_reads() {
    let dir = tempfile::tempdir().unwrap();
    let parrots: Vec<Parrot> =
        ASKED.iter().map(|(profile, identity, _)| Parrot::plug(dir.path(), profile, identity)).collect();
    let together = parrots.iter().zip(ASKED).collect::<Vec<_>>();
    // They wait most of the time, and so do we.
    for some in together.chunks(2 * AT_A_TIME) {
        thread::scope(|scope| {
            for (parrot, (profile, _, is_proved)) in some {
                scope.spawn(move || {
                    let output = detect_on(&parrot.link, &["--seconds", "1", "--ask"]);
                    let found = found(&output);
                    let named = names(&found, "named");
                    let expected = if *is_proved { vec![(*profile).to_owned()] } else { Vec::new() };
                    assert_eq!(
                        named,
                        expected,
                        "{profile}: {found:#}\n{}\n{}",
                        stderr(&output),
                        parrot.process.log_tail()
                    );
                    if !is_proved {
                        assert_eq!(found["modbus_units"][0]["unit"], 1, "{found:#}");
                        assert!(names(&found, "possible").contains(&(*profile).to_owned()), "{found:#}");
                    }
                    assert_harmless(&fs::read(&parrot.heard).unwrap());
                });
            }
        });
    }
}

#[test]
fn without_leave_not_one_byte_is_written() {
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for profile in ["mt-sics-polled", "atlas-ezo-do-polled", "ysi-exo-sdi12", "in-situ-rdo-pro"] {
            let dir = dir.path();
            scope.spawn(move || {
                let parrot = Parrot::plug(dir, profile, "");
                let quiet = detect_on(&parrot.link, &["--seconds", "1"]);
                assert_eq!(quiet.status.code(), Some(exit::NOT_FINE), "{profile}: {}", stderr(&quiet));
                assert!(stderr(&quiet).contains("--ask"), "{}", stderr(&quiet));
                assert_eq!(fs::read(&parrot.heard).unwrap(), b"", "{profile}: written to without leave");
            });
        }
    });
}

/// Reads of Modbus, and the known questions; what sets anything in an instrument is in none of them.
fn assert_harmless(heard: &[u8]) {
    let mut rest = heard;
    while !rest.is_empty() {
        let questions: [&[u8]; 8] =
            [b"\r\n", b"i\r", b"Do Sample\r\n", b"SI\r\n", b"0R0\r\n", b"LOOP 1\n", b"?!", b"0I!"];
        let question = questions.iter().find(|question| rest.starts_with(question));
        let is_read = rest.len() >= 8 && matches!(rest[1], 3 | 4);
        let len = question.map(|question| question.len()).or(is_read.then_some(8));
        let len = len.unwrap_or_else(|| panic!("this is no read: {:?}", String::from_utf8_lossy(rest)));
        rest = &rest[len..];
    }
}

/// An Atlas circuit and a Modbus slave of other people's: the one says what it is, the other has registers of nobody's.
#[test]
fn instruments_that_others_wrote_are_asked_for_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let look = |kind: &str, seconds: &str| {
        let (link, log) = (dir.path().join(kind), dir.path().join(format!("{kind}.heard")));
        let python = places::python("helpers/others.py");
        let mut command = leashed(Path::new(python.get_program()));
        command.args(python.get_args()).arg(&link).arg(&log).arg(kind);
        let process = Process::start(kind, command, &dir.path().join(format!("{kind}.log")));
        wait_for("the port", LIMIT, || process.log_tail(), || link.try_exists().ok()?.then_some(()));
        let output = detect_on(&link, &["--seconds", seconds, "--ask"]);
        (found(&output), stderr(&output))
    };
    let (circuit, words) = look("ezo", "3");
    // It talks by itself at the moment: what reads it as it is stands first, what makes it stop second.
    assert_eq!(names(&circuit, "named"), ["atlas-ezo-do", "atlas-ezo-do-polled"], "{words}");

    let (slave, words) = look("modbus", "1");
    assert_eq!(names(&slave, "named"), Vec::<String>::new(), "{slave:#}\n{words}");
    let units = slave["modbus_units"].as_array().expect("a list");
    for unit in [1, 2] {
        assert!(units.iter().any(|found| found["unit"] == unit), "unit {unit}: {slave:#}");
    }
    assert!(words.contains("a Modbus unit answers: unit 1"), "{words}");
}

#[test]
fn what_is_printed_is_a_configuration_that_reads_the_instrument() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let path = port.path().to_owned();
    let _player = Player::start(port, wire_of("nmea/sounder.log", dir.path()));
    let output = agent::run(&["--config", "/nonexistent", "detect", &path.display().to_string(), "--seconds", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let stanza = stdout(&output);
    assert!(stanza.contains("profile = \"nmea-sounder\"") && stanza.contains("baud = 4800"), "{stanza}");
    assert!(stderr(&output).contains("frames read"), "{}", stderr(&output));
    let agent = Agent::started(dir.path(), &(agent::preamble(dir.path(), "200ms") + &stanza));
    agent.wait_until("its readings", LIMIT, |status| {
        status["instruments"][0]["readings_total"].as_u64().is_some_and(|readings| readings > 0)
    });
    // While the agent has the port it says so, and what to do.
    let name = path.display().to_string();
    for port in [&name[..], "port"] {
        let held = agent.cli(&["detect", port]);
        assert_eq!(held.status.code(), Some(exit::DISK), "{}", stderr(&held));
        assert!(
            stderr(&held).contains("tidegate sniff port") && stderr(&held).contains("systemctl stop"),
            "{}",
            stderr(&held)
        );
    }
    let held = detect_on(&path, &[]);
    assert_eq!(held.status.code(), Some(exit::DISK), "{}", stderr(&held));
    assert!(stderr(&held).contains("is open in tidegate"), "{}", stderr(&held));
}

#[test]
fn a_profile_of_the_operators_own_is_found_and_never_asked() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = dir.path().join("profiles");
    fs::create_dir(&profiles).unwrap();
    let own = "[bus]\nbaud = 9600\n[instrument.protocol]\ntype = \"stream\"\nframe = { type = \"line\" }\n\
               decode = { type = \"regex\", pattern = '^TANK (?P<tank>\\d+) LEVEL (?P<level>\\d+) MM$' }\n\
               [instrument.quantity.level]\nfield = \"level\"\nunit = \"mm\"\n";
    fs::write(profiles.join("tank.toml"), own).unwrap();
    let asked = "[bus]\nbaud = 9600\n[instrument]\nevery = \"1s\"\n[instrument.protocol]\ntype = \"poll\"\n\
                 steps = [ { send = \"ERASE\\r\\n\" } ]\n[instrument.quantity.x]\nfield = 1\nunit = \"1\"\n";
    fs::write(profiles.join("eraser.toml"), asked).unwrap();
    fs::write(profiles.join("broken.toml"), "[bus\n").unwrap();
    let config = dir.path().join("tidegate.toml").display().to_string();

    let port = Port::plugged(&dir.path().join("port"));
    let path = port.path().display().to_string();
    let player = Player::start(port, b"TANK 4 LEVEL 1203 MM\r\nTANK 5 LEVEL 1187 MM\r\n".to_vec());
    let output = agent::run(&["--config", &config, "--json", "detect", &path, "--seconds", "3"]);
    assert_eq!(names(&found(&output), "named"), ["tank"], "{}", stderr(&output));
    assert!(stderr(&output).contains("profile broken is left out"), "{}", stderr(&output));
    drop(player);

    let port = Port::plugged(&dir.path().join("quiet"));
    let path = port.path().display().to_string();
    let output = agent::run(&["--config", &config, "--json", "detect", &path, "--seconds", "1", "--ask"]);
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{}", stderr(&output));
    assert!(!String::from_utf8_lossy(&port.written()).contains("ERASE"), "a local profile was asked");
}

#[test]
fn ctrl_c_ends_it_at_once_with_what_was_found_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::plugged(&dir.path().join("port"));
    let mut child = Command::new(places::tidegate())
        .args(["--config", "/nonexistent", "--json", "detect", "--seconds", "600"])
        .arg(port.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the port to be set", LIMIT, String::new, || (port.shape()?.baud == 9_600).then_some(()));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // The port is open before the signal is listened for.
    let mut words = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut words, &mut first).unwrap();
    let began = now();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(exit::NOT_FINE), "{output:?}");
    assert_eq!(found(&output)["bytes"], 0);
}

#[test]
fn a_port_that_is_not_there_is_a_port_failure() {
    let gone = detect_on(Path::new("/dev/ttyNOWHERE"), &[]);
    assert_eq!(gone.status.code(), Some(exit::DISK), "{}", stderr(&gone));
    assert!(stderr(&gone).contains("plugged in"), "{}", stderr(&gone));
    let wrong = agent::run(&["--config", "/nonexistent", "detect", "usb:1:2"]);
    assert_eq!(wrong.status.code(), Some(exit::USAGE), "{}", stderr(&wrong));
}
