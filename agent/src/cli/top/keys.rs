//! Bytes from the keyboard as keys.
//!
//! A terminal sends Esc as the first byte of the arrows, too: one that stands alone at the end is not known until nothing
//! follows, and is asked for with [`Keys::rest`].

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Up, or `k`.
    Up,
    /// Down, or `j`.
    Down,
    /// Left, or `h`.
    Left,
    /// Right, or `l`.
    Right,
    /// A page up.
    PageUp,
    /// A page down, or the space bar.
    PageDown,
    /// To the first, or `g`.
    Home,
    /// To the last, or `G`.
    End,
    /// Enter.
    Enter,
    /// Tab, also backwards: there are two lists.
    Tab,
    /// Esc, or `q`.
    Back,
    /// `c`
    Checks,
    /// `p`
    Pause,
    /// `?`
    Help,
    /// Ctrl-C
    Leave,
    /// Ctrl-Z
    Suspend,
    /// Ctrl-L
    Redraw,
}

const ESC: u8 = 0x1b;
/// No sequence of a key is longer.
const SEQUENCE_BYTES_MAX: usize = 8;

/// The keyboard.
#[derive(Debug, Default)]
pub struct Keys {
    begun: Vec<u8>,
}

impl Keys {
    /// The keys in what has come.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for &byte in bytes {
            if self.begun.is_empty() && byte != ESC {
                keys.extend(plain(byte));
                continue;
            }
            if byte == ESC && !self.begun.is_empty() {
                keys.extend(self.rest());
            }
            self.begun.push(byte);
            let is_whole = match self.begun.as_slice() {
                [ESC] | [ESC, b'[' | b'O'] => false,
                [ESC, b'[' | b'O', .., last] => last.is_ascii_alphabetic() || *last == b'~',
                _ => true,
            };
            if is_whole || self.begun.len() >= SEQUENCE_BYTES_MAX {
                keys.extend(sequence(&self.begun));
                self.begun.clear();
            }
        }
        keys
    }

    /// Whether more may follow.
    pub fn is_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// The key that it was, where nothing has followed.
    pub fn rest(&mut self) -> Option<Key> {
        let begun = std::mem::take(&mut self.begun);
        (begun == [ESC]).then_some(Key::Back)
    }
}

fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        b'k' => Key::Up,
        b'j' => Key::Down,
        b'h' => Key::Left,
        b'l' => Key::Right,
        b' ' => Key::PageDown,
        b'g' => Key::Home,
        b'G' => Key::End,
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        b'q' => Key::Back,
        b'c' => Key::Checks,
        b'p' => Key::Pause,
        b'?' => Key::Help,
        0x03 => Key::Leave,
        0x1a => Key::Suspend,
        0x0c => Key::Redraw,
        _ => return None,
    })
}

/// What xterm and those like it send.
fn sequence(bytes: &[u8]) -> Option<Key> {
    Some(match bytes {
        [ESC, b'[' | b'O', b'A'] => Key::Up,
        [ESC, b'[' | b'O', b'B'] => Key::Down,
        [ESC, b'[' | b'O', b'C'] => Key::Right,
        [ESC, b'[' | b'O', b'D'] => Key::Left,
        [ESC, b'[' | b'O', b'H'] | [ESC, b'[', b'1' | b'7', b'~'] => Key::Home,
        [ESC, b'[' | b'O', b'F'] | [ESC, b'[', b'4' | b'8', b'~'] => Key::End,
        [ESC, b'[', b'5', b'~'] => Key::PageUp,
        [ESC, b'[', b'6', b'~'] => Key::PageDown,
        [ESC, b'[', b'Z'] => Key::Tab,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Key, Keys};

    #[test]
    fn arrows_are_arrows_also_in_pieces_and_one_esc_is_back() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"\x1b[A\x1bOBjq"), [Key::Up, Key::Down, Key::Down, Key::Back]);
        assert_eq!(keys.take(b"\x1b"), []);
        assert!(keys.is_begun());
        assert_eq!(keys.take(b"[6"), []);
        assert_eq!(keys.take(b"~\r"), [Key::PageDown, Key::Enter]);
        assert_eq!(keys.take(b"\x1b"), []);
        assert_eq!(keys.rest(), Some(Key::Back));
        assert_eq!(keys.take(b"\x1b\x1b[B"), [Key::Back, Key::Down]);
    }

    #[test]
    fn what_nobody_meant_is_nothing() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"\x1b[1;5Cxyz\x1b[200~\x1b[<0;1;1"), []);
        assert_eq!(keys.take(b"Mq"), [Key::Back], "an endless sequence ends");
        assert_eq!(keys.take(&[0xff, 0x00, 0x80]), []);
    }
}
