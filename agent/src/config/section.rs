//! Reading one table of the configuration into checked values, collecting every problem on the way.
//!
//! A section knows which keys were asked for; what is left over at the end is unknown, and is refused with the
//! nearest key that would have been right. A technician corrects one file once, not one error at a time.

use std::cell::RefCell;

use super::node::{Node, Tree};
use super::problem::Problem;
use super::source::At;

/// How far a misspelt key may be from the right one and still be offered (Jaro-Winkler).
const LIKENESS_MIN: f64 = 0.7;

/// A value that does not fit: what would, and how to write it.
pub struct Misfit {
    message: String,
    help: Option<String>,
    at: Option<At>,
}

impl Misfit {
    /// A misfit without help.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, at: None }
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In words alone.
    pub fn words(self) -> String {
        match self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message,
        }
    }

    /// The same, pointing at a part of the value.
    #[must_use]
    pub fn at(mut self, at: &At) -> Self {
        self.at = Some(at.clone());
        self
    }
}

/// What a reader of a value gives.
pub type Fit<T> = Result<T, Misfit>;

/// Where problems are put down while a tree is read.
pub type Problems = RefCell<Vec<Problem>>;

/// One table being read.
pub struct Section<'a> {
    node: &'a Node,
    key_at: At,
    path: String,
    asked: RefCell<Vec<String>>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// Starts reading the root.
    pub fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self { node, key_at: node.at.clone(), path: String::new(), asked: RefCell::default(), problems }
    }

    /// The dotted path of the section.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &str) -> Option<&'a (At, Node)> {
        self.asked.borrow_mut().push(key.to_owned());
        #[cfg(test)]
        super::schema::tests::note(&self.join(key));
        match &self.node.value {
            Tree::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// Whether the key is there; does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.node.child(key).is_some()
    }

    /// Puts a problem down at a key of this section (dotted: below it), or at the section itself where there is none.
    pub fn refuse(&self, key: &str, misfit: Misfit) {
        let held = key.split('.').try_fold(self.node, Node::child).map(|node| node.at.clone());
        let at = misfit.at.or(held).unwrap_or_else(|| self.key_at.clone());
        let path = if key.is_empty() { self.path.clone() } else { self.join(key) };
        self.problems.borrow_mut().push(Problem { at, path, message: misfit.message, help: misfit.help });
    }

    /// The value of an optional key; a value that does not fit is put down and reads as absent.
    pub fn get<T>(&self, key: &str, read: impl FnOnce(&Node) -> Fit<T>) -> Option<T> {
        let (_, node) = self.entry(key)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(misfit) => {
                self.refuse(key, misfit);
                None
            }
        }
    }

    /// The value of a key that must be there.
    pub fn require<T>(&self, key: &str, read: impl FnOnce(&Node) -> Fit<T>) -> Option<T> {
        if self.entry(key).is_none() {
            self.refuse(key, Misfit::new(format!("`{key}` is missing in [{}]", self.path)));
            return None;
        }
        self.get(key, read)
    }

    /// A sub-table, if it is there.
    pub fn section(&self, key: &str) -> Option<Section<'a>> {
        let (key_at, node) = self.entry(key)?;
        if !matches!(node.value, Tree::Table(_)) {
            self.refuse(key, Misfit::new(format!("`{key}` is a table, not {}", node.value.kind())));
            return None;
        }
        Some(Section {
            node,
            key_at: key_at.clone(),
            path: self.join(key),
            asked: RefCell::default(),
            problems: self.problems,
        })
    }

    /// The sub-tables of a table of named things, in name order.
    pub fn named(&self, key: &str) -> Vec<(String, Section<'a>)> {
        let Some(all) = self.section(key) else { return Vec::new() };
        let Tree::Table(table) = &all.node.value else { return Vec::new() };
        table.keys().filter_map(|name| all.section(name).map(|section| (name.clone(), section))).collect()
    }

    /// The tables of a list, in their order.
    pub fn list(&self, key: &str) -> Vec<Section<'a>> {
        let Some((_, node)) = self.entry(key) else { return Vec::new() };
        let Tree::List(items) = &node.value else {
            self.refuse(key, Misfit::new(format!("`{key}` is a list, not {}", node.value.kind())).help("[ { .. } ]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (number, item) in items.iter().enumerate() {
            if !matches!(item.value, Tree::Table(_)) {
                let misfit = Misfit::new(format!("`{key}` is a list of tables, not of {}", item.value.kind()));
                self.refuse(key, misfit.at(&item.at));
                continue;
            }
            let path = format!("{}[{number}]", self.join(key));
            tables.push(Section {
                node: item,
                key_at: item.at.clone(),
                path,
                asked: RefCell::default(),
                problems: self.problems,
            });
        }
        tables
    }

    /// Refuses every key that nobody asked for.
    pub fn finish(&self) {
        let Tree::Table(table) = &self.node.value else { return };
        let asked = self.asked.borrow();
        for (key, (key_at, _)) in table {
            if asked.contains(key) {
                continue;
            }
            let section =
                if self.path.is_empty() { "at the top level".to_owned() } else { format!("in [{}]", self.path) };
            let mut problem = Problem::new(key_at.clone(), self.join(key), format!("unknown key `{key}` {section}"));
            problem.help = Some(match nearest(key, &asked) {
                Some(right) => format!("did you mean `{right}`?"),
                None => format!("known here: {}", list(&asked)),
            });
            self.problems.borrow_mut().push(problem);
        }
    }
}

fn list(keys: &[String]) -> String {
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.join(", ")
}

/// The known word most like this one, if any is like it at all.
pub fn nearest<'k>(word: &str, known: &'k [String]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate.as_str()))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
