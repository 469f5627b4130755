//! What the agent says of itself: log lines, and the health that `status` shows.

pub mod beats;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod process;
