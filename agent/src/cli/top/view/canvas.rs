//! A screen to write on: text goes where it fits, in a tone that says something, and nothing wraps.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use crate::cli::screen::harmless;

/// What the terminal can show.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colours. Without them a word or a letter says the same.
    pub is_coloured: bool,
    /// More than ASCII.
    pub is_utf8: bool,
}

/// What a text wants of who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// All is well.
    Good,
    /// Look at it.
    Warning,
    /// Look at it first.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

impl Look {
    fn style(self, tone: Tone) -> Style {
        let colour = |colour: Color| if self.is_coloured { Style::new().fg(colour) } else { Style::new() };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => colour(Color::Green),
            Tone::Warning => colour(Color::Yellow).add_modifier(Modifier::BOLD),
            // What is worst stands out also where there is no colour.
            Tone::Bad if self.is_coloured => colour(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Bad => Style::new().add_modifier(Modifier::REVERSED),
            Tone::Dim => Style::new().add_modifier(Modifier::DIM),
            Tone::Bold => Style::new().add_modifier(Modifier::BOLD),
        }
    }

    /// One of two, as the terminal can.
    pub fn either(self, utf8: &'static str, ascii: &'static str) -> &'static str {
        if self.is_utf8 { utf8 } else { ascii }
    }
}

/// A screen.
pub struct Canvas {
    buffer: Buffer,
    /// What it can show.
    pub look: Look,
}

impl Canvas {
    /// An empty one.
    pub fn new(width: u16, height: u16, look: Look) -> Self {
        Self { buffer: Buffer::empty(Rect::new(0, 0, width, height)), look }
    }

    /// Its columns.
    pub fn width(&self) -> usize {
        usize::from(self.buffer.area.width)
    }

    /// Its lines.
    pub fn height(&self) -> usize {
        usize::from(self.buffer.area.height)
    }

    /// The cells.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Text from column `x` on, in at most `width` columns; gives the column behind it. What does not fit ends with `>`.
    pub fn put(&mut self, (x, y): (usize, usize), width: usize, text: &str, tone: Tone) -> usize {
        let width = width.min(self.width().saturating_sub(x));
        let (Ok(column), Ok(line)) = (u16::try_from(x), u16::try_from(y)) else { return x };
        if width == 0 || line >= self.buffer.area.height {
            return x;
        }
        let text = self.shown(text);
        let style = self.look.style(tone);
        let (end, _) = self.buffer.set_stringn(column, line, &text, width, style);
        if text.chars().count() > width {
            let last = column.saturating_add(u16::try_from(width - 1).unwrap_or(u16::MAX));
            self.buffer.set_stringn(last, line, ">", 1, style);
            return x + width;
        }
        usize::from(end)
    }

    /// Text that ends at column `x + width`.
    pub fn put_right(&mut self, (x, y): (usize, usize), width: usize, text: &str, tone: Tone) {
        let blank = width.saturating_sub(text.chars().count());
        self.put((x + blank, y), width - blank, text, tone);
    }

    /// Several texts behind each other.
    pub fn flow(&mut self, (x, y): (usize, usize), parts: &[(&str, Tone)]) -> usize {
        parts.iter().fold(x, |x, (text, tone)| self.put((x, y), usize::MAX, text, *tone))
    }

    /// Takes the colour out of all lines from `y` on: what is shown there is not how it is.
    pub fn fade(&mut self, y: usize) {
        let Ok(y) = u16::try_from(y) else { return };
        let area = self.buffer.area;
        let below = Rect::new(0, y, area.width, area.height.saturating_sub(y));
        self.buffer.set_style(below, Style::reset().add_modifier(Modifier::DIM));
    }

    /// Text from elsewhere as this terminal can show it.
    fn shown(&self, text: &str) -> String {
        let text = harmless(text);
        if self.look.is_utf8 {
            return text;
        }
        text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
    }
}

/// Text in lines of at most `width`, broken between words where it can be.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, width) = (Vec::new(), String::new(), width.max(1));
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let used = line.chars().count();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        while word.len() > width {
            lines.push(word.drain(..width).collect());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    lines.extend((!line.is_empty()).then_some(line));
    lines
}

#[cfg(test)]
mod tests {
    use super::{Canvas, Look, Tone, wrap};

    #[test]
    fn text_is_broken_between_words_and_never_longer_than_the_line() {
        assert_eq!(wrap("power, cable, A and B", 10), ["power,", "cable, A", "and B"]);
        assert_eq!(wrap("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
    }

    #[test]
    fn what_is_too_long_says_so_and_what_a_terminal_would_obey_is_not_obeyed() {
        let mut canvas = Canvas::new(8, 1, Look { is_coloured: false, is_utf8: false });
        canvas.put((2, 0), 4, "a\u{1b}[2J\u{e9}", Tone::Bad);
        canvas.put_right((6, 0), 2, "7", Tone::Plain);
        let line: String = canvas.into_buffer().content().iter().map(ratatui_core::buffer::Cell::symbol).collect();
        assert_eq!(line, "  a?[> 7");
    }
}
