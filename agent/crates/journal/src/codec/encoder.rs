//! Cuts numbered records into values: runs of one boot, readings in columns and events in rows, each value small
//! enough for sled.

use std::sync::Arc;

use model::{BootId, Record, Seq, SeqRange, Series};

use super::columns::{self, Columns, Item};
use super::{BLOCK_RECORDS_MAX, COLUMNS, HEADER_BYTES, ROWS, VALUE_BYTES_MAX, mirror, put_header};

/// Fewer readings between events than this are stored as rows with them: a value costs more than its columns save.
const RUN_READINGS_MIN: usize = 16;

/// A record waiting for its commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    pub(crate) boot: BootId,
    pub(crate) record: Record,
}

/// Keeps its room between commits, and how many records last fitted.
#[derive(Debug)]
pub(crate) struct Encoder {
    columns: Columns,
    value: Vec<u8>,
    fits: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { columns: Columns::default(), value: Vec::new(), fits: BLOCK_RECORDS_MAX }
    }
}

impl Encoder {
    /// Encodes `records`, the first of which is `first`; hands each value to `store`. `number` gives out the
    /// generation's numbers for series, `None` when it has no more: such runs go into rows, which name their series.
    pub(crate) fn encode<E>(
        &mut self,
        first: Seq,
        records: &[Pending],
        mut number: impl FnMut(&Arc<Series>) -> Result<Option<u32>, E>,
        mut store: impl FnMut(SeqRange, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = first;
        for run in runs(records) {
            let mut rest = run;
            let items = items_of(run, &mut number)?;
            while !rest.is_empty() {
                let take = rest.len().min(self.fits);
                let from = run.len() - rest.len();
                let range = SeqRange::new(at, at.plus(u64::try_from(take).expect("64 bits")));
                self.encode_value(range, &rest[..take], items.as_ref().map(|items| &items[from..from + take]));
                if self.value.len() > VALUE_BYTES_MAX && take > 1 {
                    self.fits = take / 2;
                    continue;
                }
                assert!(self.value.len() <= VALUE_BYTES_MAX, "append bounds a record by RECORD_BYTES_MAX");
                store(range, &self.value)?;
                at = range.next;
                rest = &rest[take..];
                if self.value.len() * 2 < VALUE_BYTES_MAX {
                    self.fits = self.fits.max(take * 2).min(BLOCK_RECORDS_MAX);
                }
            }
        }
        Ok(())
    }

    fn encode_value(&mut self, range: SeqRange, records: &[Pending], items: Option<&[Item<'_>]>) {
        self.value.clear();
        self.value.resize(HEADER_BYTES, 0);
        let codec = if let Some(items) = items {
            columns::put(&mut self.value, items, &mut self.columns);
            COLUMNS
        } else {
            mirror::put_rows(&mut self.value, records.iter().map(|pending| &pending.record));
            ROWS
        };
        let times = records.iter().map(|pending| pending.record.stamp().time);
        let times = times.clone().min().zip(times.max()).expect("a value has a record");
        put_header(&mut self.value, codec, range, records[0].boot, times);
    }
}

/// The readings of a run with their series' numbers; `None` if the run is for rows.
fn items_of<'a, E>(
    run: &'a [Pending],
    number: &mut impl FnMut(&Arc<Series>) -> Result<Option<u32>, E>,
) -> Result<Option<Vec<Item<'a>>>, E> {
    let mut items = Vec::with_capacity(run.len());
    for pending in run {
        let Record::Reading(reading) = &pending.record else { return Ok(None) };
        let Some(series) = number(&reading.series)? else { return Ok(None) };
        items.push(Item { series, reading });
    }
    Ok(Some(items))
}

/// Splits into runs of one boot that are all readings or go into rows together.
fn runs(records: &[Pending]) -> Vec<&[Pending]> {
    let is_reading = |pending: &Pending| matches!(pending.record, Record::Reading(_));
    let mut out = Vec::new();
    for of_boot in records.chunk_by(|a, b| a.boot == b.boot) {
        let mut start = 0;
        let mut end = 0;
        for run in of_boot.chunk_by(|a, b| is_reading(a) == is_reading(b)) {
            let is_alone = run.len() == of_boot.len();
            if is_reading(&run[0]) && (is_alone || run.len() >= RUN_READINGS_MIN) {
                out.push(&of_boot[start..end]);
                out.push(run);
                start = end + run.len();
            }
            end += run.len();
        }
        out.push(&of_boot[start..]);
    }
    out.retain(|run| !run.is_empty());
    out
}
