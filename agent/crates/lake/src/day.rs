//! One day's manifest: the lines of the objects that were uploaded on it, in that order.

use model::Timestamp;

use crate::chain::Chain;
use crate::error::LakeError;
use crate::line::ManifestLine;
use crate::ndjson;

/// The lines of one day of upload. It is rewritten whole: the same lines make the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestDay {
    lines: Vec<String>,
}

impl ManifestDay {
    /// A day without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// A day of lines that were sealed before, without line ends.
    pub fn from_texts(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// Seals a line into `chain` and appends it. Gives its text, which is what a publish announces.
    pub fn append(&mut self, line: ManifestLine, uploaded_at: Timestamp, chain: &mut Chain) -> Result<&str, LakeError> {
        let text = chain.seal(line, uploaded_at, None)?;
        self.lines.push(text);
        Ok(self.lines.last().expect("just pushed"))
    }

    /// The lines as they were sealed, without line ends.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The lines as what they say.
    pub fn lines(&self) -> impl Iterator<Item = Result<ManifestLine, LakeError>> {
        self.texts().map(ManifestLine::parse)
    }

    /// The manifest object: NDJSON in one zstd frame.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LakeError> {
        ndjson::pack(|out| {
            for line in &self.lines {
                out.write_all(line.as_bytes())?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Reads a manifest object. Every line must be one: a damaged file is an error, an altered line a
    /// [`Finding`](crate::Finding) of [`verify_chain`](crate::verify_chain).
    pub fn parse(bytes: &[u8]) -> Result<Self, LakeError> {
        let mut day = Self::new();
        ndjson::lines(bytes, |number, text| {
            serde_json::from_str::<ManifestLine>(text).map_err(|source| LakeError::Line { number, source })?;
            day.lines.push(text.to_owned());
            Ok(())
        })?;
        Ok(day)
    }
}
