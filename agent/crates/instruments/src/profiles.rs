//! Shipped profiles: everything the configuration needs to know about an instrument, as TOML under a name.
//!
//! They are text here: the agent's config room reads them with the same code as the operator's own files.

/// A shipped profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What `profile = "..."` says: letters, digits and `-`.
    pub name: &'static str,
    /// TOML: about (title, source, status, wiring, example), `[bus]`, `[instrument.*]`, `[simulate]`.
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
    profile!("and-scale"),
    profile!("arduino-csv"),
    profile!("asimet-met"),
    profile!("atlas-ezo-co2"),
    profile!("atlas-ezo-do"),
    profile!("atlas-ezo-ec"),
    profile!("atlas-ezo-orp"),
    profile!("atlas-ezo-ph"),
    profile!("atlas-ezo-rtd"),
    profile!("co2-pro"),
    profile!("esp32-json"),
    profile!("gill-maximet"),
    profile!("gill-windsonic"),
    profile!("hydrogen-lel"),
    profile!("kern-ew"),
    profile!("mt-sics"),
    profile!("nmea-gps"),
    profile!("nmea-sounder"),
    profile!("nmea-thermometer"),
    profile!("nmea-weather"),
    profile!("oregon-rfid"),
    profile!("rbr-logger"),
    profile!("rdm630"),
    profile!("sami-ph"),
    profile!("seabird-16plus"),
    profile!("seabird-37"),
    profile!("triaxys-wave"),
    profile!("vaisala-wxt"),
    profile!("wetlabs-eco"),
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
            for key in ["title", "source", "status", "wiring", "example", "[bus]", "[simulate]"] {
                assert!(profile.text.lines().any(|line| line.starts_with(key)), "{}: {key}", profile.name);
            }
        }
        assert_eq!(find("none"), None);
    }
}
