//! A consumer of the lake: `DuckDB`, on a folder or on the object store, knowing only what is published about keys
//! and columns.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::places;
use crate::row::Row;
use crate::seaweed::Seaweed;

/// Where a lake lies.
#[derive(Debug, Clone, Copy)]
pub enum Lake<'a> {
    /// In a folder.
    Folder(&'a Path),
    /// In a bucket of an object store.
    Bucket(&'a Seaweed, &'a str),
}

/// The epoch stands in an object's name: `<epoch>-<first>-<next>.<format>`.
const EPOCH: &str = r"regexp_extract(filename, '([^/]+)-[0-9]{12}-[0-9]{12}\.[^/]+$', 1) AS epoch";

impl Lake<'_> {
    /// Every row of the lake's Parquet objects.
    pub fn parquet_rows(&self) -> Vec<Row> {
        let root = self.root();
        self.rows(&format!(
            "SELECT {EPOCH}, seq, strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS time, clock, instrument,
                    quantity, value, value_text, unit, event, tags,
                    CASE quality WHEN 1 THEN 'pass' WHEN 2 THEN 'not-evaluated' WHEN 3 THEN 'suspect'
                                 WHEN 4 THEN 'fail' WHEN 9 THEN 'missing' END AS quality
             FROM read_parquet('{root}/readings/v1/**/*.parquet', filename = true, hive_partitioning = true)"
        ))
    }

    /// Every row of the lake's compressed NDJSON objects.
    pub fn ndjson_rows(&self) -> Vec<Row> {
        let root = self.root();
        self.rows(&format!(
            "SELECT {EPOCH}, seq, time, clock, instrument, quantity, try_cast(value AS DOUBLE) AS value, unit, event, quality
             FROM read_json('{root}/readings/v1/**/*.ndjson.zst', filename = true, hive_partitioning = true,
                            format = 'newline_delimited', compression = 'zstd',
                            columns = {{seq: 'BIGINT', time: 'VARCHAR', clock: 'VARCHAR', instrument: 'VARCHAR', quantity: 'VARCHAR',
                                        value: 'JSON', unit: 'VARCHAR', event: 'VARCHAR', quality: 'VARCHAR'}})"
        ))
    }

    /// Every manifest line.
    pub fn manifest_lines(&self) -> Vec<Value> {
        let root = self.root();
        self.query(&format!(
            "SELECT * FROM read_json('{root}/manifests/v1/**/manifest.ndjson.zst', format = 'newline_delimited',
                                     compression = 'zstd', union_by_name = true)"
        ))
    }

    /// The rows of any query; none where no object matches.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let store = match self {
            Lake::Folder(_) => Value::Null,
            Lake::Bucket(store, _) => store.as_json(),
        };
        query(sql, &store)
    }

    fn root(&self) -> String {
        match self {
            Lake::Folder(folder) => folder.display().to_string(),
            Lake::Bucket(_, bucket) => format!("s3://{bucket}"),
        }
    }

    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<Row> {
        let objects = self.query(sql);
        objects.iter().map(|object| Row::of_object(object, "").expect("a row has a number")).collect()
    }
}

/// What `DuckDB` answers to `sql`, which may name files by itself.
#[track_caller]
pub fn query(sql: &str, store: &Value) -> Vec<Value> {
    let mut python = places::python("helpers/duck.py");
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start python");
    let question = json!({ "sql": sql, "store": store }).to_string();
    let mut stdin = child.stdin.take().expect("piped above");
    stdin.write_all(question.as_bytes()).expect("python reads its question");
    drop(stdin);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "DuckDB refused {sql}");
    serde_json::from_slice(&output.stdout).expect("duck.py prints a list of rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duckdb_reads_what_lies_in_a_folder_and_nothing_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::Folder(dir.path());
        assert!(lake.parquet_rows().is_empty() && lake.ndjson_rows().is_empty());

        let day = dir.path().join("readings/v1/site=a/device=b/dt=2026-11-22");
        std::fs::create_dir_all(&day).unwrap();
        let object = day.join("7f3k-000000000001-000000000002.parquet");
        query(
            &format!(
                "COPY (SELECT 1::BIGINT AS seq, TIMESTAMPTZ '2026-11-22 10:00:00.5Z' AS time, 'synced' AS clock, 'i' AS instrument,
                       'q' AS quantity, 0.1::DOUBLE AS value, NULL AS value_text, 'm' AS unit, 9 AS quality,
                       NULL AS event, '{{}}' AS tags) TO '{}'",
                object.display()
            ),
            &Value::Null,
        );
        let rows = lake.parquet_rows();
        assert_eq!((rows[0].epoch.as_str(), rows[0].seq, rows[0].value), ("7f3k", 1, Some(0.1)));
        assert_eq!((rows[0].time.as_str(), rows[0].quality.as_str()), ("2026-11-22T10:00:00.500Z", "missing"));
    }
}
