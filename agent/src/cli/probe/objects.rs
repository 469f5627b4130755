//! A trial as JSON: an object a line, told apart by `seen`; the last is `totals`.

use instruments::{Checked, End, Ignored, Note, Part, Said, SampleValue, Standing};
use serde_json::{Value, json};

use crate::acquire::{Judged, Sight, Totals};
use crate::config::InstrumentConfig;

/// One thing seen.
pub fn object(sight: &Sight, instrument: &InstrumentConfig) -> Value {
    match sight {
        Sight::Sent(bytes) => json!({"seen": "sent", "hex": hex::encode(bytes), "text": text(bytes)}),
        Sight::Break => json!({"seen": "break"}),
        Sight::Skipped { from, bytes } => {
            json!({"seen": "skipped", "from": from, "bytes": bytes.len(), "hex": hex::encode(bytes), "text": text(bytes)})
        }
        Sight::Frame { from, note, values } => frame(*from, note, values, instrument),
        Sight::Derived(reading) => json!({
            "seen": "derived",
            "quantity": reading.series.quantity.as_str(),
            "value": reading.value,
            "unit": reading.series.unit,
            "quality": reading.quality,
        }),
        Sight::Alarm(event) => json!({"seen": "alarm", "event": event.kind.as_str(), "facts": event.facts}),
        Sight::Turn(turn) => json!({"seen": "turn", "end": format!("{turn:?}").to_lowercase()}),
        Sight::Unfinished { from, bytes } => {
            json!({"seen": "unfinished", "from": from, "bytes": bytes.len(), "hex": hex::encode(bytes), "text": text(bytes)})
        }
    }
}

/// What it all came to.
pub fn totals(totals: &Totals) -> Value {
    json!({
        "seen": "totals",
        "bytes": totals.bytes,
        "frames": totals.frames,
        "ignored": totals.ignored,
        "refused": totals.refused,
        "samples": totals.samples,
        "skipped": totals.skipped,
    })
}

/// One word for why a frame is neither data nor error.
pub fn word(why: Ignored) -> &'static str {
    match why {
        Ignored::Pattern => "pattern",
        Ignored::NothingWanted => "nothing-wanted",
        Ignored::Answer => "answer",
        Ignored::SetUp => "set-up",
        Ignored::NotAsked => "not-asked",
        Ignored::Restart => "restart",
        Ignored::Part => "part",
        Ignored::Split => "split",
        Ignored::Late => "late",
        Ignored::NoAnswer => "no-answer",
    }
}

fn frame(from: usize, note: &Note, values: &[Judged], instrument: &InstrumentConfig) -> Value {
    let check = match &note.checked {
        Checked::NoCheck => json!("none"),
        Checked::Passed { .. } => json!("passed"),
        Checked::Failed => json!("failed"),
        Checked::NotReached => json!("not-reached"),
    };
    let mut object = json!({
        "seen": "frame",
        "from": from,
        "bytes": note.len,
        "hex": hex::encode(&note.frame),
        "text": text(&note.frame),
        "check": check,
    });
    match &note.end {
        End::Taken { said, .. } => {
            object["became"] = json!("values");
            object["values"] = values.iter().map(|judged| value(judged, said, instrument)).collect();
        }
        End::Ignored(why) => {
            object["became"] = json!("ignored");
            object["why"] = json!(word(*why));
        }
        End::Refused(why) => {
            object["became"] = json!("refused");
            object["why"] = json!(why.word());
            object["says"] = json!(why.to_string());
        }
    }
    object
}

fn value(judged: &Judged, said: &[Said], instrument: &InstrumentConfig) -> Value {
    let Judged { sample, reading } = judged;
    let series = &instrument.quantities[sample.field].series;
    let of = |part: Part| said.iter().find(|said| said.part == part).map(|said| said.text.as_str());
    let raw = match &sample.value {
        SampleValue::Number(number) => json!(number),
        SampleValue::Text(text) => json!(text),
        SampleValue::Missing => Value::Null,
    };
    json!({
        "quantity": series.quantity.as_str(),
        "said": of(Part::Value(sample.field)),
        "status": of(Part::Status(sample.field)),
        "standing": match sample.standing {
            Standing::Good => "good",
            Standing::Suspect => "suspect",
            Standing::Bad => "bad",
        },
        "sample": raw,
        "value": reading.as_ref().map(|reading| json!(reading.value)),
        "unit": series.unit,
        "quality": reading.as_ref().map(|reading| json!(reading.quality)),
        "is_reported": reading.is_some(),
        "device_time": sample.device_time.map(|time| time.to_string()),
    })
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
