-- The two tables of a lake for the ten questions beside this file, with the names and columns that they have in Athena.
--
--   SET VARIABLE lake = '/media/usb/lake';          -- or 's3://farm-lake' (LOAD httpfs; CREATE SECRET ... first)
--   SET VARIABLE site = 'lac-vert';                 -- left out: every site
--   SET VARIABLE device = 'pond-gw-1';              -- left out: every device
--   SET VARIABLE from_day = '2026-11-01';           -- left out: from the beginning; UTC days of reading
--   SET VARIABLE to_day = '2026-11-30';             -- left out: to the end
--   .read cloud/queries/duckdb/lake.sql
--   .read cloud/queries/duckdb/02-daily-minimum.sql
--
-- Paths are globbed: a local folder does not mind, a bucket is listed by its days. Who wants no listing at all asks
-- the manifests for keys first (docs/LAKE.md).

-- Times are shown as the lake counts days.
SET TimeZone = 'UTC';

CREATE OR REPLACE VIEW readings AS
SELECT time, clock, instrument, quantity, value, value_text, unit, quality, seq, event, tags, site, device, dt,
       -- The journal that a row comes from: with `seq` it names the row for ever.
       regexp_extract(filename, '([^/]+)-[0-9]{12,}-[0-9]{12,}[.]parquet$', 1) AS epoch
FROM read_parquet(getvariable('lake') || '/readings/v1/*/*/*/*.parquet', filename = true, hive_partitioning = true,
                  -- A site called 2026-11-22 is still a text.
                  hive_types = {site: VARCHAR, device: VARCHAR, dt: VARCHAR})
WHERE site = coalesce(getvariable('site'), site)
  AND device = coalesce(getvariable('device'), device)
  AND dt >= coalesce(getvariable('from_day'), dt)
  AND dt <= coalesce(getvariable('to_day'), dt);

CREATE OR REPLACE VIEW manifests AS
SELECT *, regexp_extract(key, '/dt=([0-9-]+)/', 1) AS day   -- of reading; `dt` is the day of upload, which may be weeks later
FROM read_json(getvariable('lake') || '/manifests/v1/*/*/*/manifest.ndjson.zst', format = 'newline_delimited',
               hive_partitioning = true, hive_types = {site: VARCHAR, device: VARCHAR, dt: VARCHAR},
               -- Named and not guessed: a lake without a gap has nothing that says what a gap looks like.
               columns = {v: 'INT', key: 'VARCHAR', bytes: 'BIGINT', sha256: 'VARCHAR', format: 'VARCHAR', rows: 'BIGINT',
                          epoch: 'VARCHAR', first: 'BIGINT', next: 'BIGINT', time_min: 'TIMESTAMPTZ', time_max: 'TIMESTAMPTZ',
                          instruments: 'STRUCT(instrument VARCHAR, quantity VARCHAR, count BIGINT, min DOUBLE, max DOUBLE, mean DOUBLE)[]',
                          quality: 'MAP(VARCHAR, BIGINT)',
                          gaps: 'STRUCT(seq BIGINT, reason VARCHAR, count BIGINT, lost_first BIGINT, lost_next BIGINT,
                                        lost_from TIMESTAMPTZ, lost_to TIMESTAMPTZ)[]',
                          clock: 'MAP(VARCHAR, BIGINT)', agent: 'VARCHAR', config_revision: 'VARCHAR', tags: 'MAP(VARCHAR, VARCHAR)',
                          uploaded_at: 'TIMESTAMPTZ', prev: 'VARCHAR'})
WHERE site = coalesce(getvariable('site'), site)
  AND device = coalesce(getvariable('device'), device)
  AND day >= coalesce(getvariable('from_day'), day)
  AND day <= coalesce(getvariable('to_day'), day);
