//! UCUM units in the words of `SenML`'s registry (RFC 8428, section 12.1), where both have the same unit under two names.
//!
//! Nothing is scaled: a value stays the value that the instrument gave, to the bit. So a unit that the registry has only
//! in another size (`mg/L`, `mS/cm`, `hPa`) stays UCUM, and so does what RFC 8798 calls a secondary unit: a pack
//! with one would have to say version 26, which few readers take.

/// UCUM, and the registry's word for the same.
const SAME: &[(&str, &str)] = &[
    ("[pH]", "pH"),
    ("{count}", "count"),
    ("1", "/"),
    ("/s", "1/s"),
    ("/min", "1/min"),
    ("L", "l"),
    ("L/s", "l/s"),
    ("g/L", "kg/m3"),
];

/// The unit as `SenML` says it.
pub fn senml_unit(ucum: &str) -> &str {
    SAME.iter().find(|(ours, _)| *ours == ucum).map_or(ucum, |(_, theirs)| theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_unit_is_renamed_and_another_is_left_alone() {
        assert_eq!(["Cel", "[pH]", "L/s"].map(senml_unit), ["Cel", "pH", "l/s"]);
        assert_eq!(["mg/L", "mS/cm", "m[H2O]", ""].map(senml_unit), ["mg/L", "mS/cm", "m[H2O]", ""]);
    }
}
