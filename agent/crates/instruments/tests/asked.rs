//! Instruments that are asked, talked to as the bus does it: steps are done in their order, time passes in between.

mod common;

use std::collections::VecDeque;

use common::{line, number, stamp, text};
use instruments::{
    AnswerSpec, Check, DecodeSpec, Format, FrameSpec, GoodRegister, LineEnd, Mechanics, ModbusSpec, Order, Output,
    PollSpec, Protocol, ProtocolSpec, Refusal, RegexSpec, RegisterSpec, SampleValue, Sdi12Line, Sdi12Spec, Step,
    StepSpec, Table, Turn, bind,
};
use proptest::prelude::*;

/// What an instrument says to what it is told: when, and which bytes.
type Device<'a> = dyn FnMut(u64, &[u8]) -> Vec<(u64, Vec<u8>)> + 'a;

/// A line with a device at its end, and the time.
struct Line {
    now: u64,
    protocol: Box<dyn Protocol>,
    on_the_way: VecDeque<(u64, Vec<u8>)>,
    out: Output,
    sent: Vec<Vec<u8>>,
    breaks: usize,
}

impl Line {
    fn new(spec: &ProtocolSpec, fields: &[instruments::FieldSpec]) -> Self {
        let protocol = bind(spec, fields).expect("the test's spec holds");
        Self { now: 1_000, protocol, on_the_way: VecDeque::new(), out: Output::default(), sent: Vec::new(), breaks: 0 }
    }

    /// Hands over what has arrived by `until`, and lets time pass up to there or to the first bytes.
    fn pass(&mut self, until: u64) {
        self.on_the_way.make_contiguous().sort_by_key(|(at, _)| *at);
        match self.on_the_way.front() {
            Some((at, _)) if *at <= until => {
                let (at, bytes) = self.on_the_way.pop_front().expect("there is one");
                self.now = self.now.max(at);
                self.protocol.receive(&bytes, stamp(self.now), &mut self.out);
            }
            _ => self.now = self.now.max(until),
        }
    }

    fn rest(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.pass(until);
        }
    }

    fn turn(&mut self, device: &mut Device<'_>) -> Turn {
        self.protocol.begin(self.now);
        for _ in 0..10_000 {
            match self.protocol.next(self.now) {
                Step::Send(bytes) => {
                    self.on_the_way.extend(device(self.now, &bytes));
                    self.sent.push(bytes);
                }
                Step::Break => self.breaks += 1,
                Step::Wait { until_mono_ms } | Step::Pause { until_mono_ms } => self.pass(until_mono_ms),
                Step::Done(turn) => return turn,
                Step::Idle { .. } => panic!("idle within a turn"),
            }
        }
        panic!("a turn that never ends");
    }

    fn values(&self) -> Vec<(usize, f64)> {
        let number = |sample: &instruments::Sample| match sample.value {
            SampleValue::Number(number) => Some((sample.field, number)),
            _ => None,
        };
        self.out.samples.iter().filter_map(number).collect()
    }
}

fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0xffff_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
        }
    }
    crc
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(crc(&bytes).to_le_bytes());
    bytes
}

/// A slave whose register holds its own address plus 1000; `None` for a request that it refuses.
fn reply(request: &[u8], exists: impl Fn(u16) -> bool) -> Vec<u8> {
    let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    let (first, count) = (word(2), word(4));
    if !(first..first + count).all(exists) {
        return with_crc(vec![request[0], request[1] | 0x80, 2]);
    }
    let mut bytes = vec![request[0], request[1], u8::try_from(count * 2).expect("at most 125 registers")];
    bytes.extend((first..first + count).flat_map(|register| (register + 1000).to_be_bytes()));
    with_crc(bytes)
}

fn register(address: u16, format: Format) -> RegisterSpec {
    RegisterSpec { table: Table::HoldingRegisters, address, format, order: Order::Abcd, good: None }
}

fn modbus(registers: Vec<RegisterSpec>) -> (ProtocolSpec, Vec<instruments::FieldSpec>) {
    let fields = registers.iter().map(|register| number(&register.address.to_string())).collect();
    let spec = ModbusSpec { unit: 7, timeout_ms: 100, retries: 1, pause_ms: 0, registers };
    (ProtocolSpec::own(Mechanics::ModbusRtu(spec)), fields)
}

fn words(addresses: &[u16]) -> (ProtocolSpec, Vec<instruments::FieldSpec>) {
    modbus(addresses.iter().map(|address| register(*address, Format::U16)).collect())
}

#[test]
fn a_unit_is_read_block_by_block_through_noise_and_echoes() {
    let (spec, fields) = words(&[0, 2, 100]);
    let mut line = Line::new(&spec, &fields);
    let turn = line.turn(&mut |now, request| {
        let noise = vec![0x00, 0xfe, 0x07, 0x03];
        // An echo, another master's write, another unit's answer, and then ours in two pieces.
        let foreign = with_crc(vec![9, 6, 0, 1, 0, 2]);
        let other = reply(&[&[9][..], &request[1..]].concat(), |_| true);
        let whole = [request.to_vec(), foreign, other, noise, reply(request, |_| true)].concat();
        vec![(now + 20, whole[..9].to_vec()), (now + 60, whole[9..].to_vec())]
    });
    assert_eq!((turn, line.sent.len()), (Turn::Answered, 2));
    assert_eq!(line.values(), [(0, 1000.0), (1, 1002.0), (2, 1100.0)]);
}

#[test]
fn a_block_that_holds_a_hole_is_read_around_it_from_then_on() {
    let (spec, fields) = words(&[0, 1, 4, 9]);
    let mut line = Line::new(&spec, &fields);
    let mut slave =
        |now: u64, request: &[u8]| vec![(now + 5, reply(request, |register| register != 3 && register != 9))];
    assert_eq!(line.turn(&mut slave), Turn::Answered);
    assert_eq!(line.values(), [(0, 1000.0), (1, 1001.0), (2, 1004.0)]);
    assert_eq!(line.out.refused[0].why, Refusal::Exception { code: 2 });
    line.sent.clear();
    line.turn(&mut slave);
    assert_eq!(line.sent.len(), 3, "what was learned is kept");
}

#[test]
fn a_status_register_gates_a_value_of_its_own_table() {
    let good = |values| Some(Box::new(GoodRegister { register: register(40, Format::U16), values }));
    let mut fine = register(0, Format::U16);
    fine.good = good(vec![1040.0]);
    let mut failed = register(1, Format::U16);
    failed.good = good(vec![0.0]);
    let (spec, fields) = modbus(vec![fine, failed]);
    let mut line = Line::new(&spec, &fields);
    line.turn(&mut |now, request| vec![(now + 5, reply(request, |_| true))]);
    let said: Vec<_> = line.out.samples.iter().map(|sample| (sample.field, sample.value.clone())).collect();
    assert_eq!(said, [(0, SampleValue::Number(1000.0)), (1, SampleValue::Missing)]);
}

#[test]
fn a_dead_unit_costs_its_time_out_for_each_try_and_no_more() {
    let (spec, fields) = words(&[0, 100, 200]);
    let mut line = Line::new(&spec, &fields);
    let began = line.now;
    assert_eq!(line.turn(&mut |_, _| Vec::new()), Turn::Silent);
    assert_eq!((line.now - began, line.sent.len()), (200, 2));
}

proptest! {
    /// The reason why this is our own client: a late answer is never filed under another question. Every register
    /// holds its own number, so that a value that came the wrong way tells.
    #[test]
    fn a_late_answer_is_never_taken_for_another(
        delays in prop::collection::vec(prop_oneof![3 => 1_u64..90, 2 => 90_u64..1_900, 1 => Just(u64::MAX)], 1..60),
        rests in prop::collection::vec(0_u64..3_000, 1..8),
        pieces in prop::collection::vec(1_usize..9, 1..5),
    ) {
        let (spec, fields) = words(&[0, 100, 200, 300]);
        let mut line = Line::new(&spec, &fields);
        let mut delays = delays.into_iter().cycle();
        let mut busy_until = 0;
        let mut slave = |now: u64, request: &[u8]| {
            let delay = delays.next().expect("it cycles");
            if delay == u64::MAX {
                return Vec::new();
            }
            // A slave answers one after the other, each as late as it is.
            busy_until = (now + delay).max(busy_until + 1).min(now + 1_900);
            let mut rest = &reply(request, |_| true)[..];
            let mut parts = Vec::new();
            for size in pieces.iter().cycle() {
                let (part, after) = rest.split_at((*size).min(rest.len()));
                parts.push((busy_until, part.to_vec()));
                rest = after;
                if rest.is_empty() { break }
            }
            parts
        };
        for ms in rests {
            line.turn(&mut slave);
            line.rest(ms);
        }
        for (field, value) in line.values() {
            prop_assert_eq!((field, value.to_string()), (field, ["1000", "1100", "1200", "1300"][field].to_owned()));
        }
    }

    #[test]
    fn garbage_for_an_answer_is_no_answer_and_takes_no_memory(garbage in prop::collection::vec(any::<u8>(), 0..3_000)) {
        for (spec, fields) in [words(&[0, 100]), sdi12("MC"), sdi12("C"), ezo()] {
            let mut line = Line::new(&spec, &fields);
            for _ in 0..3 {
                line.turn(&mut |now, _| vec![(now + 1, garbage.clone())]);
            }
            line.protocol.receive(&garbage, stamp(line.now), &mut line.out);
            prop_assert!(line.out.refused.len() <= instruments::REFUSED_KEPT_MAX);
        }
    }

    #[test]
    fn any_cut_of_an_answer_says_the_same(sizes in prop::collection::vec(1_usize..12, 1..8)) {
        let cases: Vec<Case<'_>> = vec![
            (words(&[0, 1]), &|request| reply(request, |_| true)),
            (sdi12("M"), &|request| decagon(request)),
            (ezo(), &|request| if request == b"R\r" { b"8.69\r96.4\r*OK\r".to_vec() } else { b"*OK\r".to_vec() }),
        ];
        for ((spec, fields), says) in cases {
            let heard = |is_cut: bool| {
                let mut line = Line::new(&spec, &fields);
                let mut sizes = sizes.iter().cycle();
                let turn = line.turn(&mut |now, request| {
                    let whole = says(request);
                    if !is_cut {
                        return vec![(now + 1, whole)];
                    }
                    let mut rest = &whole[..];
                    let mut parts = Vec::new();
                    while !rest.is_empty() {
                        let size = sizes.next().expect("it cycles");
                        let (part, after) = rest.split_at((*size).min(rest.len()));
                        parts.push((now + 1, part.to_vec()));
                        rest = after;
                    }
                    parts
                });
                (turn, line.values(), line.out.counts)
            };
            let whole = heard(false);
            prop_assert!(!whole.1.is_empty());
            prop_assert_eq!(whole, heard(true));
        }
    }
}

type Case<'a> = ((ProtocolSpec, Vec<instruments::FieldSpec>), &'a dyn Fn(&[u8]) -> Vec<u8>);

fn sdi12(command: &str) -> (ProtocolSpec, Vec<instruments::FieldSpec>) {
    let spec =
        Sdi12Spec { address: '0', command: command.to_owned(), line: Sdi12Line::Bridge, timeout_ms: 100, retries: 2 };
    (ProtocolSpec::own(Mechanics::Sdi12(spec)), vec![number("1"), number("2"), number("3")])
}

/// A three-parameter sensor that gives two values and then one.
fn decagon(command: &[u8]) -> Vec<u8> {
    match command {
        b"0M!" => b"00013\r\n".to_vec(),
        b"0C!" => b"000103\r\n".to_vec(),
        b"0D0!" => b"0+35+26.4\r\n".to_vec(),
        b"0D1!" => b"0-0.5\r\n".to_vec(),
        b"0MC!" => b"00001\r\n".to_vec(),
        _ => Vec::new(),
    }
}

#[test]
fn a_sensor_measures_and_its_values_are_fetched_when_it_asks_for_service() {
    let (spec, fields) = sdi12("M");
    let mut line = Line::new(&spec, &fields);
    let turn = line.turn(&mut |now, command| {
        let mut said = vec![(now + 10, [command, &decagon(command)].concat())];
        if command == b"0M!" {
            said.push((now + 300, b"\0\x000\r\n".to_vec()));
        }
        said
    });
    assert_eq!(turn, Turn::Answered);
    assert_eq!(line.values(), [(0, 35.0), (1, 26.4), (2, -0.5)]);
    assert!(line.now < 1_500, "it did not wait the whole second: {}", line.now);
    assert_eq!(line.sent, [b"0M!".to_vec(), b"0D0!".to_vec(), b"0D1!".to_vec()]);
}

#[test]
fn on_a_bare_line_every_command_begins_with_a_break() {
    let (mut spec, fields) = sdi12("C");
    let Mechanics::Sdi12(sdi) = &mut spec.mechanics else { panic!("it is SDI-12") };
    sdi.line = Sdi12Line::Bare;
    let mut line = Line::new(&spec, &fields);
    assert_eq!(line.turn(&mut |now, command| vec![(now + 10, decagon(command))]), Turn::Answered);
    assert_eq!((line.breaks, line.values().len()), (3, 3));
}

#[test]
fn another_sensor_an_aborted_measurement_and_a_wrong_checksum_give_nothing() {
    let (spec, fields) = sdi12("M");
    let mut line = Line::new(&spec, &fields);
    let mut foreign = |now: u64, _: &[u8]| vec![(now + 10, b"10013\r\n1+1+2+3\r\n".to_vec())];
    assert_eq!((line.turn(&mut foreign), line.values().len(), line.sent.len()), (Turn::Silent, 0, 3));
    let mut aborted = |now: u64, command: &[u8]| {
        let text: &[u8] = if command == b"0M!" { b"00003\r\n" } else { b"0\r\n" };
        vec![(now + 10, text.to_vec())]
    };
    assert_eq!((line.turn(&mut aborted), line.values().len()), (Turn::Refused, 0));

    let spec =
        Sdi12Spec { address: '0', command: "MC".to_owned(), line: Sdi12Line::Bridge, timeout_ms: 100, retries: 2 };
    let mut line = Line::new(&ProtocolSpec::own(Mechanics::Sdi12(spec)), &[number("1")]);
    let mut asked = 0;
    let turn = line.turn(&mut |now, command| {
        asked += 1;
        let text: &[u8] = match (command, asked) {
            (b"0MC!", _) => b"00001\r\n",
            (_, 2) => b"0+3.15OqZ\r\n",
            _ => b"0+3.14OqZ\r\n",
        };
        vec![(now + 10, text.to_vec())]
    });
    assert_eq!((turn, line.values().len(), line.sent.len()), (Turn::Answered, 1, 3), "asked again");
    assert!(matches!(line.out.refused[0].why, Refusal::Checksum { .. }));
}

fn step(send: &str, answer: AnswerSpec) -> StepSpec {
    StepSpec {
        send: send.as_bytes().to_vec(),
        answer,
        fail: Some(r"^\*ER$".to_owned()),
        timeout_ms: 1_500,
        retries: 1,
        pause_ms: 0,
    }
}

/// An Atlas EZO: `init` stops its stream, `R` gives a value and `*OK`.
fn ezo() -> (ProtocolSpec, Vec<instruments::FieldSpec>) {
    let poll = PollSpec {
        init: vec![step("C,0\r", AnswerSpec::Expect(r"^\*OK$".to_owned()))],
        steps: vec![step("R\r", AnswerSpec::Until(r"^\*OK$".to_owned()))],
        restarts: vec![r"^\*(RS|RE)$".to_owned()],
    };
    let frame: FrameSpec = line(LineEnd::Bytes(b"\r".to_vec()), None);
    let decode = DecodeSpec::Regex(RegexSpec { pattern: r"^(?P<do>-?[0-9.]+)$".to_owned() });
    let spec = ProtocolSpec { frame, decode, check: Check::None, ..ProtocolSpec::own(Mechanics::Poll(poll)) };
    (spec, vec![number("do")])
}

#[test]
fn a_streamed_line_between_command_and_answer_disturbs_nothing() {
    let (spec, fields) = ezo();
    let mut line = Line::new(&spec, &fields);
    assert!(line.protocol.wants_turn(), "it was opened");
    line.protocol.receive(b"1.11\r", stamp(0), &mut line.out);
    assert!(line.values().is_empty(), "nobody asked yet");
    let mut circuit = |now: u64, command: &[u8]| match command {
        b"C,0\r" => vec![(now + 100, b"7.77\r".to_vec()), (now + 300, b"*OK\r".to_vec())],
        _ => vec![(now + 200, b"8.6".to_vec()), (now + 700, b"9\r*OK\r".to_vec())],
    };
    assert_eq!(line.turn(&mut circuit), Turn::Answered);
    assert_eq!(line.sent, [b"C,0\r".to_vec(), b"R\r".to_vec()]);
    assert_eq!(line.values(), [(0, 8.69)]);
    assert_eq!(line.turn(&mut circuit), Turn::Answered);
    assert_eq!(line.sent.len(), 3, "set up once");

    line.protocol.receive(b"*RE\r", stamp(0), &mut line.out);
    assert!(line.protocol.wants_turn(), "it restarted");
    line.turn(&mut circuit);
    assert_eq!(line.sent[3], b"C,0\r");
    assert_eq!(line.turn(&mut |now, _| vec![(now + 9, b"*ER\r".to_vec())]), Turn::Refused);
    assert_eq!(line.out.refused.last().unwrap().why, Refusal::Denied);
    assert_eq!(line.turn(&mut |_, _| Vec::new()), Turn::Silent);
}

#[test]
fn an_instrument_that_talks_by_itself_is_set_up_and_listened_to() {
    let (mut spec, _) = ezo();
    let Mechanics::Poll(poll) = &mut spec.mechanics else { panic!("it is polled") };
    poll.steps.clear();
    poll.init = vec![step("C,1\r", AnswerSpec::Any)];
    let mut line = Line::new(&spec, &[text("do")]);
    assert_eq!(line.turn(&mut |_, _| Vec::new()), Turn::Answered);
    assert!(!line.protocol.wants_turn());
    line.protocol.receive(b"8.69\r", stamp(0), &mut line.out);
    assert_eq!(line.out.samples.len(), 1);
    assert_eq!(line.protocol.next(line.now), Step::Idle { until_mono_ms: None });
}
