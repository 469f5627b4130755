//! Updates of the agent: fetched by the agent, which may do nothing else; installed, watched and taken back by another
//! process, which may.
//!
//! 1. Whoever may update a device signs a manifest (`manifest`). The agent, or a person, gets it and judges it (`task`).
//! 2. The agent fetches what it names (`download`) into a folder of its own (`staging`).
//! 3. The installer (`install`), started by the service manager when something is staged, believes nothing of it: it
//!    copies to a place of its own, checks signature and hash itself, tries the new program, keeps the old one, switches by a
//!    rename, starts the agent anew and watches it. What is not well in time is taken back. Before each step it writes
//!    down how far it is (`rollout`), and whoever is started after a power cut goes on from there, with the installer that
//!    began: what was installed need not even start.
//! 4. The agent that then runs tells how it ended: an event, and `report`.

pub mod download;
pub mod files;
pub mod install;
pub mod manifest;
pub mod report;
pub mod rollout;
pub mod staging;
pub mod task;
mod version;
