-- The catalogue of a lake for the ten questions beside this file; readings.sql, or readings-ndjson.sql, has the other table.
-- Names and columns are those of Athena (../athena/tables.sql), but times are times here.
--
--   SET VARIABLE lake = '/media/usb/lake';          -- or 's3://farm-lake' (LOAD httpfs; CREATE SECRET ... first)
--   SET VARIABLE site = 'lac-vert';                 -- left out: every site
--   SET VARIABLE device = 'pond-gw-1';              -- left out: every device
--   SET VARIABLE from_day = '2026-11-01';           -- left out: from the beginning; UTC days of reading
--   SET VARIABLE to_day = '2026-11-30';             -- left out: to the end
--   .read cloud/queries/duckdb/manifests.sql
--   .read cloud/queries/duckdb/readings.sql
--   .read cloud/queries/duckdb/02-daily-minimum.sql
--
-- Paths are globbed: a local folder does not mind, a bucket is listed by its days. Who wants no listing at all asks
-- the manifests for keys first (docs/LAKE.md).

-- Times are shown as the lake counts days.
SET TimeZone = 'UTC';

CREATE OR REPLACE VIEW manifests AS
SELECT *, regexp_extract(key, '/dt=([0-9-]+)/', 1) AS day   -- of reading; `dt` is the day of upload, which may be weeks later
FROM read_json(getvariable('lake') || '/manifests/v1/*/*/*/manifest.ndjson.zst', format = 'newline_delimited',
               hive_partitioning = true, hive_types = {site: VARCHAR, device: VARCHAR, dt: VARCHAR},
               -- Named and not guessed: a lake without a gap has nothing that says what a gap looks like.
               columns = {v: 'INT', key: 'VARCHAR', bytes: 'BIGINT', sha256: 'VARCHAR', format: 'VARCHAR', rows: 'BIGINT',
                          epoch: 'VARCHAR', first: 'BIGINT', next: 'BIGINT', time_min: 'TIMESTAMPTZ', time_max: 'TIMESTAMPTZ',
                          instruments: 'STRUCT(instrument VARCHAR, quantity VARCHAR, unit VARCHAR, count BIGINT, min DOUBLE, max DOUBLE, mean DOUBLE)[]',
                          quality: 'MAP(VARCHAR, BIGINT)',
                          gaps: 'STRUCT(seq BIGINT, reason VARCHAR, count BIGINT, lost_first BIGINT, lost_next BIGINT,
                                        lost_from TIMESTAMPTZ, lost_to TIMESTAMPTZ)[]',
                          clock: 'MAP(VARCHAR, BIGINT)', agent: 'VARCHAR', config_revision: 'VARCHAR', tags: 'MAP(VARCHAR, VARCHAR)',
                          uploaded_at: 'TIMESTAMPTZ', prev: 'VARCHAR', rebuilt: 'BOOLEAN', sig: 'VARCHAR'})
WHERE site = coalesce(getvariable('site'), site)
  AND device = coalesce(getvariable('device'), device)
  AND day >= coalesce(getvariable('from_day'), day)
  AND day <= coalesce(getvariable('to_day'), day);
