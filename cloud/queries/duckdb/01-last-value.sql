-- What did each instrument say last, and in which pond is it? Only values that no check has doubted.
SELECT tags ->> '$.pond' AS pond, device, instrument, quantity, value, unit, time, clock
FROM readings
WHERE value IS NOT NULL AND quality <= 2
QUALIFY row_number() OVER (PARTITION BY device, instrument, quantity ORDER BY time DESC, epoch, seq DESC) = 1
ORDER BY pond, device, instrument, quantity;
