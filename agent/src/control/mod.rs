//! The agent answered for on the spot: a unix socket for `status`, `tail` and `journal`, HTTP/1.1 so that curl can ask, too.
//!
//! On a thread and a runtime of its own: it answers when the main runtime is wedged. It reads health and journal; what it
//! changes goes through who owns it (`replay`). No network port is opened here, ever.

pub mod accept;
pub mod check;
pub mod client;
pub mod journal;
pub mod replay;
pub mod server;
pub mod status;
pub mod tail;
