//! What is read beside the fields that were asked for: the statuses that gate them, and the instrument's clock.
//!
//! They are fields as any other to the decoder, numbered behind those of the configuration, and never leave here.

use model::Timestamp;

use crate::clock::TimeSpec;
use crate::field::{FieldSpec, Standing, StatusSpec, Verdict, Wanted};
use crate::note::Part;
use crate::output::{Row, SampleValue};
use crate::spec::SpecError;

#[derive(Debug)]
pub(crate) struct Beside {
    /// How many fields the configuration has.
    fields: usize,
    /// Field, and the field that is its status.
    gates: Vec<(usize, usize)>,
    time: Option<TimeSpec>,
    /// The first field of the clock.
    clock: usize,
    wanted: usize,
}

impl Beside {
    /// With all that a decoder is to be asked for, the configuration's own fields first.
    pub fn try_new(fields: &[FieldSpec], time: Option<&TimeSpec>) -> Result<(Self, Vec<Wanted>), SpecError> {
        let mut wanted: Vec<Wanted> = fields.iter().map(Wanted::value).collect();
        let mut statuses: Vec<&StatusSpec> = Vec::new();
        let mut gates = Vec::new();
        for (field, spec) in fields.iter().enumerate() {
            let Some(good) = &spec.good else { continue };
            let known = statuses.iter().position(|status| *status == good).unwrap_or_else(|| {
                statuses.push(good);
                statuses.len() - 1
            });
            gates.push((field, fields.len() + known));
        }
        wanted.extend(statuses.into_iter().map(Wanted::status));
        let clock = wanted.len();
        if let Some(time) = time {
            let parts = time.parts()?;
            wanted.extend(time.fields.iter().zip(parts).map(|(field, part)| Wanted::clock(field, part)));
        }
        let beside = Self { fields: fields.len(), gates, time: time.cloned(), clock, wanted: wanted.len() };
        Ok((beside, wanted))
    }

    /// Whose fault a fault in a wanted field is: the configuration's field, or the clock.
    pub fn owner(&self, wanted: usize) -> Option<usize> {
        if wanted < self.fields {
            return Some(wanted);
        }
        self.gates.iter().find(|(_, status)| *status == wanted).map(|(field, _)| *field)
    }

    /// What each wanted field is, in their order; a status may gate several.
    pub fn parts(&self) -> Vec<Vec<Part>> {
        let part = |wanted: usize| -> Vec<Part> {
            let gated = self.gates.iter().filter(|(_, status)| *status == wanted);
            match wanted {
                value if value < self.fields => vec![Part::Value(value)],
                status if status < self.clock => gated.map(|(field, _)| Part::Status(*field)).collect(),
                _ => vec![Part::Clock],
            }
        };
        (0..self.wanted).map(part).collect()
    }

    /// Judges what was read, and takes out what nobody asked for.
    pub fn apply(&self, row: &mut Row<'_>) {
        if self.wanted == self.fields {
            return;
        }
        let time = self.read_time(row);
        for (field, status) in &self.gates {
            let verdict = match number(row, *status) {
                Some(code) => Verdict::of_code(code),
                // A value without its status is not one to believe; a frame with neither says nothing.
                None => Verdict::Of(Standing::Bad),
            };
            let is_told = row.holds(*status);
            match row.samples().iter_mut().find(|sample| sample.field == *field) {
                Some(sample) => match verdict {
                    Verdict::Of(standing) => sample.standing = standing,
                    Verdict::Missing => sample.value = SampleValue::Missing,
                },
                None if is_told && verdict == Verdict::Missing => row.push(*field, SampleValue::Missing),
                None => {}
            }
        }
        row.drop_from(self.fields);
        row.samples().sort_unstable_by_key(|sample| sample.field);
        if let (Some(device), Some(spec)) = (time, &self.time) {
            for sample in row.samples() {
                sample.at = spec.choose(sample.at, device);
                sample.device_time = Some(device);
            }
        }
    }

    fn read_time(&self, row: &mut Row<'_>) -> Option<Timestamp> {
        if self.clock == self.wanted {
            return None;
        }
        let mut ms = 0.0;
        for field in self.clock..self.wanted {
            ms += number(row, field)?;
        }
        // Days from a calendar and milliseconds of a day: far within what both hold exactly.
        format!("{ms:.0}").parse().ok().map(Timestamp::from_millis)
    }
}

fn number(row: &mut Row<'_>, field: usize) -> Option<f64> {
    match row.samples().iter().find(|sample| sample.field == field)?.value {
        SampleValue::Number(number) => Some(number),
        SampleValue::Text(_) | SampleValue::Missing => None,
    }
}
