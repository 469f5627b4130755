//! The newcomer's first command, without a terminal: it ends by itself, says what it did, and what it says is true.

use e2e::agent;
use e2e::lake;
use serde_json::Value;

/// The number before or behind a word: `1,234 delivered`, `delivered: 1234`.
fn number_beside(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.to_lowercase().contains(word))?;
    let lower = line.to_lowercase();
    let (before, behind) = lower.split_once(word)?;
    let digits = |text: &str| text.replace([',', '_'], "").parse().ok();
    let apart = |c: char| !c.is_ascii_digit() && c != ',' && c != '_';
    let nearest_before = before.split(apart).rev().find_map(digits);
    let nearest_behind = behind.split(apart).find_map(digits);
    // A table has its numbers behind its words; a sentence has them before.
    if before.trim().is_empty() { nearest_behind.or(nearest_before) } else { nearest_before.or(nearest_behind) }
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
        number_beside(&told, word).unwrap_or_else(|| panic!("the demo does not say how many were {word}:\n{told}"))
    });
    assert!(read > 0 && read == stored && stored == delivered, "{read} read, {stored} stored, {delivered} delivered");

    let sql = sql(&told).unwrap_or_else(|| panic!("the demo shows no SQL:\n{told}"));
    let rows = lake::query(sql, &Value::Null);
    assert!(!rows.is_empty(), "{sql} finds nothing");
    let instruments = lake::query(&format!("SELECT count(DISTINCT instrument) AS n FROM ({sql})"), &Value::Null);
    assert!(instruments[0]["n"].as_u64() >= Some(3), "fewer than three instruments: {rows:?}");
    assert_eq!(counted(&rows), delivered, "{sql}");
}

/// How many readings an answer stands for: a column of counts is summed up, other rows are one reading each.
fn counted(rows: &[Value]) -> u64 {
    let counts: Vec<u64> = rows.iter().filter_map(|row| row["readings"].as_u64()).collect();
    if counts.len() == rows.len() { counts.iter().sum() } else { u64::try_from(rows.len()).unwrap_or(u64::MAX) }
}

#[test]
fn a_second_demo_in_the_same_folder_works_too() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = agent::run(&["demo", "--seconds", "1", "--dir", dir.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", agent::stderr(&output));
    }
}
