//! Every profile's own example against every other profile.

use super::*;

/// The lines of an instrument as its profile's example has them, often enough to prove what they can.
fn examples() -> Vec<(String, Vec<u8>)> {
    let with_example = |profile: &instruments::profiles::Profile| {
        let whole: toml::Table = profile.text.parse().expect("a profile is TOML");
        let example = whole.get("example")?.as_str()?.to_owned();
        let end = whole["instrument"]["protocol"]["frame"].get("end").and_then(|end| end.as_str()).unwrap_or("\r\n");
        Some((profile.name.to_owned(), format!("{example}{end}").repeat(6).into_bytes()))
    };
    instruments::profiles::ALL.iter().filter_map(with_example).collect()
}

/// Lines that are another's, too: the thermometer's only sentence is one of the sounder's.
const ALIKE: &[(&str, &str)] = &[("nmea-thermometer", "nmea-sounder")];

/// Examples of one or two numbers a line.
const UNPROVED: &[&str] =
    &["arduino-csv", "atlas-ezo-co2", "atlas-ezo-do", "atlas-ezo-ec", "atlas-ezo-orp", "atlas-ezo-ph", "atlas-ezo-rtd"];

#[test]
fn an_example_proves_its_own_profile_or_none() {
    let (candidates, broken) = candidates("/dev/null", Path::new("/nonexistent"));
    assert!(broken.is_empty());
    let talkers: Vec<&Candidate> = candidates.iter().filter(|candidate| !candidate.is_asked()).collect();
    let (mut wrong, mut unproved) = (Vec::new(), Vec::new());
    for (profile, bytes) in examples() {
        let mut proved = Vec::new();
        for candidate in &talkers {
            let mut weigher = Weigher::try_new(candidate.instrument().clone()).expect("a shipped profile binds");
            weigher.hear(&bytes, 0);
            if weigher.evidence().is_proof() {
                proved.push(candidate.profile.as_str());
            }
        }
        let is_alike = |name: &&str| *name == profile || ALIKE.contains(&(profile.as_str(), name));
        if !proved.iter().all(is_alike) {
            wrong.push(format!("{profile}: {proved:?}"));
        }
        if !proved.contains(&profile.as_str()) {
            unproved.push(profile);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(unproved, UNPROVED);
}

#[test]
fn text_is_told_from_what_a_wrong_speed_makes_of_it() {
    assert_eq!(last_line(b"ond line\r\nthird\r\nfourth\r\nfifth\r\nhal").as_deref(), Some(&b"fifth"[..]));
    assert_eq!(last_line(b"7.61\r7.62\r7.60\r7.61\r").as_deref(), Some(&b"7.61"[..]));
    assert_eq!(last_line(b"one line\r\n"), None, "too few to tell");
    assert_eq!(last_line(&[b"abc\r\nabc\r\nabc\r\nabc\r\n".as_slice(), &[0x80; 8]].concat()), None);
    assert_eq!(last_line(b""), None);
}
