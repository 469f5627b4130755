//! A frame cut into columns, without memory of its own after the first frame.

use std::ops::Range;

/// Where the columns of the frame at hand are.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    spans: Vec<Range<usize>>,
}

impl Columns {
    /// Cuts at every occurrence of `sep` (not empty): one column more than there are separators.
    pub fn split_at(&mut self, frame: &[u8], sep: &[u8]) {
        self.spans.clear();
        let mut first = 0;
        if let [sep] = sep {
            for at in memchr::memchr_iter(*sep, frame) {
                self.spans.push(first..at);
                first = at + 1;
            }
            self.spans.push(first..frame.len());
            return;
        }
        let mut at = 0;
        while at + sep.len() <= frame.len() {
            if frame[at..].starts_with(sep) {
                self.spans.push(first..at);
                at += sep.len();
                first = at;
            } else {
                at += 1;
            }
        }
        self.spans.push(first..frame.len());
    }

    /// Cuts at runs of ASCII white space; such at the ends separates nothing.
    pub fn split_at_space(&mut self, frame: &[u8]) {
        self.spans.clear();
        let mut first = None;
        for (at, byte) in frame.iter().enumerate() {
            match (byte.is_ascii_whitespace(), first) {
                (true, Some(begun)) => {
                    self.spans.push(begun..at);
                    first = None;
                }
                (false, None) => first = Some(at),
                _ => {}
            }
        }
        if let Some(begun) = first {
            self.spans.push(begun..frame.len());
        }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The column at this index from 0 of the frame that was cut.
    pub fn get<'a>(&self, frame: &'a [u8], index: usize) -> Option<&'a [u8]> {
        frame.get(self.spans.get(index)?.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<'a>(columns: &Columns, frame: &'a [u8]) -> Vec<&'a [u8]> {
        (0..columns.len()).map(|index| columns.get(frame, index).unwrap()).collect()
    }

    #[test]
    fn columns_are_between_separators() {
        let mut columns = Columns::default();
        for (frame, sep, expected) in [
            (&b"a,,b,"[..], &b","[..], &[&b"a"[..], b"", b"b", b""][..]),
            (b"", b",", &[b""]),
            (b"a::b:c", b"::", &[b"a", b"b:c"]),
            (b"a:::b", b"::", &[b"a", b":b"]),
        ] {
            columns.split_at(frame, sep);
            assert_eq!(all(&columns, frame), expected);
        }
        columns.split_at_space(b"  a \t b ");
        assert_eq!(all(&columns, b"  a \t b "), [b"a", b"b"]);
        columns.split_at_space(b"  ");
        assert_eq!(columns.len(), 0);
    }
}
