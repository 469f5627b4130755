//! The terminal: taken, written to where the picture has changed, and given back as it was, whatever ends the program.
//!
//! Escapes are xterm's, which everything since speaks (ECMA-48, `ctlseqs` of xterm). Only cells that differ are sent, each picture between the
//! two ends of a synchronized update: a terminal that knows it never shows half of one, any other takes no notice.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen, no cursor, no wrapping, empty.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J\x1b[H";
/// All of it back.
const GIVE_BACK: &str = "\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// A picture begins, and ends.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// A gap of so many cells is written over: to jump costs as much.
const GAP_CELLS: u16 = 3;
/// Box drawing, blocks and shapes: one column each, everywhere.
const BLOCKS: RangeInclusive<char> = '\u{2500}'..='\u{25ff}';

/// The terminal.
pub struct Terminal {
    taken: Taken,
    shown: Buffer,
}

/// What has to be given back.
#[derive(Clone)]
struct Taken {
    before: Arc<Termios>,
    is_taken: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal, until this is dropped or the program panics.
    pub fn take() -> io::Result<Self> {
        let before = Arc::new(tcgetattr(io::stdin())?);
        let taken = Taken { before, is_taken: Arc::new(AtomicBool::new(false)) };
        // A release aborts on a panic and drops nothing: its hook is all there is.
        let (of_hook, hook) = (taken.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            of_hook.give_back();
            hook(info);
        }));
        let mut terminal = Self { taken, shown: Buffer::default() };
        terminal.again()?;
        Ok(terminal)
    }

    /// Takes it again after [`Terminal::give_back`], or after something else has written on it: all is drawn anew.
    pub fn again(&mut self) -> io::Result<()> {
        let mut raw = (*self.taken.before).clone();
        raw.make_raw();
        self.taken.is_taken.store(true, Ordering::SeqCst);
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        self.shown = Buffer::default();
        let mut out = io::stdout().lock();
        out.write_all(TAKE.as_bytes())?;
        out.flush()
    }

    /// Gives it back for a while.
    pub fn give_back(&self) {
        self.taken.give_back();
    }

    /// Its columns and lines. One that does not say has 80 and 24.
    pub fn size() -> (u16, u16) {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        size.map_or((80, 24), |size| (size.ws_col, size.ws_row))
    }

    /// Shows a picture.
    pub fn show(&mut self, picture: Buffer) -> io::Result<()> {
        let mut bytes = BEGIN.to_owned();
        if self.shown.area != picture.area {
            bytes.push_str("\x1b[0m\x1b[2J");
            self.shown = Buffer::empty(Rect::new(0, 0, picture.area.width, picture.area.height));
        }
        encode(&mut bytes, &self.shown, &picture);
        bytes.push_str(END);
        self.shown = picture;
        let mut out = io::stdout().lock();
        out.write_all(bytes.as_bytes())?;
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.taken.give_back();
    }
}

impl Taken {
    fn give_back(&self) {
        if self.is_taken.swap(false, Ordering::SeqCst) {
            let mut out = io::stdout();
            // A terminal that is gone takes nothing back, and there is nobody to tell.
            out.write_all(GIVE_BACK.as_bytes()).and_then(|()| out.flush()).ok();
            tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
        }
    }
}

/// What makes one picture out of the other.
fn encode(bytes: &mut String, before: &Buffer, after: &Buffer) {
    let (mut at, mut style) = (None, (Color::Reset, Modifier::empty()));
    for (x, y, cell) in before.diff(after) {
        match at {
            Some((column, line)) if line == y && column == x => {}
            Some((column, line)) if line == y && column < x => {
                let gap: Vec<&Cell> = (column..x).filter_map(|column| after.cell((column, y))).collect();
                let is_plain = |cell: &&Cell| (cell.fg, cell.modifier) == style && cell.symbol().len() == 1;
                if x - column <= GAP_CELLS && gap.iter().all(is_plain) {
                    bytes.extend(gap.iter().map(|cell| cell.symbol()));
                } else {
                    bytes.push_str(&right(x - column));
                }
            }
            _ => bytes.push_str(&to(x, y)),
        }
        if (cell.fg, cell.modifier) != style {
            style = (cell.fg, cell.modifier);
            bytes.push_str(&sgr(style));
        }
        bytes.push_str(cell.symbol());
        // How wide other characters are, the terminal may see otherwise: behind one it is said where to go on.
        let is_narrow = cell.symbol().chars().all(|c| c.is_ascii() || BLOCKS.contains(&c));
        at = is_narrow.then_some((x + 1, y));
    }
    if style != (Color::Reset, Modifier::empty()) {
        bytes.push_str("\x1b[0m");
    }
}

/// The cursor so far to the right.
fn right(columns: u16) -> String {
    format!("\x1b[{columns}C")
}

/// The cursor to a cell.
fn to(x: u16, y: u16) -> String {
    format!("\x1b[{};{}H", y + 1, x + 1)
}

/// Select graphic rendition, from scratch.
fn sgr((colour, modifier): (Color, Modifier)) -> String {
    let mut codes = vec!["0"];
    for (has, code) in [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")] {
        if modifier.contains(has) {
            codes.push(code);
        }
    }
    codes.extend(match colour {
        Color::Red => Some("31"),
        Color::Green => Some("32"),
        Color::Yellow => Some("33"),
        _ => None,
    });
    match codes.as_slice() {
        ["0"] => "\x1b[m".to_owned(),
        codes => format!("\x1b[{}m", codes.join(";")),
    }
}

#[cfg(test)]
mod tests {
    use ratatui_core::buffer::Buffer;
    use ratatui_core::style::{Color, Style};

    use super::encode;

    fn change(from: &str, to: &str) -> String {
        let mut bytes = String::new();
        encode(&mut bytes, &Buffer::with_lines([from, ""]), &Buffer::with_lines([to, ""]));
        bytes
    }

    #[test]
    fn only_what_differs_is_sent_and_a_small_gap_is_written_over() {
        assert_eq!(change("lag     7", "lag     8"), "\x1b[1;9H8");
        assert_eq!(change("1 2 3", "4 2 6"), "\x1b[1;1H4 2 6");
        assert_eq!(change("1 ------ 3", "4 ------ 6"), "\x1b[1;1H4\x1b[8C6");
        assert_eq!(change("same", "same"), "");
    }

    #[test]
    fn a_wide_character_leaves_nothing_to_chance() {
        assert_eq!(change("a  b", "\u{6c34}cd"), "\x1b[1;1H\u{6c34}\x1b[1;3Hcd");
    }

    #[test]
    fn a_colour_ends_where_the_text_ends() {
        let (before, mut after) = (Buffer::with_lines(["a"]), Buffer::with_lines(["b"]));
        after.set_style(after.area, Style::new().fg(Color::Red));
        let mut bytes = String::new();
        encode(&mut bytes, &before, &after);
        assert_eq!(bytes, "\x1b[1;1H\x1b[0;31mb\x1b[0m");
    }
}
