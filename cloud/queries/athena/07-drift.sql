-- How far are two probes of one pond apart, and does it grow? Their hourly means, day by day.
WITH hourly AS (
  SELECT dt AS day, device, unit, date_trunc('hour', time) AS hour,
         avg(CASE WHEN instrument = 'do-1' THEN value END) AS one, avg(CASE WHEN instrument = 'do-2' THEN value END) AS other
  FROM readings
  WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    AND quantity = 'dissolved_oxygen' AND instrument IN ('do-1', 'do-2') AND value IS NOT NULL AND quality <= 2
  GROUP BY 1, 2, 3, 4
)
SELECT day, device, unit, count(*) AS hours, avg(other - one) AS apart, max(abs(other - one)) AS most
FROM hourly
WHERE one IS NOT NULL AND other IS NOT NULL
GROUP BY day, device, unit
ORDER BY day, device, unit;
