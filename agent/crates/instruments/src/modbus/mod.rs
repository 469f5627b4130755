//! The mechanics of a Modbus RTU unit: its registers, read in as few requests as it allows.
//!
//! After *MODBUS over Serial Line, Specification and Implementation Guide V1.02* and *MODBUS Application Protocol
//! Specification V1.1b3*. What is deliberately absent: writing, and any function but 1 to 4.
//!
//! 1. An answer is believed when unit, function, byte count and checksum fit the request that is out ([`frame`]).
//! 2. RTU numbers nothing. A request that was given up may still be answered, so none is sent whose answer would look
//!    the same before that is past ([`crate::late`]); asking the same again is safe.
//! 3. An exception is an answer: the device is there. One for a register that does not exist parts the block ([`plan`]).
//! 4. A unit that does not answer a request is not asked for the rest in that turn.
//! 5. The silence of 3.5 characters before a request is the bus's to keep: it knows the line.

mod frame;
mod overheard;
mod plan;
mod spec;
mod value;

use model::Stamp;

pub use overheard::{Overheard, OverheardKind, overheard};
pub use spec::{Format, GoodRegister, ModbusSpec, Order, RegisterSpec, Table};

use crate::field::{Field, FieldSpec, Wanted};
use crate::late::Owed;
use crate::limits::{RETRIES_MAX, TIMEOUT_MS_MAX};
use crate::note::{Checked, End, Ignored, Part, Said, hex};
use crate::output::{Output, Row, SampleValue};
use crate::protocol::{Protocol, Step, Turn};
use crate::refusal::Refusal;
use crate::spec::{Fault, Place, SpecError};
use frame::{Answer, Ear, Shape};
use plan::Block;

/// A unit on the line.
#[derive(Debug)]
pub struct Modbus {
    unit: u8,
    timeout_ms: u64,
    retries: u32,
    pause_ms: u64,
    fields: Vec<Field>,
    /// The registers of the fields, in their order, and behind them the statuses that gate some.
    items: Vec<RegisterSpec>,
    gates: Vec<Option<Gate>>,
    blocks: Vec<Block>,
    state: State,
    ear: Ear,
    owed: Owed<Question>,
    /// When the first byte since the request arrived.
    first_byte: Option<Stamp>,
    /// Whether anything was answered in this turn, and whether all of that was refused.
    heard: Option<Turn>,
    is_watched: bool,
}

/// What gates a field: the item that is its status, what that must say, and whether it said so in this turn.
#[derive(Debug)]
struct Gate {
    item: usize,
    values: Vec<f64>,
    is_open: bool,
}

/// A request, as far as it matters which one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    address: u16,
    count: u16,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No turn.
    Listening,
    /// The request for a block is to go out.
    Due { block: usize, tries: u32, not_before_mono_ms: u64 },
    /// It is on its way out.
    Sending { block: usize, tries: u32 },
    /// It is out.
    Asked { block: usize, tries: u32, until_mono_ms: u64, last_mono_ms: u64 },
    /// This block is next.
    Next { block: usize },
    /// The turn is over, and this came of it.
    Over(Turn),
}

/// An answer that has begun may be slow: 256 bytes at 1200 baud take 2.4 s.
const ANSWER_MS_MAX: u64 = 2_500;

/// Between two bytes of one answer; the specification says 1.5 characters (§2.5.1.1), USB adapters and radios know of no such thing.
const BYTE_GAP_MS_MAX: u64 = 100;

impl Modbus {
    pub(crate) fn try_new(spec: &ModbusSpec, fields: &[FieldSpec]) -> Result<Self, SpecError> {
        if fields.len() != spec.registers.len() {
            let fault = Fault::OutOfRange { min: fields.len(), max: fields.len(), found: spec.registers.len() };
            return Err(Place::Key("registers").fault(fault));
        }
        in_range("unit", 1, 255, spec.unit.into())?;
        in_range("timeout", 1, TIMEOUT_MS_MAX, spec.timeout_ms)?;
        in_range("pause", 0, TIMEOUT_MS_MAX, spec.pause_ms)?;
        in_range("retries", 0, RETRIES_MAX.into(), spec.retries.into())?;
        for (index, register) in spec.registers.iter().enumerate() {
            check(register, index)?;
        }
        let mut items = spec.registers.clone();
        let gates: Vec<Option<Gate>> =
            spec.registers.iter().map(|register| Some(gate(register.good.as_deref()?, &mut items))).collect();
        let first: Vec<usize> = (fields.len()..items.len()).collect();
        Ok(Self {
            unit: spec.unit,
            timeout_ms: spec.timeout_ms,
            retries: spec.retries,
            pause_ms: spec.pause_ms,
            fields: fields.iter().map(|field| Field::new(&Wanted::value(field))).collect(),
            blocks: plan::plan(&items, &first),
            items,
            gates,
            state: State::Listening,
            ear: Ear::default(),
            owed: Owed::new(spec.timeout_ms),
            first_byte: None,
            heard: None,
            is_watched: false,
        })
    }
}

impl Modbus {
    /// The same, making notes or not.
    pub(crate) fn watched(mut self, is_watched: bool) -> Self {
        self.is_watched = is_watched;
        self
    }
}

fn gate(good: &GoodRegister, items: &mut Vec<RegisterSpec>) -> Gate {
    items.push(good.register.clone());
    Gate { item: items.len() - 1, values: good.values.clone(), is_open: false }
}

fn check(register: &RegisterSpec, index: usize) -> Result<(), SpecError> {
    let fault = |min: usize, max: usize, found: usize| Place::Field(index).fault(Fault::OutOfRange { min, max, found });
    let len = register.format.len();
    // 120 registers of text are 240 characters: no block must be longer than an answer can be.
    if !(1..=120).contains(&len) {
        return Err(fault(1, 120, len.into()));
    }
    if register.address.checked_add(len - 1).is_none() {
        return Err(fault(0, usize::from(u16::MAX - (len - 1)), register.address.into()));
    }
    match register.format {
        Format::Bit(bit) if bit > 15 => Err(fault(0, 15, bit.into())),
        Format::Bit(_) => good_check(register, index),
        _ if register.table.has_bits() => Err(Place::Field(index).fault(Fault::NotABit)),
        _ => good_check(register, index),
    }
}

fn good_check(register: &RegisterSpec, index: usize) -> Result<(), SpecError> {
    register.good.as_ref().map_or(Ok(()), |good| check(&good.register, index))
}

pub(crate) fn in_range(key: &'static str, min: u64, max: u64, found: u64) -> Result<(), SpecError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Err(Place::Key(key).fault(Fault::OutOfRange { min: size(min), max: size(max), found: size(found) }))
}

impl Protocol for Modbus {
    fn begin(&mut self, _now_mono_ms: u64) {
        self.heard = None;
        self.ear.forget();
        for gate in self.gates.iter_mut().flatten() {
            gate.is_open = false;
        }
        self.state = State::Next { block: 0 };
    }

    fn next(&mut self, now_mono_ms: u64) -> Step {
        if let State::Next { block } = self.state {
            let not_before_mono_ms = now_mono_ms.saturating_add(self.pause_ms);
            self.state = if block < self.blocks.len() {
                State::Due { block, tries: 0, not_before_mono_ms }
            } else {
                State::Over(self.heard.unwrap_or(Turn::Answered))
            };
        }
        match self.state {
            State::Listening | State::Next { .. } => Step::Idle { until_mono_ms: None },
            State::Due { block, tries, not_before_mono_ms } => self.ask(block, tries, not_before_mono_ms, now_mono_ms),
            State::Sending { block, tries } => {
                let until_mono_ms = now_mono_ms.saturating_add(self.timeout_ms);
                let last_mono_ms = until_mono_ms.saturating_add(ANSWER_MS_MAX);
                self.owed.asked(self.question(block), now_mono_ms);
                self.state = State::Asked { block, tries, until_mono_ms, last_mono_ms };
                Step::Wait { until_mono_ms }
            }
            State::Asked { until_mono_ms, .. } if now_mono_ms < until_mono_ms => Step::Wait { until_mono_ms },
            State::Asked { block, tries, .. } if tries < self.retries => {
                let not_before_mono_ms = now_mono_ms.saturating_add(self.pause_ms);
                self.state = State::Due { block, tries: tries + 1, not_before_mono_ms };
                self.next(now_mono_ms)
            }
            State::Asked { .. } => {
                self.state = State::Listening;
                Step::Done(if self.heard.is_some() { Turn::Refused } else { Turn::Silent })
            }
            State::Over(turn) => {
                self.state = State::Listening;
                Step::Done(turn)
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], at: Stamp, out: &mut Output) {
        for byte in bytes {
            self.ear.push(*byte);
            match self.state {
                State::Asked { block, .. } | State::Sending { block, .. } => self.listen(block, at, out),
                _ => self.hear_late(at, out),
            }
        }
    }

    fn resync(&mut self) {
        self.ear.forget();
    }
}

impl Modbus {
    fn question(&self, block: usize) -> Question {
        let block = &self.blocks[block];
        Question { address: block.address, count: block.count, shape: Shape::of(self.unit, block) }
    }

    fn ask(&mut self, block: usize, tries: u32, not_before_mono_ms: u64, now_mono_ms: u64) -> Step {
        let question = self.question(block);
        let forbidden = self.owed.forbids(question, now_mono_ms, |owed| owed.shape == question.shape);
        let until_mono_ms = not_before_mono_ms.max(forbidden.unwrap_or(0));
        if now_mono_ms < until_mono_ms {
            return Step::Pause { until_mono_ms };
        }
        self.state = State::Sending { block, tries };
        self.first_byte = None;
        self.ear.forget();
        Step::Send(frame::request(self.unit, &self.blocks[block]))
    }

    fn listen(&mut self, block: usize, at: Stamp, out: &mut Output) {
        let first = *self.first_byte.get_or_insert(at);
        let question = self.question(block);
        if let Some(answer) = self.ear.hears(question.shape) {
            let is_alone = self.owed.count() <= 1;
            self.owed.answered(question);
            out.counts.frames += 1;
            match answer {
                Answer::Data(data) => self.take(block, &data, first, out),
                Answer::Exception(code) => self.refuse(block, code, is_alone, first, out),
            }
            return;
        }
        self.hear_late(at, out);
        if let State::Asked { until_mono_ms, last_mono_ms, .. } = &mut self.state {
            let byte_gap_until = at.mono_ms.saturating_add(BYTE_GAP_MS_MAX).min(*last_mono_ms);
            *until_mono_ms = byte_gap_until.max(*until_mono_ms);
        }
    }

    /// An answer to a request that was given up is one less that is owed, and nothing else.
    fn hear_late(&mut self, at: Stamp, out: &mut Output) {
        let mut owed = self.owed.questions();
        let late = owed.find_map(|owed| Some((owed, self.ear.hears(owed.shape)?)));
        drop(owed);
        if let Some((question, answer)) = late {
            self.owed.answered(question);
            if self.is_watched {
                let frame = question.shape.frame(&answer);
                out.note(at, &frame, found(&frame), End::Ignored(Ignored::Late));
            }
        }
    }

    fn take(&mut self, block: usize, data: &[u8], at: Stamp, out: &mut Output) {
        self.heard = Some(Turn::Answered);
        self.state = State::Next { block: block + 1 };
        self.read_gates(block, data);
        let first = out.samples.len();
        let mut row = Row::begin(at, &mut out.samples);
        let read = self.read(&self.blocks[block], data, &mut row);
        match &read {
            Ok(()) if row.is_empty() => out.counts.ignored += 1,
            Ok(()) => {}
            Err(_) => row.abandon(),
        }
        if self.is_watched {
            let end = match &read {
                Err(why) => End::Refused(why.clone()),
                Ok(()) if out.samples.len() == first => End::Ignored(Ignored::NothingWanted),
                Ok(()) => End::Taken { samples: out.samples[first..].to_vec(), said: self.said(block, data) },
            };
            let frame = self.question(block).shape.frame(&Answer::Data(data.to_vec()));
            out.note(at, &frame, found(&frame), end);
        }
        if let Err(why) = read {
            out.refuse(at, why, data, data.len());
        }
    }

    /// The registers of each value and of each status, as they stood in the block.
    fn said(&self, block: usize, data: &[u8]) -> Vec<Said> {
        let block = &self.blocks[block];
        let part = |item: usize| match item.checked_sub(self.fields.len()) {
            None => Some(Part::Value(item)),
            Some(_) => {
                let is_of = |gate: &Option<Gate>| gate.as_ref().is_some_and(|gate| gate.item == item);
                self.gates.iter().position(is_of).map(Part::Status)
            }
        };
        let said = |item: &usize| {
            let bytes = cut(block, &self.items[*item], data)?;
            Some(Said { part: part(*item)?, text: hex(&bytes) })
        };
        block.items.iter().filter_map(said).collect()
    }

    fn read_gates(&mut self, block: usize, data: &[u8]) {
        let block = &self.blocks[block];
        for gate in self.gates.iter_mut().flatten().filter(|gate| block.items.contains(&gate.item)) {
            let item = &self.items[gate.item];
            let said = cut(block, item, data).and_then(|bytes| value::number(item, &bytes));
            gate.is_open = said.is_some_and(|said| gate.values.iter().any(|value| value.total_cmp(&said).is_eq()));
        }
    }

    fn read(&self, block: &Block, data: &[u8], row: &mut Row<'_>) -> Result<(), Refusal> {
        for index in block.items.iter().copied() {
            let Some(field) = self.fields.get(index) else { continue };
            let item = &self.items[index];
            let Some(bytes) = cut(block, item, data) else { continue };
            let is_open = self.gates[index].as_ref().is_none_or(|gate| gate.is_open);
            let value = if is_open { value::value(item, field, &bytes)? } else { SampleValue::Missing };
            row.push(index, value);
        }
        Ok(())
    }

    fn refuse(&mut self, block: usize, code: u8, is_alone: bool, at: Stamp, out: &mut Output) {
        self.heard = self.heard.or(Some(Turn::Refused));
        // MODBUS Application Protocol V1.1b3 §7: 2 "a request with offset 96 and length 5 will generate exception 02",
        // 3 "a fault in the structure". Where another answer is owed, the exception may be that one's.
        let parts = match code {
            2 | 3 if is_alone => plan::split(&self.blocks[block], &self.items),
            _ => Vec::new(),
        };
        let refused = Refusal::Exception { code };
        if self.is_watched {
            let end = if parts.len() > 1 { End::Ignored(Ignored::Split) } else { End::Refused(refused.clone()) };
            let frame = self.question(block).shape.frame(&Answer::Exception(code));
            out.note(at, &frame, found(&frame), end);
        }
        if parts.len() > 1 {
            self.blocks.splice(block..=block, parts);
            out.counts.ignored += 1;
            self.state = State::Next { block };
        } else {
            let function = self.blocks[block].table.function() | 0x80;
            out.refuse(at, refused, &[self.unit, function, code], 3);
            self.state = State::Next { block: block + 1 };
        }
    }
}

/// An answer is taken by its checksum.
fn found(frame: &[u8]) -> Checked {
    Checked::Passed { checksum: frame[frame.len() - 2..].to_vec() }
}

/// The bytes of an item in a block's data; a single bit as a byte of 0 or 1.
fn cut(block: &Block, item: &RegisterSpec, data: &[u8]) -> Option<Vec<u8>> {
    let offset = usize::from(block.offset(item));
    if item.table.has_bits() {
        // §6.1: "the LSB of the first data byte contains the output addressed in the query".
        return data.get(offset / 8).map(|byte| vec![byte >> (offset % 8) & 1]);
    }
    data.get(offset * 2..(offset + usize::from(item.format.len())) * 2).map(<[u8]>::to_vec)
}
