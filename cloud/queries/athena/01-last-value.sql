-- What did each instrument say last, and in which pond is it? Only values that no check has doubted.
WITH ranked AS (
  SELECT json_extract_scalar(tags, '$.pond') AS pond, device, instrument, quantity, value, unit, time, clock,
         row_number() OVER (PARTITION BY device, instrument, quantity
                            ORDER BY time DESC, regexp_extract("$path", '([^/]+)-[0-9]+-[0-9]+[.]parquet$', 1), seq DESC) AS place
  FROM readings
  WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
    AND value IS NOT NULL AND quality <= 2
)
SELECT pond, device, instrument, quantity, value, unit, time, clock
FROM ranked
WHERE place = 1
ORDER BY pond, device, instrument, quantity;
