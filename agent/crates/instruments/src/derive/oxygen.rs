//! How much oxygen water holds when it is in balance with the air above it.
//!
//! - Garcia and Gordon (1992), Oxygen solubility in seawater: better fitting equations, Limnology and Oceanography 37,
//!   1307, equation 8 with the coefficients of table 1 fitted to Benson and Krause (1984), for mL/L: a volume, so that no
//!   density is needed. SCOR working group 142 (Bittig and others, 2018) recommends these. Fitted from freezing to
//!   40 Cel, and for salinities of 0 to 42.
//! - 44.6596 umol are 1 mL (the molar volume of oxygen is 22391.6 mL), 31.9988 g are 1 mol: the same report.
//! - Another pressure of the air: what holds at 1 atm times `(p - w) / (1 atm - w)`, where `w` is the pressure of water
//!   vapour, as air above water is damp (Henry's law; Benson and Krause, 1984, without their term for the behaviour of
//!   real gases, which is below 0.02 % from sea level to 2000 m). Vapour: Weiss and Price (1980), equation 10.

/// 1 atm in hPa.
pub const ATM_HPA: f64 = 1_013.25;

/// mg of oxygen in a umol.
pub const MG_PER_UMOL: f64 = 0.031_998_8;

const UMOL_PER_ML: f64 = 44.659_6;

/// A0 to A5, B0 to B3 and C0 of table 1, from the highest power of the scaled temperature down.
const A: [f64; 6] = [3.887_67, -0.256_847, 4.944_57, 4.050_10, 3.220_14, 2.009_07];
const B: [f64; 4] = [-8.170_83e-3, -1.034_10e-2, -7.376_14e-3, -6.245_23e-3];
const C: f64 = -4.886_82e-7;

const KELVIN: f64 = 273.15;

/// Where the fit holds: sea water freezes at -2 Cel.
const TEMPERATURES: std::ops::RangeInclusive<f64> = -2.0..=40.0;
const SALINITY_MAX: f64 = 42.0;

/// Oxygen in mg/L of water in balance with damp air: temperature in Cel, practical salinity, pressure in hPa. `None` where
/// the fit does not hold. A salinity below 0, which a cell in fresh water shows now and then, is 0.
pub fn solubility_mg_per_l(temperature: f64, salinity: f64, pressure: f64) -> Option<f64> {
    let salinity = salinity.max(0.0);
    let vapour = vapour_hpa(temperature, salinity);
    if !TEMPERATURES.contains(&temperature) || salinity > SALINITY_MAX || pressure <= vapour {
        return None;
    }
    let scaled = ((298.15 - temperature) / (KELVIN + temperature)).ln();
    let power = polynomial(&A, scaled) + salinity * polynomial(&B, scaled) + C * salinity * salinity;
    let at_one_atm = power.exp() * UMOL_PER_ML * MG_PER_UMOL;
    Some(at_one_atm * (pressure - vapour) / (ATM_HPA - vapour))
}

/// Pressure of water vapour above water in hPa.
fn vapour_hpa(temperature: f64, salinity: f64) -> f64 {
    let hundreds = (temperature + KELVIN) / 100.0;
    ATM_HPA * (24.454_3 - 67.450_9 / hundreds - 4.848_9 * hundreds.ln() - 0.000_544 * salinity).exp()
}

/// Coefficients from the highest power down.
fn polynomial(coefficients: &[f64], of: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * of + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// See `expect_oxygen.py`.
    const EXPECTED: &str = include_str!("../../tests/data/expect_oxygen.csv");

    #[test]
    fn water_holds_what_the_reference_implementation_says() {
        let mut compared = 0;
        for line in EXPECTED.lines().skip(1) {
            let columns: Vec<f64> = line.split(',').map(|column| column.parse().unwrap()).collect();
            let [temperature, salinity, mg, umol] = columns[..] else { panic!("{line}") };
            let ours = solubility_mg_per_l(temperature, salinity, ATM_HPA).unwrap();
            assert!((ours / mg - 1.0).abs() < 2e-4, "{line}: {ours}");
            assert!((ours / MG_PER_UMOL / umol - 1.0).abs() < 2e-4, "{line}: {ours}");
            compared += 1;
        }
        assert_eq!(compared, 63);
    }

    #[test]
    fn the_numbers_that_everybody_knows() {
        let shown = |salinity| format!("{:.2}", solubility_mg_per_l(20.0, salinity, ATM_HPA).unwrap());
        assert_eq!((shown(0.0), shown(35.0)), ("9.09".to_owned(), "7.40".to_owned()));
    }

    #[test]
    fn vapour_is_that_of_the_tables() {
        // CRC Handbook of Chemistry and Physics, vapour pressure of water, in hPa.
        for (temperature, known) in [(5.0, 8.726), (10.0, 12.281), (20.0, 23.388), (30.0, 42.455), (40.0, 73.814)] {
            let ours = vapour_hpa(temperature, 0.0);
            assert!((ours / known - 1.0).abs() < 0.002, "{temperature}: {ours}");
        }
    }

    #[test]
    fn thin_air_holds_less_and_vapour_takes_its_part() {
        let at = |pressure| solubility_mg_per_l(20.0, 0.0, pressure).unwrap();
        // (900 - 23.4) / (1013.25 - 23.4): without the vapour it would be 8.08.
        assert_eq!(format!("{:.2}", at(900.0)), "8.05");
        assert!(at(ATM_HPA).to_bits() == solubility_mg_per_l(20.0, -0.01, ATM_HPA).unwrap().to_bits());
    }

    #[test]
    fn beyond_the_fit_there_is_nothing() {
        for (temperature, salinity, pressure) in
            [(-2.1, 35.0, ATM_HPA), (40.1, 0.0, ATM_HPA), (20.0, 42.1, ATM_HPA), (20.0, 0.0, 23.0)]
        {
            assert_eq!(solubility_mg_per_l(temperature, salinity, pressure), None);
        }
        assert_eq!(solubility_mg_per_l(f64::NAN, 0.0, ATM_HPA), None);
    }
}
