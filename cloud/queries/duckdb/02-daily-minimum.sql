-- The lowest oxygen of each day and probe, and when that was. Days are UTC.
SELECT dt AS day, device, instrument, value AS lowest, unit, time
FROM readings
WHERE quantity = 'dissolved_oxygen' AND value IS NOT NULL AND quality <= 2
QUALIFY row_number() OVER (PARTITION BY dt, device, instrument ORDER BY value, time, seq) = 1
ORDER BY day, device, instrument;
