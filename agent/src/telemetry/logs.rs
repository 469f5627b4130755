//! Log lines on stderr: systemd keeps them, a person reads them.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload;

/// An error with its causes in one line; a cause that its effect already quotes is not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = source.source();
    }
    text
}

/// Changes what is logged from now on.
type Reload = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static RELOAD: OnceLock<Reload> = OnceLock::new();
static USUAL: OnceLock<String> = OnceLock::new();

/// Logs more, or less: a level for all of ours, or back to the usual with none. False where logging was not set up here.
pub fn set_level(level: Option<LevelFilter>) -> bool {
    let filter = match level {
        Some(level) => format!("warn,tidegate={level},journal={level}"),
        None => USUAL.get().cloned().unwrap_or_default(),
    };
    RELOAD.get().is_some_and(|reload| reload(EnvFilter::new(filter)))
}

/// Sets logging up for this process. `TIDEGATE_LOG` overrides the level (`debug`, `tidegate::link=trace`).
pub fn start(verbosity: u8) {
    let default = match verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    // What other people's crates say at these levels is theirs, not the operator's.
    let ours = format!("warn,tidegate={default},journal={default}");
    let filter = EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new(ours));
    USUAL.get_or_init(|| filter.to_string());
    let is_terminal = std::io::stderr().is_terminal();
    let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .with_target(false);
    // Journald stamps each line itself.
    let is_journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let started = if is_journald {
        let builder = builder.without_time().with_filter_reloading();
        keep(builder.reload_handle());
        builder.try_init()
    } else {
        let builder = builder.with_filter_reloading();
        keep(builder.reload_handle());
        builder.try_init()
    };
    // A second start in one process (the demo, tests) keeps the first subscriber.
    if let Err(error) = started {
        tracing::debug!(%error, "logging was already set up");
    }
}

fn keep<S: 'static>(handle: reload::Handle<EnvFilter, S>) {
    RELOAD.get_or_init(|| Box::new(move |filter| handle.reload(filter).is_ok()));
}
