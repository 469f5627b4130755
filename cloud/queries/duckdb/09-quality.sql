-- How good is the data? Readings by QARTOD quality, an instrument, quantity and day; `good` is the share, in percent, that
-- no check has doubted (pass, or nothing to check against).
SELECT dt AS day, device, instrument, quantity, count(*) AS readings,
       count(*) FILTER (quality = 1) AS pass, count(*) FILTER (quality = 2) AS not_evaluated, count(*) FILTER (quality = 3) AS suspect,
       count(*) FILTER (quality = 4) AS fail, count(*) FILTER (quality = 9) AS missing,
       100.0 * count(*) FILTER (quality <= 2) / count(*) AS good
FROM readings
WHERE event IS NULL
GROUP BY day, device, instrument, quantity
ORDER BY day, device, instrument, quantity;
