-- The rows of a lake whose sink has `format = "ndjson"`, as readings.sql has them. manifests.sql says what to set first.
SET TimeZone = 'UTC';

CREATE OR REPLACE VIEW readings AS
SELECT CAST(line ->> '$.time' AS TIMESTAMPTZ) AS time, line ->> '$.clock' AS clock, line ->> '$.instrument' AS instrument,
       line ->> '$.quantity' AS quantity,
       CASE WHEN event IS NULL AND json_type(line, '$.value') <> 'VARCHAR' THEN CAST(line ->> '$.value' AS DOUBLE) END AS value,
       CASE WHEN event IS NOT NULL   -- what an event has left over are its facts
            THEN nullif(CAST(json_merge_patch(line, '{"seq": null, "epoch": null, "time": null, "clock": null, "event": null,
                                                     "instrument": null, "quantity": null}') AS VARCHAR), '{}')
            WHEN json_type(line, '$.value') = 'VARCHAR' THEN line ->> '$.value' END AS value_text,
       CASE WHEN event IS NULL THEN line ->> '$.unit' END AS unit,
       CAST(MAP {'pass': 1, 'not-evaluated': 2, 'suspect': 3, 'fail': 4, 'missing': 9}[line ->> '$.quality'] AS INT) AS quality,
       CAST(line ->> '$.seq' AS BIGINT) AS seq, event, CAST(line -> '$.tags' AS VARCHAR) AS tags, site, device, dt,
       line ->> '$.epoch' AS epoch
FROM (
  SELECT json AS line, json ->> '$.event' AS event, site, device, dt
  FROM read_ndjson_objects(getvariable('lake') || '/readings/v1/*/*/*/*.ndjson.zst', hive_partitioning = true,
                           hive_types = {site: VARCHAR, device: VARCHAR, dt: VARCHAR})
)
WHERE site = coalesce(getvariable('site'), site)
  AND device = coalesce(getvariable('device'), device)
  AND dt >= coalesce(getvariable('from_day'), dt)
  AND dt <= coalesce(getvariable('to_day'), dt);
