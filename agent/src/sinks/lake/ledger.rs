//! The manifest lines of this sink on the local disk: `<journal>/manifests/<sink>/<day>.ndjson`, appended and synced
//! line by line. The chain goes on from the last of them. A day that has been sent and is over is removed.
//!
//! Where lines are announced, `announced` beside them holds the digest of the last that was, and a day stays until all
//! of it was; at most a month: who hears of a later line sees by its `prev` that he lacks some, and asks the lake.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lake::{Chain, Digest, Entry, ManifestLine, SigningKey};
use model::{Day, Epoch, Timestamp};

use crate::lasting;

/// The file that says how far lines were announced.
const ANNOUNCED: &str = "announced";

/// The lines that are, or are to be, in the lake's manifests.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    chain: Chain,
    /// What the lines are signed with.
    key: Option<SigningKey>,
    /// Lines on disk and lines sent, by day.
    days: BTreeMap<Day, Counts>,
    /// How far lines were announced; none where nobody is told.
    said: Option<Said>,
    /// Key of the last line: a batch that was confirmed over there and not here comes again.
    last_key: Option<String>,
}

/// The last line that was announced: its day, and how many of that day's were.
#[derive(Debug, Clone, Copy)]
struct Said {
    day: Day,
    count: usize,
}

/// A line to announce.
#[derive(Debug, Clone)]
pub struct Unsaid {
    /// The line.
    pub text: String,
    day: Day,
    count: usize,
}

/// Days that stay for what is to be announced.
const UNSAID_DAYS_MAX: i64 = 31;

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
            said: None,
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

    /// From now on lines are to be announced; those that are there when this is first asked for are not.
    pub fn announce(&mut self) -> io::Result<()> {
        match std::fs::read_to_string(self.folder.join(ANNOUNCED)) {
            Ok(digest) => self.said = Some(self.place_of(digest.trim_end())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let last = self.days.last_key_value().map(|(day, _)| *day);
                let lines = last.map(|day| self.read(day)).transpose()?.unwrap_or_default();
                self.write_announced(lines.last().map_or(Digest::NONE, |line| Digest::of(line.as_bytes())))?;
                self.said = Some(Said { day: last.unwrap_or(Day(i64::MIN)), count: lines.len() });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Where the line with this digest stands; before all lines if it stands nowhere.
    fn place_of(&self, digest: &str) -> io::Result<Said> {
        for day in self.days.keys() {
            let of_line = |line: &String| Digest::of(line.as_bytes()).to_string() == digest;
            if let Some(index) = self.read(*day)?.iter().position(of_line) {
                return Ok(Said { day: *day, count: index + 1 });
            }
        }
        Ok(Said { day: Day(i64::MIN), count: 0 })
    }

    /// The next line to announce.
    pub fn unsaid(&self) -> io::Result<Option<Unsaid>> {
        let Some(said) = self.said else { return Ok(None) };
        for (day, counts) in self.days.range(said.day..) {
            let done = if *day == said.day { said.count } else { 0 };
            if done < counts.held {
                let text = self.read(*day)?.into_iter().nth(done);
                return Ok(text.map(|text| Unsaid { text, day: *day, count: done + 1 }));
            }
        }
        Ok(None)
    }

    /// A line was announced; durable when it returns.
    pub fn note_said(&mut self, line: &Unsaid) -> io::Result<()> {
        // Else the same one would be said for ever, while the disk is full.
        self.said = Some(Said { day: line.day, count: line.count });
        self.write_announced(Digest::of(line.text.as_bytes()))?;
        let over: Vec<Day> = self.days.keys().copied().filter(|day| self.is_over(*day)).collect();
        over.into_iter().try_for_each(|day| self.forget(day))
    }

    fn write_announced(&self, digest: Digest) -> io::Result<()> {
        lasting::replace(&self.folder.join(ANNOUNCED), format!("{digest}\n").as_bytes())
    }

    /// Whether nobody needs a day here any more: all of it is in the lake, no more will come, and all of it was said.
    fn is_over(&self, day: Day) -> bool {
        let Some((latest, _)) = self.days.last_key_value() else { return false };
        let is_sent = self.days.get(&day).is_some_and(|counts| counts.sent >= counts.held);
        let is_said = self.said.is_none_or(|said| said.day > day || latest.0 - day.0 > UNSAID_DAYS_MAX);
        day < *latest && is_sent && is_said
    }

    fn forget(&mut self, day: Day) -> io::Result<()> {
        std::fs::remove_file(self.file_of(day))?;
        self.days.remove(&day);
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
        let Some(counts) = self.days.get_mut(&day) else { return Ok(true) };
        counts.sent = lines;
        let is_over = self.is_over(day);
        if is_over {
            self.forget(day)?;
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
