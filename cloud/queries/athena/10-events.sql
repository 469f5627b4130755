-- What happened? Alarms and their ends, instruments that fell silent and came back, losses. The facts of an event are
-- JSON in `value_text`; the commonest stand beside it.
SELECT time, device, event, instrument, quantity, CAST(json_extract_scalar(value_text, '$.value') AS double) AS value,
       CAST(json_extract_scalar(value_text, '$.below') AS double) AS below,
       CAST(json_extract_scalar(value_text, '$.above') AS double) AS above,
       json_extract_scalar(value_text, '$.reason') AS reason, value_text AS facts
FROM readings
WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt BETWEEN '2026-11-01' AND '2026-11-30'
  AND event IN ('alarm', 'clear', 'instrument-down', 'instrument-up', 'gap')
ORDER BY time, device, regexp_extract("$path", '([^/]+)-[0-9]+-[0-9]+[.]parquet$', 1), seq;
