//! The newcomer's first command, without a terminal: it ends by itself, says what it did, and what it says is true.

use e2e::agent;
use e2e::lake;
use serde_json::Value;

/// The count on the closing line that begins with `word`: `delivered 1234 records to ...`.
fn count_of(text: &str, word: &str) -> Option<u64> {
    let mut lines = text.lines().rev().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|line| line.first() == Some(&word))?;
    line.get(1)?.parse().ok()
}

/// The SQL stands on one line, bare or quoted as an argument of `duckdb -c`.
fn sql(text: &str) -> Option<&str> {
    let line = text.lines().rev().find(|line| line.contains("SELECT "))?;
    let begin = line.find("SELECT ")?;
    // What quotes the statement ends it too.
    let quote = line[..begin].chars().next_back().filter(|c| matches!(c, '"' | '\'' | '`'));
    let statement = line[begin..].trim_end();
    Some(quote.map_or(statement, |quote| statement.trim_end_matches(quote)).trim_end_matches(';'))
}

#[test]
fn the_demo_ends_by_itself_and_its_sql_counts_what_it_says_it_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("demo");
    let output = agent::run(&["demo", "--seconds", "5", "--dir", folder.to_str().unwrap()]);
    let told = agent::stdout(&output);
    let log = agent::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}\n{log}");
    assert!(!told.contains('\u{1b}'), "escape sequences without a terminal: {told}");

    let [read, stored, delivered] = ["read", "stored", "delivered"].map(|word| {
        count_of(&told, word).unwrap_or_else(|| panic!("the demo does not say how many were {word}:\n{told}"))
    });
    // Events are stored and delivered with the readings.
    assert!(0 < read && read <= stored && stored == delivered, "{read} read, {stored} stored, {delivered} delivered");

    let sql = sql(&told).unwrap_or_else(|| panic!("the demo shows no SQL:\n{told}"));
    let rows = lake::query(sql, &Value::Null);
    assert!(!rows.is_empty(), "{sql} finds nothing");
    let instruments = lake::query(&format!("SELECT count(DISTINCT instrument) AS n FROM ({sql})"), &Value::Null);
    assert!(instruments[0]["n"].as_u64() >= Some(3), "fewer than three instruments: {rows:?}");
    assert_eq!(counted(&rows), delivered, "{sql}");
}

/// How many records an answer stands for: its column of counts, summed up.
fn counted(rows: &[Value]) -> u64 {
    rows.iter().filter_map(|row| row["n"].as_u64()).sum()
}

#[test]
fn a_second_demo_in_the_same_folder_works_too() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = agent::run(&["demo", "--seconds", "1", "--dir", dir.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    }
}
