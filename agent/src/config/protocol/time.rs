//! `protocol.time`: the instrument's own clock.

use std::time::Duration;

use instruments::TimeSpec;

use crate::config::node::{Node, Tree};
use crate::config::quantity::selector;
use crate::config::section::{Fit, Misfit, Section};
use crate::config::value::{duration, list, text};

/// A clock that is off by more than a day is not set.
const SKEW_MAX: Duration = Duration::from_secs(86_400);

pub fn read(section: &Section<'_>) -> Option<TimeSpec> {
    let fields = section.require("field", fields);
    let format = section.require("format", text);
    let ahead_min = section.get("tz", zone).unwrap_or(0);
    let max_skew = section.get("max_skew", duration(Duration::ZERO..=SKEW_MAX));
    section.finish();
    Some(TimeSpec { fields: fields?, format: format?, ahead_min, max_skew })
}

/// One field, or a list of them: a word of the format each.
fn fields(node: &Node) -> Fit<Vec<String>> {
    match &node.value {
        Tree::List(_) => list(selector)(node),
        _ => selector(node).map(|field| vec![field]),
    }
}

/// `UTC`, or a fixed distance to it: instruments know no summer time that could be trusted.
fn zone(node: &Node) -> Fit<i32> {
    let written = text(node)?;
    if written == "UTC" {
        return Ok(0);
    }
    let misfit = || Misfit::new(format!("\"{written}\" is no zone")).help("\"UTC\", or a distance: \"+02:00\"");
    let (sign, rest) = match (written.strip_prefix('+'), written.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Err(misfit()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(misfit)?;
    match (hours.parse::<u8>(), minutes.parse::<u8>()) {
        (Ok(hours @ 0..=14), Ok(minutes @ 0..=59)) => Ok(sign * (i32::from(hours) * 60 + i32::from(minutes))),
        _ => Err(misfit()),
    }
}
