//! tidegate: an edge ingestion agent. Everything an instrument says is appended once to one durable, ordered journal;
//! every destination is a reader with its own cursor; nothing else moves data. See `ARCHITECTURE.md`.
//!
//! The library is the binary's; it is no public interface.

pub mod acquire;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod doctor;
pub mod lasting;
pub mod link;
pub mod provision;
pub mod record;
pub mod remote;
pub mod run;
pub mod simulate;
pub mod sinks;
pub mod supervise;
pub mod telemetry;
pub mod update;
