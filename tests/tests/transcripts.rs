//! What commands print, as it stands in `transcripts/`: a manual that is run. `TRYCMD=overwrite` writes what they print now.

use e2e::places;

#[test]
fn commands_print_what_the_transcripts_say() {
    let cases = trycmd::TestCases::new();
    cases.env("NO_COLOR", "1").env("COLUMNS", "100");
    cases.register_bin("tidegate", places::tidegate());
    cases.case("transcripts/*.md");
}
