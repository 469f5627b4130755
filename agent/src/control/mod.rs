//! The agent answered for on the spot: a unix socket for `status`, `tail` and `journal`, HTTP/1.1 so that curl can ask, too.
//!
//! On a thread and a runtime of its own: it answers when the main runtime is wedged. It reads health and journal; what it
//! changes goes through who owns it (`replay`). A network port is opened only where `[local] web` says so, and nothing can be
//! changed through it (`web`).

pub mod accept;
pub mod bundle;
pub mod check;
pub mod client;
pub mod journal;
pub mod replay;
pub mod server;
pub mod sinks;
pub mod status;
pub mod tail;
mod web;
