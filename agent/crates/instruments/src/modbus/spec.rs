//! What the configuration says of a Modbus unit and its registers.

/// A Modbus unit (`type = "modbus-rtu"`).
#[derive(Debug, Clone, PartialEq)]
pub struct ModbusSpec {
    /// Its address, 1 to 247; what lies above is reserved, and used by some.
    pub unit: u8,
    /// How long it may take to begin its answer, in milliseconds.
    pub timeout_ms: u64,
    /// How often it is asked again when nothing comes.
    pub retries: u32,
    /// What passes before each request to it, in milliseconds.
    pub pause_ms: u64,
    /// Where each field stands, in the order of the fields given to [`crate::bind()`].
    pub registers: Vec<RegisterSpec>,
}

/// Where a value stands in a unit, and how it is written there.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterSpec {
    /// The table it is in.
    pub table: Table,
    /// Its address on the wire, from 0.
    pub address: u16,
    /// What is written there.
    pub format: Format,
    /// In which order its bytes stand.
    pub order: Order,
    /// What gates it: where the register there holds none of the values, the instrument says nothing here.
    pub good: Option<Box<GoodRegister>>,
}

/// A status that gates a value (`good = { register, values }`).
#[derive(Debug, Clone, PartialEq)]
pub struct GoodRegister {
    /// Where the status stands.
    pub register: RegisterSpec,
    /// What it says when all is well.
    pub values: Vec<f64>,
}

/// The tables of MODBUS Application Protocol V1.1b3 §4.3, each with the function that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Function 1.
    Coils,
    /// Function 2.
    DiscreteInputs,
    /// Function 3.
    HoldingRegisters,
    /// Function 4.
    InputRegisters,
}

impl Table {
    /// The function that reads it.
    pub fn function(self) -> u8 {
        match self {
            Table::Coils => 1,
            Table::DiscreteInputs => 2,
            Table::HoldingRegisters => 3,
            Table::InputRegisters => 4,
        }
    }

    /// Whether it holds bits, not registers.
    pub fn has_bits(self) -> bool {
        matches!(self, Table::Coils | Table::DiscreteInputs)
    }
}

/// What is written in one or more registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 16 bits with a sign.
    I16,
    /// 16 bits.
    U16,
    /// 32 bits with a sign.
    I32,
    /// 32 bits.
    U32,
    /// 64 bits with a sign.
    I64,
    /// 64 bits.
    U64,
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
    /// One bit: of a register the one with this number, 0 the least; of a table of bits the one there.
    Bit(u8),
    /// Two characters a register, in so many registers.
    Text(u8),
}

impl Format {
    /// How many addresses it takes.
    pub fn len(self) -> u16 {
        match self {
            Format::I16 | Format::U16 | Format::Bit(_) => 1,
            Format::I32 | Format::U32 | Format::F32 => 2,
            Format::I64 | Format::U64 | Format::F64 => 4,
            Format::Text(registers) => registers.into(),
        }
    }

    /// Whether it takes none: a text of no length.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The order of the bytes, `A` the most significant. MODBUS Application Protocol V1.1b3 §4.2 has big-endian registers and says
/// nothing of values that take two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they are said.
    #[default]
    Abcd,
    /// The last register first.
    Cdab,
    /// The bytes of each register swapped.
    Badc,
    /// Both: little-endian.
    Dcba,
}
