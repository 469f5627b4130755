//! Where a batch ends because the day does.

use model::Numbered;

/// How many of the leading records share the first one's UTC day: an object never straddles midnight.
///
/// The object's day is that of its first record. A clock that steps back over midnight ends the object just as one
/// that moves over it: what follows is of another day, whichever.
pub fn leading_day(records: &[Numbered]) -> usize {
    let Some(first) = records.first() else { return 0 };
    let day = first.record.stamp().time.day();
    records.iter().take_while(|numbered| numbered.record.stamp().time.day() == day).count()
}
