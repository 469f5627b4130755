-- For how many hours was oxygen below 4 mg/L, a day and probe? A reading stands until the next one, but at most for an
-- hour: what nobody measured is not counted as bad, nor as good. `hours` is how much of the day was measured at all.
WITH ordered AS (
  SELECT dt AS day, device, instrument, value, time,
         lead(time) OVER (PARTITION BY device, instrument ORDER BY time, seq) AS until
  FROM readings
  WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    -- A probe may say umol/L, which is another number: 4 mg/L are 125 umol/L.
    AND quantity = 'dissolved_oxygen' AND unit = 'mg/L' AND value IS NOT NULL AND quality <= 2
),
spans AS (
  -- The very last reading stands for nothing yet.
  SELECT day, device, instrument, value,
         CASE WHEN until IS NOT NULL THEN least(date_diff('millisecond', time, until), 3600000) END / 3600000.0E0 AS hours
  FROM ordered
)
SELECT day, device, instrument, coalesce(sum(CASE WHEN value < 4.0 THEN hours END), 0.0E0) AS hours_below, sum(hours) AS hours
FROM spans
GROUP BY day, device, instrument
ORDER BY day, device, instrument;
