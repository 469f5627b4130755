//! Strict decimal numbers.

/// Reads `[+-] digits [. digits] [e [+-] digits]` as a finite number. Nothing else is one: no hex, no `inf`, no `nan`,
/// no digits after a letter. `25.08C` is not 25.08.
pub(crate) fn parse_number(text: &[u8]) -> Option<f64> {
    let unsigned = strip_sign(text);
    let (whole, rest) = split_digits(unsigned);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => split_digits(rest),
        None => (&b""[..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let (digits, rest) = split_digits(strip_sign(exponent));
        if digits.is_empty() || !rest.is_empty() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

fn strip_sign(text: &[u8]) -> &[u8] {
    match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers() {
        for (text, number) in [
            ("0", 0.0),
            ("+35", 35.0),
            ("-00000.12", -0.12),
            ("1015.15", 1015.15),
            (".5", 0.5),
            ("7.", 7.0),
            ("1e3", 1000.0),
            ("-1.5E-3", -0.0015),
            ("5254596048039135.0", 5_254_596_048_039_135.0),
        ] {
            assert_eq!(parse_number(text.as_bytes()), Some(number), "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "", "+", "-", ".", "e3", "1e", "1e+", "--1", "1.-3", "-1.-3", "1,5", "1 5", " 1", "0x10", "1_000", "inf",
            "nan", "NaN", "infinity", "1e999", "25.08C", "A76.074", "35E8.60", "4F0.1", "1.2.3", "\u{661}",
        ] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_number(b"\xff1"), None);
    }
}
