//! Questions on a terminal, one line each: they work over the slowest of links.

use std::io::{self, BufRead as _, Write as _};

/// Why there is no answer.
pub enum Broken {
    /// There is nobody to ask: the flag that gives it, and what it is.
    Missing(&'static str, &'static str),
    /// An answer that can not be.
    Wrong(String),
    /// What was to be found out was not.
    Unknown(String),
    /// Something else.
    Failed(anyhow::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Failed(error.into())
    }
}

/// Longest answer, in bytes: a path.
const ANSWER_BYTES_MAX: usize = 4096;

/// Who is asked.
pub struct Asker {
    /// There is somebody.
    pub is_terminal: bool,
    /// They do not want to be asked.
    pub takes_defaults: bool,
}

impl Asker {
    /// Whether a question is answered.
    pub fn can_ask(&self) -> bool {
        self.is_terminal && !self.takes_defaults
    }

    /// What the flag says, or the answer, asked for until `judge` takes it.
    pub fn text(
        &mut self,
        question: &str,
        flag: &'static str,
        given: Option<&str>,
        usual: Option<&str>,
        judge: impl Fn(&str) -> Result<String, String>,
    ) -> Result<String, Broken> {
        if let Some(given) = given {
            return judge(given).map_err(|words| Broken::Wrong(format!("{given}: {words}")));
        }
        if let (true, Some(usual)) = (self.takes_defaults, usual) {
            return Ok(usual.to_owned());
        }
        if !self.is_terminal {
            return Err(Broken::Missing(flag, "an answer"));
        }
        loop {
            let brackets = usual.filter(|usual| !usual.is_empty()).map(|usual| format!(" [{usual}]"));
            eprint!("{question}{}: ", brackets.unwrap_or_default());
            io::stderr().flush()?;
            let line = read_line()?;
            let answer = line.trim();
            let answer = if answer.is_empty() { usual.unwrap_or_default() } else { answer };
            match judge(answer) {
                Ok(answer) => return Ok(answer),
                Err(words) => eprintln!("  {words}"),
            }
        }
    }
}

fn read_line() -> Result<String, Broken> {
    let mut line = Vec::new();
    let mut stdin = io::stdin().lock();
    loop {
        let piece = stdin.fill_buf()?;
        if piece.is_empty() {
            return Err(Broken::Wrong("the answers ended before the questions".to_owned()));
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(piece.len(), |end| end + 1);
        line.extend_from_slice(&piece[..count]);
        stdin.consume(count);
        if line.len() > ANSWER_BYTES_MAX {
            return Err(Broken::Wrong(format!("an answer has at most {ANSWER_BYTES_MAX} bytes")));
        }
        if end.is_some() {
            return String::from_utf8(line).map_err(|_| Broken::Wrong("an answer is text".to_owned()));
        }
    }
}
