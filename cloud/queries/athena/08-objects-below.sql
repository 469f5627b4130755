-- Which objects hold oxygen below 4 mg/L? From the manifests alone: nothing is opened that does not matter.
SELECT key, series.instrument, series.lowest, rows, bytes,
       from_iso8601_timestamp(time_min) AS time_min, from_iso8601_timestamp(time_max) AS time_max
FROM manifests
CROSS JOIN UNNEST(instruments) AS series (instrument, quantity, unit, count, lowest, highest, mean)
WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt >= '2026-11-01'
  AND regexp_extract(key, '/dt=([0-9-]+)/', 1) BETWEEN '2026-11-01' AND '2026-11-30'
  AND series.quantity = 'dissolved_oxygen' AND series.unit = 'mg/L' AND series.lowest < 4.0
ORDER BY key, series.instrument;
