-- What came late? Objects whose first reading had waited for more than two hours when they were there. From the manifests
-- alone. A batch of an hour (`batch.max_age`) is no delay.
SELECT regexp_extract(key, '/dt=([0-9-]+)/', 1) AS day, device, key, rows,
       from_iso8601_timestamp(time_min) AS time_min, from_iso8601_timestamp(uploaded_at) AS uploaded_at,
       date_diff('millisecond', from_iso8601_timestamp(time_min), from_iso8601_timestamp(uploaded_at)) / 3600000.0E0 AS hours
FROM manifests
WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt >= '2026-11-01'
  AND regexp_extract(key, '/dt=([0-9-]+)/', 1) BETWEEN '2026-11-01' AND '2026-11-30'
  AND from_iso8601_timestamp(uploaded_at) > from_iso8601_timestamp(time_min) + INTERVAL '2' HOUR
ORDER BY hours DESC, key;
