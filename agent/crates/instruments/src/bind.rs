//! From what the configuration says to a running protocol.

use crate::beside::Beside;
use crate::decode::Decoder;
use crate::field::FieldSpec;
use crate::frame::{Framer, TornFrames};
use crate::limits::FIELDS_MAX;
use crate::modbus::Modbus;
use crate::note::Watch;
use crate::pattern::compile_ignore;
use crate::poll::Poll;
use crate::protocol::Protocol;
use crate::sdi12::Sdi12;
use crate::spec::{Fault, Mechanics, Place, ProtocolSpec, SpecError};
use crate::stream::{Reader, Stream};

/// Whether somebody wants to know what becomes of each frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Nobody,
    Somebody,
}

/// Makes a protocol that finds these fields. A field that can never be found there is an error now and not silence
/// later; the error says which ([`Place`]).
pub fn bind(spec: &ProtocolSpec, fields: &[FieldSpec]) -> Result<Box<dyn Protocol>, SpecError> {
    bind_for(Audience::Nobody, spec, fields)
}

/// The same protocol, which also notes what becomes of each frame ([`crate::Output::notes`]): for a person who looks, and too
/// dear for a line that is only read.
pub fn bind_watched(spec: &ProtocolSpec, fields: &[FieldSpec]) -> Result<Box<dyn Protocol>, SpecError> {
    bind_for(Audience::Somebody, spec, fields)
}

fn bind_for(audience: Audience, spec: &ProtocolSpec, fields: &[FieldSpec]) -> Result<Box<dyn Protocol>, SpecError> {
    let is_watched = audience == Audience::Somebody;
    if fields.len() > FIELDS_MAX {
        let fault = Fault::OutOfRange { min: 0, max: FIELDS_MAX, found: fields.len() };
        return Err(Place::Field(FIELDS_MAX).fault(fault));
    }
    let in_frames = || -> Result<(Framer, Reader), SpecError> {
        let framer = Framer::try_new(&spec.frame)?;
        let (beside, wanted) = Beside::try_new(fields, spec.time.as_ref())?;
        let decoder = Decoder::try_new(&spec.decode, &wanted).map_err(|SpecError { place, fault }| match place {
            Place::Field(index) => beside.owner(index).map_or(Place::Key("time.field"), Place::Field).fault(fault),
            place => place.fault(fault),
        })?;
        let watch = is_watched.then(|| Watch::new(&spec.decode, &wanted, beside.parts()));
        let reader = Reader { ignore: compile_ignore(&spec.ignore)?, check: spec.check, decoder, beside, watch };
        if framer.leans_on_check() && reader.check.torn_frames() == TornFrames::PassUnseen {
            return Err(Place::Key("check").fault(Fault::NeedsCheck));
        }
        Ok((framer, reader))
    };
    Ok(match &spec.mechanics {
        Mechanics::Stream => {
            let (framer, reader) = in_frames()?;
            Box::new(Stream::new(framer, reader))
        }
        Mechanics::Poll(poll) => {
            let (framer, reader) = in_frames()?;
            Box::new(Poll::try_new(poll, framer, reader)?)
        }
        Mechanics::ModbusRtu(modbus) => Box::new(Modbus::try_new(modbus, fields)?.watched(is_watched)),
        Mechanics::Sdi12(sdi12) => Box::new(Sdi12::try_new(sdi12, fields)?.watched(is_watched)),
    })
}
