//! The mechanics that ask: a conversation in which the other side says anything, at any time.
//!
//! After the variety comes what is done, piece by piece: `[what][how much][bytes]`, where *what* is time that passes or
//! bytes that come, as they are or with the checksum that makes an answer of them.

use super::{assert_sane, number, parted, pick, spec, stamp, text};
use crate::bind::bind;
use crate::check::Check;
use crate::crc16::{MODBUS, SDI12, crc16};
use crate::decode::DecodeSpec;
use crate::decode::regex::RegexSpec;
use crate::field::FieldSpec;
use crate::frame::FrameSpec;
use crate::frame::line::{LineEnd, LineSpec};
use crate::modbus::{Format, GoodRegister, ModbusSpec, Order, RegisterSpec, Table};
use crate::output::Output;
use crate::poll::{AnswerSpec, PollSpec, StepSpec};
use crate::protocol::{Protocol, Step};
use crate::sdi12::{Sdi12Line, Sdi12Spec};
use crate::spec::{Mechanics, ProtocolSpec};

/// A protocol that is asked for its next step more often than this at one time never lets go of the bus.
const STEPS_MAX: usize = 64;

/// Lines that are asked for.
pub fn poll(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let answers = [AnswerSpec::Any, AnswerSpec::Expect("^OK$".to_owned()), AnswerSpec::Until("^end".to_owned())];
    let step = |send: &[u8], answer: AnswerSpec| StepSpec {
        send: send.to_vec(),
        answer,
        fail: Some("^ER$".to_owned()),
        timeout_ms: 50,
        retries: 1,
        pause_ms: 5,
    };
    let init = pick(&[vec![], vec![step(b"C,0\r", AnswerSpec::Expect("^OK$".to_owned()))]], variety);
    let asked = vec![step(b"R\r", pick(&answers, variety >> 1)), step(b"", AnswerSpec::Any)];
    let steps = pick(&[asked, vec![]], variety >> 3);
    let frame = FrameSpec::Line(LineSpec { end: LineEnd::Bytes(b"\r".to_vec()), start: None, max: 32 });
    let decode = DecodeSpec::Regex(RegexSpec { pattern: "^(?P<a>[0-9.]+)(?P<b>.*)$".to_owned() });
    let mechanics = Mechanics::Poll(PollSpec { init, steps, restarts: vec!["^RE$".to_owned()] });
    let spec = ProtocolSpec { mechanics, ..spec(frame, Check::None, decode) };
    converse(&spec, &[number("a"), text("b")], said, |body| [body, b"\r"].concat());
}

/// Registers.
pub fn modbus(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let register = |address: u16, format: Format| RegisterSpec {
        table: pick(&[Table::HoldingRegisters, Table::InputRegisters], variety),
        address,
        format,
        order: pick(&[Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba], variety >> 1),
        good: None,
    };
    let gate = GoodRegister { register: register(9, Format::U16), values: vec![0.0] };
    let gated = RegisterSpec { good: Some(Box::new(gate)), ..register(2, Format::F32) };
    let registers = vec![
        register(0, Format::I16),
        register(1, Format::Bit(3)),
        gated,
        register(4, Format::F64),
        register(300, Format::Text(4)),
        RegisterSpec { table: Table::Coils, ..register(5, Format::Bit(0)) },
    ];
    let fields: Vec<FieldSpec> = (0..registers.len()).map(|at| if at == 4 { text("t") } else { number("n") }).collect();
    let unit = ModbusSpec { unit: 1, timeout_ms: 50, retries: 1, pause_ms: 0, registers };
    let spec = ProtocolSpec::own(Mechanics::ModbusRtu(unit));
    converse(&spec, &fields, said, |body| [body, &crc16(MODBUS, body).to_le_bytes()].concat());
}

/// A sensor.
pub fn sdi12(bytes: &[u8]) {
    let (variety, said) = parted(bytes);
    let sensor = Sdi12Spec {
        address: '0',
        command: pick(&["M", "MC", "C", "CC1", "R0", "RC3"], variety >> 1).to_owned(),
        line: pick(&[Sdi12Line::Bridge, Sdi12Line::Bare], variety),
        timeout_ms: 50,
        retries: 1,
    };
    let spec = ProtocolSpec::own(Mechanics::Sdi12(sensor));
    let proven = |body: &[u8]| {
        let crc = crc16(SDI12, body);
        let six = |shift: u16| 0x40 | (crc >> shift & 0x3f).to_le_bytes()[0];
        [body, &[six(12), six(6), six(0)], b"\r\n"].concat()
    };
    converse(&spec, &[number("1"), number("2")], said, proven);
}

/// Does what the bytes say, turn after turn.
fn converse(spec: &ProtocolSpec, fields: &[FieldSpec], mut said: &[u8], proven: impl Fn(&[u8]) -> Vec<u8>) {
    let mut protocol = bind(spec, fields).expect("a target's protocol holds");
    let (mut out, mut now, mut is_in_turn) = (Output::default(), 0_u64, false);
    while let [what, much, rest @ ..] = said {
        if !is_in_turn && (spec.mechanics.is_asked() || protocol.wants_turn()) {
            protocol.begin(now);
            is_in_turn = true;
        }
        is_in_turn &= !settle(protocol.as_mut(), now);
        said = rest;
        if what % 4 == 0 {
            now += u64::from(*much) * u64::from(what / 4 + 1);
            continue;
        }
        let (body, rest) = rest.split_at(usize::from(*much).min(rest.len()));
        said = rest;
        let bytes = if what % 4 == 1 { body.to_vec() } else { proven(body) };
        protocol.receive(&bytes, stamp(now), &mut out);
        if *what == u8::MAX {
            protocol.resync();
        }
        assert_sane(&out);
    }
}

/// Asks for steps until the protocol waits; whether its turn is over.
fn settle(protocol: &mut dyn Protocol, now: u64) -> bool {
    for _ in 0..STEPS_MAX {
        match protocol.next(now) {
            Step::Send(bytes) => assert!(!bytes.is_empty(), "nothing is nothing to send"),
            Step::Break => {}
            Step::Done(_) | Step::Idle { .. } => return true,
            Step::Wait { until_mono_ms } | Step::Pause { until_mono_ms } => {
                assert!(until_mono_ms > now, "it waits for what is past");
                return false;
            }
        }
    }
    panic!("it never waits");
}
