//! Which columns there is room for: the least important go first, always in the same order.

/// Makes columns narrower, or takes them out (0), step by step until they fit with a blank between any two. A step is a column and
/// how wide it may be from there on.
pub fn fit(wanted: &[usize], steps: &[(usize, usize)], room: usize) -> Vec<usize> {
    let mut widths = wanted.to_vec();
    for (column, width) in steps {
        if taken(&widths) <= room {
            break;
        }
        widths[*column] = widths[*column].min(*width);
    }
    widths
}

/// What columns take, with the blanks between them.
pub fn taken(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    let (count, sum) = shown.fold((0_usize, 0), |(count, sum), width| (count + 1, sum + width));
    sum + count.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{fit, taken};

    #[test]
    fn what_is_said_to_go_first_goes_first() {
        let (wanted, steps) = ([6, 10, 8], [(2, 4), (2, 0), (1, 5), (1, 0)]);
        assert_eq!(fit(&wanted, &steps, 26), [6, 10, 8]);
        assert_eq!(fit(&wanted, &steps, 25), [6, 10, 4]);
        assert_eq!(fit(&wanted, &steps, 17), [6, 10, 0]);
        assert_eq!(fit(&wanted, &steps, 12), [6, 5, 0]);
        assert_eq!(taken(&[6, 5, 0]), 12);
        assert_eq!(fit(&wanted, &steps, 0), [6, 0, 0], "the last is cut by the screen");
    }
}
