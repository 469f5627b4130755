//! Which registers are read together: as few requests as the protocol and the device allow.
//!
//! Neighbours are read in one request, small gaps included, because a request costs more than a register does. A
//! device that refuses a block (exception 2 or 3) is asked for the parts of it from then on: first without the gaps,
//! then one by one. Statuses that gate values are read before the values.

use super::spec::{RegisterSpec, Table};

/// MODBUS Application Protocol V1.1b3 §6.3: "Quantity of Registers: 1 to 125 (0x7D)".
const REGISTERS_MAX: u16 = 125;

/// MODBUS Application Protocol V1.1b3 §6.1 allows 2000 coils; no farm instrument has 256 that matter.
const BITS_MAX: u16 = 256;

/// How many registers that nobody wants are read to save a request: a request and its answer have 13 bytes beside the
/// registers and two silences, which is worth ten registers.
const GAP_MAX: u16 = 10;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub table: Table,
    pub address: u16,
    pub count: u16,
    /// Indices into the items.
    pub items: Vec<usize>,
}

impl Block {
    fn of(index: usize, item: &RegisterSpec) -> Self {
        Self { table: item.table, address: item.address, count: item.format.len(), items: vec![index] }
    }

    /// Where an item stands in the block's data, from its first address.
    pub fn offset(&self, item: &RegisterSpec) -> u16 {
        item.address.saturating_sub(self.address)
    }

    /// Takes the next one in, if that leaves a request that may be.
    fn take(&mut self, next: &Block, gap_max: u16) -> bool {
        let (end, next_end) = (self.address + (self.count - 1), next.address + (next.count - 1));
        let last = end.max(next_end) - self.address;
        let most = if self.table.has_bits() { BITS_MAX } else { REGISTERS_MAX };
        let is_near = next.address <= end || next.address - end - 1 <= gap_max;
        if self.table != next.table || !is_near || last >= most {
            return false;
        }
        self.count = last + 1;
        self.items.extend(&next.items);
        true
    }
}

/// The requests for all items; those in `first` come before the rest.
pub(super) fn plan(items: &[RegisterSpec], first: &[usize]) -> Vec<Block> {
    let singles: Vec<Block> = items.iter().enumerate().map(|(index, item)| Block::of(index, item)).collect();
    let mut blocks = join(singles, GAP_MAX);
    blocks.sort_by_key(|block| !block.items.iter().any(|item| first.contains(item)));
    blocks
}

/// The parts of a block that was refused; one part: it can not be had.
pub(super) fn split(block: &Block, items: &[RegisterSpec]) -> Vec<Block> {
    let singles = || block.items.iter().filter_map(|index| Some(Block::of(*index, items.get(*index)?))).collect();
    let without_gaps = join(singles(), 0);
    if without_gaps.len() > 1 { without_gaps } else { same_apart(singles()) }
}

/// One by one; values that share an address stay together.
fn same_apart(singles: Vec<Block>) -> Vec<Block> {
    let mut apart: Vec<Block> = Vec::new();
    for single in singles {
        match apart.iter_mut().find(|block| block.address == single.address && block.count == single.count) {
            Some(block) => block.items.extend(single.items),
            None => apart.push(single),
        }
    }
    apart
}

fn join(mut singles: Vec<Block>, gap_max: u16) -> Vec<Block> {
    singles.sort_by_key(|block| (block.table, block.address));
    let mut blocks: Vec<Block> = Vec::new();
    for single in singles {
        if !blocks.last_mut().is_some_and(|block| block.take(&single, gap_max)) {
            blocks.push(single);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Format, Order};
    use super::*;

    fn items(places: &[(u16, Format)]) -> Vec<RegisterSpec> {
        let item = |(address, format): &(u16, Format)| RegisterSpec {
            table: Table::HoldingRegisters,
            address: *address,
            format: *format,
            order: Order::Abcd,
            good: None,
        };
        places.iter().map(item).collect()
    }

    fn shapes(blocks: &[Block]) -> Vec<(u16, u16)> {
        blocks.iter().map(|block| (block.address, block.count)).collect()
    }

    #[test]
    fn neighbours_are_read_together_and_far_ones_apart() {
        let items = items(&[(100, Format::F32), (0, Format::U16), (2, Format::I16), (104, Format::F32)]);
        let blocks = plan(&items, &[]);
        assert_eq!(shapes(&blocks), [(0, 3), (100, 6)]);
        assert_eq!(shapes(&plan(&items, &[3])), [(100, 6), (0, 3)], "a status is read first");
        assert_eq!(shapes(&split(&blocks[1], &items)), [(100, 2), (104, 2)]);
    }

    #[test]
    fn no_request_asks_for_more_than_a_device_must_give() {
        let all: Vec<_> = (0..300).map(|address| (address, Format::U16)).collect();
        assert_eq!(shapes(&plan(&items(&all), &[])), [(0, 125), (125, 125), (250, 50)]);
        let last = items(&[(65_534, Format::F32), (65_535, Format::U16)]);
        assert_eq!(shapes(&plan(&last, &[])), [(65_534, 2)]);
    }

    #[test]
    fn what_was_refused_falls_apart_until_nothing_is_left_to_part() {
        let items = items(&[(0, Format::U16), (1, Format::U16), (4, Format::U16), (4, Format::Bit(1))]);
        let whole = plan(&items, &[]);
        assert_eq!(shapes(&whole), [(0, 5)]);
        let parts = split(&whole[0], &items);
        assert_eq!(shapes(&parts), [(0, 2), (4, 1)]);
        assert_eq!(shapes(&split(&parts[0], &items)), [(0, 1), (1, 1)]);
        assert_eq!(split(&parts[1], &items), parts[1..], "two readings of one register can not be parted");
    }
}
