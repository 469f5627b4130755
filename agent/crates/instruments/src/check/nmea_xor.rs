//! The checksum of NMEA 0183 (§5.3.2.4), also found on sentences that are otherwise none of NMEA's.

use crate::refusal::Refusal;
use crate::sentence::Sentence;

pub fn verify(frame: &[u8]) -> Result<&[u8], Refusal> {
    let sentence = Sentence::find(frame).ok_or(Refusal::NotASentence)?;
    let said = sentence.checksum.ok_or(Refusal::NoChecksum)?;
    let computed = sentence.xor();
    if computed != said {
        return Err(Refusal::Checksum { computed: computed.into(), said: said.into() });
    }
    Ok(sentence.whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_taken_with_its_own_checksum_only() {
        assert_eq!(verify(b"$INMTW,17.9,C*1B"), Ok(&b"$INMTW,17.9,C"[..]));
        assert_eq!(verify(b"\xff\x00$INMTW,17.9,C*1b"), Ok(&b"$INMTW,17.9,C"[..]));
        assert_eq!(verify(b"$INMTW,17.8,C*1B"), Err(Refusal::Checksum { computed: 0x1a, said: 0x1b }));
        assert_eq!(verify(b"$INMTW,17.9,C"), Err(Refusal::NoChecksum));
        assert_eq!(verify(b"INMTW,17.9,C*1B"), Err(Refusal::NotASentence));
    }
}
