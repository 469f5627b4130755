//! What a sensor answers, taken apart.

use crate::crc16::{SDI12, crc16};
use crate::refusal::Refusal;

/// `atttn`: in how many seconds how many values are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub seconds: u16,
    pub values: usize,
}

/// §4.4.6, table 6: `atttn<CR><LF>`; §4.4.7: `atttnn` after `aC!`. `rest` is what follows the address.
pub(super) fn promise(rest: &[u8]) -> Option<Promise> {
    let digits = matches!(rest.len(), 4 | 5) && rest.iter().all(u8::is_ascii_digit);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u16>().ok();
    let (seconds, values) = digits.then(|| rest.split_at(3))?;
    Some(Promise { seconds: number(seconds)?, values: number(values)?.into() })
}

/// Takes the checksum off an answer: three characters, each with six bits (§4.4.12.2), over all that stands before
/// them, the address included.
pub(super) fn without_crc(line: &[u8]) -> Result<&[u8], Refusal> {
    let Some((body, said)) = line.split_last_chunk::<3>() else { return Err(Refusal::NoChecksum) };
    if said.iter().any(|character| !(0x40..=0x7f).contains(character)) {
        return Err(Refusal::NoChecksum);
    }
    let computed = crc16(SDI12, body);
    let said = said.iter().fold(0_u32, |bits, character| bits << 6 | u32::from(character & 0x3f));
    if u32::from(computed) == said { Ok(body) } else { Err(Refusal::Checksum { computed: computed.into(), said }) }
}

/// The values of `aD0!`: each begins with its sign, and nothing stands between them (§4.4.5).
pub(super) fn values(rest: &[u8]) -> Option<Vec<&[u8]>> {
    let is_sign = |byte: u8| byte == b'+' || byte == b'-';
    if rest.first().is_some_and(|byte| !is_sign(*byte)) {
        return None;
    }
    Some(rest.chunk_by(|_, next| !is_sign(*next)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_by_their_signs() {
        let expected: Vec<&[u8]> = vec![b"+35", b"-26.4", b"+0"];
        assert_eq!(values(b"+35-26.4+0"), Some(expected));
        assert_eq!(values(b""), Some(Vec::new()));
        assert_eq!(values(b"0013"), None, "that is an answer to another command");
        assert_eq!(promise(b"0013"), Some(Promise { seconds: 1, values: 3 }));
        assert_eq!(promise(b"00112"), Some(Promise { seconds: 1, values: 12 }));
        assert_eq!(promise(b"+35"), None);
    }

    #[test]
    fn the_checksum_of_the_specification() {
        // SDI-12 v1.4 §4.4.12.2: "0+3.14OqZ".
        assert_eq!(without_crc(b"0+3.14OqZ"), Ok(&b"0+3.14"[..]));
        assert!(matches!(without_crc(b"0+3.15OqZ"), Err(Refusal::Checksum { .. })));
        assert_eq!(without_crc(b"0+3.14"), Err(Refusal::NoChecksum));
    }
}
