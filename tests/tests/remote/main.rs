//! A configuration that is changed from afar: what is good is in force within a second, what is wrong moves nothing, what
//! cuts the device off is taken back, and no reading is lost on the way.

mod aws;
mod commands;
mod faults;
mod good;
mod pond;
mod refused;
