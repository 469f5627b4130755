//! The manifest lines of this sink on the local disk: `<journal>/manifests/<sink>/<day>.ndjson`, appended and synced
//! line by line. The chain goes on from the last of them. A day that has been sent and is over is removed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lake::{Chain, Digest, Entry, ManifestLine, SigningKey};
use model::{Day, Epoch, Timestamp};

/// The lines that are, or are to be, in the lake's manifests.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    chain: Chain,
    /// What the lines are signed with.
    key: Option<SigningKey>,
    /// Lines on disk and lines sent, by day.
    days: BTreeMap<Day, Counts>,
    /// Key of the last line: a batch that was confirmed over there and not here comes again.
    last_key: Option<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    held: usize,
    sent: usize,
}

impl Ledger {
    /// Opens the ledger; a line that a crash cut off is taken away.
    pub fn open(folder: &Path, epoch: &Epoch, key: Option<SigningKey>) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        File::open(folder)?.sync_all()?;
        let mut ledger = Self {
            folder: folder.to_path_buf(),
            chain: Chain::start(epoch.clone()),
            key,
            days: BTreeMap::new(),
            last_key: None,
        };
        for day in days_in(folder)? {
            let lines = ledger.read(day)?;
            if let Some(last) = lines.last() {
                let line = ManifestLine::parse(last).map_err(io::Error::other)?;
                if line.epoch == *epoch {
                    ledger.chain.head = Digest::of(last.as_bytes());
                    ledger.last_key = Some(line.key);
                }
            }
            ledger.days.insert(day, Counts { held: lines.len(), sent: 0 });
        }
        Ok(ledger)
    }

    /// Adds the line of a delivered object; durable when it returns. The same object again adds nothing.
    pub fn append(&mut self, line: ManifestLine, now: Timestamp) -> io::Result<()> {
        if self.last_key.as_ref() == Some(&line.key) {
            return Ok(());
        }
        let day = now.day();
        let is_new = !self.days.contains_key(&day);
        let key = line.key.clone();
        let mut chain = self.chain.clone();
        let mut text = chain.seal(line, now, self.key.as_ref()).map_err(io::Error::other)?;
        text.push('\n');
        let mut file = OpenOptions::new().create(true).append(true).open(self.file_of(day))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        self.chain = chain;
        self.last_key = Some(key);
        self.days.entry(day).or_default().held += 1;
        Ok(())
    }

    /// The days whose manifest object lacks lines.
    pub fn unsent(&self) -> Vec<Day> {
        self.days.iter().filter(|(_, counts)| counts.sent < counts.held).map(|(day, _)| *day).collect()
    }

    /// The lines of a day.
    pub fn lines(&self, day: Day) -> io::Result<Vec<Entry>> {
        self.read(day)?.iter().map(|text| Entry::parse(text).map_err(io::Error::other)).collect()
    }

    /// So many lines of a day are in the lake. A day that is over is forgotten here; whether it is.
    pub fn note_sent(&mut self, day: Day, lines: usize) -> io::Result<bool> {
        let is_latest = self.days.last_key_value().is_none_or(|(latest, _)| *latest == day);
        let Some(counts) = self.days.get_mut(&day) else { return Ok(true) };
        counts.sent = lines;
        let is_over = !is_latest && counts.sent >= counts.held;
        if is_over {
            std::fs::remove_file(self.file_of(day))?;
            self.days.remove(&day);
        }
        Ok(is_over)
    }

    fn file_of(&self, day: Day) -> PathBuf {
        self.folder.join(format!("{day}.ndjson"))
    }

    /// The whole lines of a day; what stands behind the last line end was never confirmed and is cut off.
    fn read(&self, day: Day) -> io::Result<Vec<String>> {
        let path = self.file_of(day);
        let text = std::fs::read_to_string(&path)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            file.sync_data()?;
        }
        Ok(text[..whole].lines().map(str::to_owned).collect())
    }
}

fn days_in(folder: &Path) -> io::Result<Vec<Day>> {
    let mut days = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(text) = name.strip_suffix(".ndjson") else { continue };
        let Some(start) = Timestamp::parse(&format!("{text}T00:00:00Z")) else { continue };
        days.push(start.day());
    }
    days.sort_unstable();
    Ok(days)
}
