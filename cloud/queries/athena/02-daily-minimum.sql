-- The lowest oxygen of each day and probe, and when that was. Days are UTC.
WITH ranked AS (
  SELECT dt AS day, device, instrument, value AS lowest, unit, time,
         row_number() OVER (PARTITION BY dt, device, instrument ORDER BY value, time, seq) AS place
  FROM readings
  WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    AND quantity = 'dissolved_oxygen' AND value IS NOT NULL AND quality <= 2
)
SELECT day, device, instrument, lowest, unit, time
FROM ranked
WHERE place = 1
ORDER BY day, device, instrument;
