-- The rows of a lake whose sink has `format = "parquet"`, which is the default. manifests.sql says what to set first.
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
