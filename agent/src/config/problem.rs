//! What is wrong with a configuration: where, what, and how to put it right.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

use super::source::{At, Sources};
use super::stage::Fault;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where it stands.
    pub at: At,
    /// The dotted path of the key, empty for a syntax error.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to put it right, where that can be said.
    pub help: Option<String>,
}

impl Problem {
    /// A problem without help.
    pub fn new(at: At, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, path: path.into(), message: message.into(), help: None }
    }

    /// The same problem with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A problem as `check --json` prints it. Lines and columns count from 1; columns count characters.
#[derive(Debug, Serialize)]
pub struct Located {
    /// The file or variable.
    pub source: String,
    /// Its line.
    pub line: usize,
    /// Its column.
    pub column: usize,
    /// The dotted path of the key.
    pub path: String,
    /// The offending text.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A configuration that can not be used.
#[derive(Debug, thiserror::Error)]
#[error("{} in the configuration", count(.problems.len()))]
pub struct ConfigError {
    /// Everything that is wrong, in the order of the files.
    pub problems: Vec<Problem>,
    /// The texts they stand in.
    pub sources: Sources,
}

/// The longest text repeated in an error: enough to recognise, short enough for a phone.
const TEXT_CHARS_MAX: usize = 80;

impl ConfigError {
    /// The problems with line, column and text.
    pub fn located(&self) -> Vec<Located> {
        self.problems.iter().map(|problem| locate(problem, &self.sources)).collect()
    }

    /// The problems without their places, for who can not see the files.
    pub fn faults(&self) -> Vec<Fault> {
        let fault = |problem: &Problem| Fault {
            path: problem.path.clone(),
            message: match &problem.help {
                Some(help) => format!("{}: {help}", problem.message),
                None => problem.message.clone(),
            },
        };
        self.problems.iter().map(fault).collect()
    }

    /// The problems as a person reads them, each with its line of the file.
    pub fn render(&self, is_coloured: bool) -> String {
        let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let reports: Vec<String> =
            self.problems.iter().map(|problem| render_one(problem, &self.sources, &renderer)).collect();
        reports.join("\n\n")
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

fn render_one(problem: &Problem, sources: &Sources, renderer: &Renderer) -> String {
    let source = sources.get(problem.at.source);
    let span = clip(&source.text, &problem.at);
    let snippet =
        Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(AnnotationKind::Primary.span(span));
    let mut group = Level::ERROR.primary_title(problem.message.as_str()).element(snippet);
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// A span over several lines is shown by its first: a whole section underlined tells nothing.
fn clip(text: &str, at: &At) -> std::ops::Range<usize> {
    let start = at.span.start.min(text.len());
    let end = at.span.end.clamp(start, text.len());
    let line_end = text[start..].find('\n').map_or(text.len(), |offset| start + offset);
    start..end.min(line_end)
}

/// The line of a place in a text, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

fn locate(problem: &Problem, sources: &Sources) -> Located {
    let source = sources.get(problem.at.source);
    let span = clip(&source.text, &problem.at);
    let before = &source.text[..span.start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Located {
        source: source.name.clone(),
        line: line_of(&source.text, span.start),
        column: before[line_start..].chars().count() + 1,
        path: problem.path.clone(),
        text: source.text[span].chars().take(TEXT_CHARS_MAX).collect(),
        message: problem.message.clone(),
        help: problem.help.clone(),
    }
}
