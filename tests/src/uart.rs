//! What a receiver at one line setting makes of what is sent at another, bit for bit.
//!
//! A pseudo-terminal has no speed. This is a wire in time: each character becomes a start bit, data bits, parity and a stop bit
//! of the sender's length, and a receiver looks at the wire as a UART does: it waits for a falling edge, looks again
//! half a bit later, and then once a bit. What its driver does with an error is what Linux does: with `INPCK` a bad
//! character is a NUL, with `IGNPAR` alone it is dropped (`n_tty_receive_parity_error` in the kernel).

/// Speed and shape of a character. One stop bit: of more no receiver takes note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bits per second.
    pub baud: u32,
    /// 7 or 8.
    pub data_bits: u8,
    /// Whether the parity is odd, where there is one.
    pub is_odd: Option<bool>,
}

/// Looks of the receiver at the wire within one of its bits.
const LOOKS_A_BIT: f64 = 16.0;

/// The bytes that arrive.
pub fn heard(bytes: &[u8], sent: Shape, heard: Shape) -> Vec<u8> {
    let wire = wire(bytes, sent);
    let ratio = f64::from(sent.baud) / f64::from(heard.baud);
    // Whether the wire is high so many of the receiver's bits after its beginning; idle is high.
    let level = |at: f64| {
        let place = (at * ratio).max(0.0);
        let index = (0..wire.len()).nth(whole(place)).unwrap_or(wire.len());
        wire.get(index).copied().unwrap_or(true)
    };
    let end = f64::from(u32::try_from(wire.len()).expect("a chunk is small")) / ratio;
    let (mut arrived, mut at) = (Vec::new(), 0.0);
    while at < end {
        if level(at) {
            at += 1.0 / LOOKS_A_BIT;
            continue;
        }
        if level(at + 0.5) {
            at += 1.0 / LOOKS_A_BIT;
            continue;
        }
        let mut look = at + 0.5;
        let (mut byte, mut ones) = (0_u8, 0_u32);
        for bit in 0..heard.data_bits {
            look += 1.0;
            byte |= u8::from(level(look)) << bit;
            ones += u32::from(level(look));
        }
        let mut is_right = true;
        if let Some(is_odd) = heard.is_odd {
            look += 1.0;
            is_right = (ones + u32::from(level(look))) % 2 == u32::from(is_odd);
        }
        look += 1.0;
        is_right &= level(look);
        match (is_right, heard.is_odd) {
            (true, _) => arrived.push(byte),
            (false, Some(_)) => arrived.push(0),
            (false, None) => {}
        }
        at = look;
        // A break is one character, however long it is.
        while !level(at) && at < end {
            at += 1.0 / LOOKS_A_BIT;
        }
    }
    arrived
}

/// The greatest whole number not above this one.
fn whole(number: f64) -> usize {
    format!("{:.0}", number.floor()).parse().expect("a place on a wire")
}

/// The wire, a bit of the sender's each: two of silence, then the characters without a pause.
fn wire(bytes: &[u8], shape: Shape) -> Vec<bool> {
    let mut wire = vec![true; 2];
    for byte in bytes {
        wire.push(false);
        let bits: Vec<bool> = (0..shape.data_bits).map(|bit| byte >> bit & 1 == 1).collect();
        let is_even = bits.iter().filter(|bit| **bit).count() % 2 == 0;
        wire.extend(&bits);
        if let Some(is_odd) = shape.is_odd {
            wire.push(is_even == is_odd);
        }
        wire.push(true);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"$SDDBT,7.7,f,2.3,M,1.3,F*05\r\n";

    fn shape(baud: u32, data_bits: u8, is_odd: Option<bool>) -> Shape {
        Shape { baud, data_bits, is_odd }
    }

    #[test]
    fn the_same_setting_hears_what_is_sent_and_another_does_not() {
        for one in [shape(4_800, 8, None), shape(2_400, 7, Some(false)), shape(9_600, 8, Some(true))] {
            assert_eq!(heard(TEXT, one, one), TEXT, "{one:?}");
        }
        let right = shape(4_800, 8, None);
        for wrong in [9_600, 2_400, 19_200, 38_400, 115_200].map(|baud| shape(baud, 8, None)) {
            let arrived = heard(TEXT, right, wrong);
            assert!(!String::from_utf8_lossy(&arrived).contains("DBT"), "{wrong:?}: {arrived:02x?}");
        }
        // An even parity is what a receiver without one takes for the eighth bit.
        let arrived = heard(b"abc", shape(9_600, 7, Some(false)), shape(9_600, 8, None));
        assert_eq!(arrived, [b'a' | 0x80, b'b' | 0x80, b'c']);
        // And a parity that is wrong is a NUL.
        assert!(heard(TEXT, right, shape(4_800, 8, Some(false))).contains(&0));
    }
}
