//! Shipped profiles: everything the configuration needs to know about an instrument, as TOML under a name.
//!
//! They are text here: the agent's config room reads them with the same code as the operator's own files.

/// A shipped profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What `profile = "..."` says: letters, digits and `-`.
    pub name: &'static str,
    /// TOML: about (title, source, status, wiring), an `example`, `[bus]`, `[instrument.*]`, and `[simulate]` where the
    /// instrument talks by itself.
    pub text: &'static str,
}

macro_rules! profile {
    ($name:literal) => {
        Profile { name: $name, text: include_str!(concat!("../profiles/", $name, ".toml")) }
    };
}

/// All of them, by name.
pub const ALL: &[Profile] = &[
    profile!("aanderaa-optode-4831"),
    profile!("aanderaa-optode-polled"),
    profile!("and-scale"),
    profile!("arduino-csv"),
    profile!("asimet-met"),
    profile!("atlas-ezo-co2"),
    profile!("atlas-ezo-co2-polled"),
    profile!("atlas-ezo-do"),
    profile!("atlas-ezo-do-polled"),
    profile!("atlas-ezo-ec"),
    profile!("atlas-ezo-ec-polled"),
    profile!("atlas-ezo-orp"),
    profile!("atlas-ezo-orp-polled"),
    profile!("atlas-ezo-ph"),
    profile!("atlas-ezo-ph-polled"),
    profile!("atlas-ezo-rtd"),
    profile!("atlas-ezo-rtd-polled"),
    profile!("co2-pro"),
    profile!("davis-vantage"),
    profile!("decagon-ctd10"),
    profile!("esp32-json"),
    profile!("gill-maximet"),
    profile!("gill-windsonic"),
    profile!("hach-ldo-aq"),
    profile!("hamilton-arc-do"),
    profile!("hydrogen-lel"),
    profile!("in-situ-aqua-troll"),
    profile!("in-situ-rdo-pro"),
    profile!("kern-ew"),
    profile!("meter-teros12"),
    profile!("mt-sics"),
    profile!("mt-sics-polled"),
    profile!("nmea-gps"),
    profile!("nmea-sounder"),
    profile!("nmea-thermometer"),
    profile!("nmea-weather"),
    profile!("oregon-rfid"),
    profile!("oregon-rfid-csv"),
    profile!("rbr-logger"),
    profile!("rdm630"),
    profile!("rs485-soil-7in1"),
    profile!("rs485-water-probe"),
    profile!("sami-ph"),
    profile!("seabird-16plus"),
    profile!("seabird-37"),
    profile!("seafet"),
    profile!("triaxys-wave"),
    profile!("vaisala-wxt"),
    profile!("vaisala-wxt-polled"),
    profile!("wetlabs-eco"),
    profile!("yosemitech-do"),
    profile!("yosemitech-ph"),
    profile!("ysi-exo-modbus"),
    profile!("ysi-exo-sdi12"),
];

/// The profile of that name.
pub fn find(name: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_name_and_stand_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        for profile in ALL {
            assert_eq!(find(profile.name), Some(profile));
            let has = |key: &str| profile.text.lines().any(|line| line.starts_with(key));
            for key in ["title", "source", "status", "wiring", "[bus]"] {
                assert!(has(key), "{}: {key}", profile.name);
            }
            assert!(has("example") || has("[example]"), "{}: no example", profile.name);
        }
        assert_eq!(find("none"), None);
    }
}
