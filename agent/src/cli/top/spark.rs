//! Numbers as a small picture: the newest on the right, each in a cell, from the least to the most of those that are shown.

/// An eighth of a cell a step, where the terminal has them.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same in ASCII, and what stands below one that is in the row above.
const MARKS: [char; 6] = [' ', '_', '.', '-', '=', '^'];
const BELOW: char = '|';

/// The last `width` of `values` in `rows` lines, the uppermost first. A value that is missing is a hole; values that are all the same
/// stand in the middle.
pub fn spark(values: &[Option<f64>], width: usize, rows: usize, is_utf8: bool) -> Vec<String> {
    if rows == 0 {
        return Vec::new();
    }
    let shown = &values[values.len().saturating_sub(width)..];
    let (least, most) = span(shown).unwrap_or((0.0, 0.0));
    let steps = if is_utf8 { BLOCKS.len() } else { MARKS.len() } - 1;
    let levels: Vec<usize> = shown.iter().map(|value| level(*value, least, most, steps * rows)).collect();
    let blank = " ".repeat(width - shown.len());
    let row = |row: usize| {
        let floor = row * steps;
        let cells = levels.iter().map(|level| match level.saturating_sub(floor) {
            here if is_utf8 => BLOCKS[here.min(steps)],
            here if here > steps => BELOW,
            here => MARKS[here],
        });
        blank.chars().chain(cells).collect()
    };
    (0..rows).rev().map(row).collect()
}

/// The least and the most.
pub fn span(values: &[Option<f64>]) -> Option<(f64, f64)> {
    values.iter().flatten().fold(None, |span, value| match span {
        None => Some((*value, *value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and `steps`, by the clamp")]
fn level(value: Option<f64>, least: f64, most: f64, steps: usize) -> usize {
    let Some(value) = value else { return 0 };
    let top = u32::try_from(steps).map_or(f64::from(u32::MAX), f64::from);
    if most <= least {
        return steps.div_ceil(2);
    }
    (1.0 + ((value - least) / (most - least) * (top - 1.0)).round()).clamp(1.0, top) as usize
}

#[cfg(test)]
mod tests {
    use super::spark;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_least_is_a_line_at_the_bottom_and_the_most_fills_the_cell() {
        let rising = some(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(spark(&rising, 8, 1, true), ["▁▂▃▄▅▆▇█"]);
        assert_eq!(spark(&rising, 10, 1, true), ["  ▁▂▃▄▅▆▇█"], "the newest is on the right");
        assert_eq!(spark(&rising, 3, 1, true), ["▁▅█"], "of those that are shown");
        assert_eq!(spark(&some(&[1.0, 2.0, 3.0, 4.0, 5.0]), 5, 1, false), ["_.-=^"]);
    }

    #[test]
    fn what_does_not_move_is_in_the_middle_and_what_is_missing_is_a_hole() {
        assert_eq!(spark(&some(&[7.5, 7.5]), 2, 1, true), ["▄▄"]);
        assert_eq!(spark(&[Some(1.0), None, Some(2.0)], 3, 1, true), ["▁ █"]);
        assert_eq!(spark(&[], 3, 1, true), ["   "]);
        assert!(spark(&some(&[1.0, 2.0]), 3, 0, true).is_empty() && spark(&some(&[1.0, 2.0]), 0, 1, true) == [""]);
        assert_eq!(spark(&[None], 3, 2, false), ["   ", "   "]);
    }

    #[test]
    fn more_rows_are_more_steps() {
        assert_eq!(spark(&some(&[0.0, 15.0]), 2, 2, true), [" █", "▁█"]);
        assert_eq!(spark(&some(&[0.0, 15.0]), 2, 2, false), [" ^", "_|"]);
    }
}
