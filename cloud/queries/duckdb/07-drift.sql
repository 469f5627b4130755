-- How far are two probes of one pond apart, and does it grow? Their hourly means, day by day.
WITH hourly AS (
  SELECT dt AS day, device, unit, time_bucket(INTERVAL 1 HOUR, time) AS hour,
         avg(value) FILTER (instrument = 'do-1') AS one, avg(value) FILTER (instrument = 'do-2') AS other
  FROM readings
  WHERE quantity = 'dissolved_oxygen' AND instrument IN ('do-1', 'do-2') AND value IS NOT NULL AND quality <= 2
  GROUP BY ALL
)
SELECT day, device, unit, count(*) AS hours, avg(other - one) AS apart, max(abs(other - one)) AS most
FROM hourly
WHERE one IS NOT NULL AND other IS NOT NULL
GROUP BY day, device, unit
ORDER BY day, device, unit;
