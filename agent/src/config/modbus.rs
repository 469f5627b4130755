//! Modbus units: the keys of `[instrument.*.protocol]`, and those that name the register of a quantity.

use std::time::Duration;

use instruments::{Format, GoodRegister, ModbusSpec, Order, RegisterSpec, Table};

use super::poll::TIMEOUT_MAX;
use super::section::{Misfit, Section};
use super::value::{choice, duration, integer, list, millis, number};

/// libmodbus waits half a second and loses one answer in ten to slow gateways; a second loses none.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// The unit; its registers come from the quantities.
pub(super) fn read(section: &Section<'_>) -> Option<ModbusSpec> {
    let unit = section.require("unit", integer(1..=255));
    let timeout = section.get("timeout", duration(Duration::from_millis(10)..=TIMEOUT_MAX)).unwrap_or(TIMEOUT_DEFAULT);
    let retries = section.get("retries", integer(0..=10)).unwrap_or(2);
    let pause = section.get("pause", duration(Duration::ZERO..=TIMEOUT_MAX)).unwrap_or_default();
    address_base(section);
    section.finish();
    let (timeout_ms, pause_ms) = (millis(timeout), millis(pause));
    Some(ModbusSpec { unit: unit?, timeout_ms, retries, pause_ms, registers: Vec::new() })
}

/// What the manual calls the first register: 0, 1, or 40001.
pub(super) fn address_base(section: &Section<'_>) -> i64 {
    section.get("address_base", integer(0..=49_999)).unwrap_or(0)
}

#[derive(Clone, Copy)]
enum Type {
    Fixed(Format),
    Bit,
    Text,
}

const TYPES: &[(&str, Type)] = &[
    ("u16", Type::Fixed(Format::U16)),
    ("i16", Type::Fixed(Format::I16)),
    ("u32", Type::Fixed(Format::U32)),
    ("i32", Type::Fixed(Format::I32)),
    ("u64", Type::Fixed(Format::U64)),
    ("i64", Type::Fixed(Format::I64)),
    ("f32", Type::Fixed(Format::F32)),
    ("f64", Type::Fixed(Format::F64)),
    ("bit", Type::Bit),
    ("text", Type::Text),
];

const ORDERS: &[(&str, Order)] =
    &[("ABCD", Order::Abcd), ("CDAB", Order::Cdab), ("BADC", Order::Badc), ("DCBA", Order::Dcba)];

/// Where a quantity stands in the unit.
pub(super) fn read_register(section: &Section<'_>, base: i64) -> Option<RegisterSpec> {
    let mut register = read_place(section, base, None);
    if let Some(status) = section.section("good") {
        let table = register.as_ref().map(|register| register.table);
        let place = read_place(&status, base, table);
        let values = status.require("values", list(number));
        status.finish();
        if let Some(register) = &mut register {
            register.good = Some(Box::new(GoodRegister { register: place?, values: values? }));
        }
    }
    register
}

fn read_place(section: &Section<'_>, base: i64, table: Option<Table>) -> Option<RegisterSpec> {
    let register: Option<i64> = section.require("register", integer(0..=115_536));
    let table = match section.get("function", integer::<u8>(1..=4)) {
        Some(1) => Table::Coils,
        Some(2) => Table::DiscreteInputs,
        Some(4) => Table::InputRegisters,
        Some(_) => Table::HoldingRegisters,
        None => table.unwrap_or(Table::HoldingRegisters),
    };
    let usual = if table.has_bits() { Type::Bit } else { Type::Fixed(Format::U16) };
    let order = section.get("order", choice(ORDERS)).unwrap_or_default();
    let format = match section.get("type", choice(TYPES)).unwrap_or(usual) {
        Type::Fixed(format) => format,
        Type::Bit if table.has_bits() => Format::Bit(0),
        Type::Bit => Format::Bit(section.require("bit", integer(0..=15))?),
        Type::Text => Format::Text(section.require("length", integer(1..=120))?),
    };
    let register = register?;
    let Ok(address) = u16::try_from(register - base) else {
        let misfit = Misfit::new(format!("register {register} is no address, counted from {base}"));
        section.refuse("register", misfit.help("`address_base` is what the manual calls the first register"));
        return None;
    };
    Some(RegisterSpec { table, address, format, order, good: None })
}
