-- How good is the data? Readings by QARTOD quality, an instrument, quantity and day; `good` is the share, in percent, that
-- no check has doubted (pass, or nothing to check against).
SELECT dt AS day, device, instrument, quantity, count(*) AS readings,
       count_if(quality = 1) AS pass, count_if(quality = 2) AS not_evaluated, count_if(quality = 3) AS suspect,
       count_if(quality = 4) AS fail, count_if(quality = 9) AS missing,
       100.0E0 * count_if(quality <= 2) / count(*) AS good
FROM readings
WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
  AND event IS NULL
GROUP BY dt, device, instrument, quantity
ORDER BY day, device, instrument, quantity;
