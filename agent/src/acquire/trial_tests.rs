//! What a trial tells of some bytes.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use instruments::End;

use super::*;
use crate::config::trial_bus;

/// What is seen of these bytes, a word each.
fn seen(profile: &str, bytes: &[u8]) -> (Vec<String>, Totals) {
    let bus = trial_bus(profile, "/dev/null", Path::new("/nonexistent")).expect("a shipped profile");
    let words = Rc::new(RefCell::new(Vec::new()));
    let told = words.clone();
    let see = move |sight: Sight| {
        told.borrow_mut().push(match sight {
            Sight::Sent(bytes) => format!("> {}", bytes.escape_ascii()),
            Sight::Break => "break".to_owned(),
            Sight::Skipped { from, bytes } => format!("{from} skipped {}", bytes.escape_ascii()),
            Sight::Unfinished { from, bytes } => format!("{from} left {}", bytes.escape_ascii()),
            Sight::Derived(reading) => format!("derived {}", reading.series.quantity),
            Sight::Alarm(event) => event.kind.as_str().to_owned(),
            Sight::Turn(turn) => format!("{turn:?}"),
            Sight::Frame { from, note, values } => match note.end {
                End::Taken { .. } => format!("{from} {} values", values.len()),
                End::Ignored(why) => format!("{from} {why:?}"),
                End::Refused(why) => format!("{from} refused {}", why.word()),
            },
        });
    };
    let totals = Trial::try_new(bus.instruments[0].clone(), see).expect("bound before").replay(bytes);
    (words.take(), totals)
}

#[test]
fn a_frame_says_where_it_began_and_what_stood_before_it() {
    let bytes = b"\x00\xff4831\t1\t2\r\n4831\t379\t354.255\t94.962\t7.658\t1\t1\t1\t1\t1\t1\t1\r\n4831\t37";
    let (words, totals) = seen("aanderaa-optode-4831", bytes);
    assert_eq!(words, ["0 skipped \\x00\\xff", "2 refused columns", "12 4 values", "57 left 4831\\t37"]);
    let expected = Totals { bytes: 64, frames: 2, refused: 1, samples: 4, skipped: 2, ..Totals::default() };
    assert_eq!(totals, expected);
}

#[test]
fn one_that_is_asked_is_given_its_answers_as_it_asks() {
    let (words, totals) = seen("decagon-ctd10", b"00013\r\n0\r\n0+35+26.4+0\r\n00013\r\n0+36+26.4+0\r\n");
    let one = |at: [usize; 3]| {
        let [promise, service, data] = at;
        let service = (service > 0).then(|| format!("{service} Part"));
        let first = ["> 0M!".to_owned(), format!("{promise} Part")].into_iter().chain(service);
        first.chain(["> 0D0!".to_owned(), format!("{data} 3 values"), "Answered".to_owned()]).collect::<Vec<_>>()
    };
    assert_eq!(words, [one([0, 7, 10]), one([23, 0, 30])].concat());
    assert_eq!((totals.frames, totals.ignored, totals.samples), (5, 3, 6));
}

#[test]
fn an_answer_of_another_unit_is_none() {
    let (words, totals) = seen("rs485-water-probe", b"\x02\x03\x04\x00\xd2\x00\x4f\x38\xfc");
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[1].starts_with("0 left"), "{words:?}");
    assert_eq!((totals.frames, totals.samples), (0, 0));
}
