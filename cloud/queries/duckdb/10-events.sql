-- What happened? Alarms and their ends, instruments that fell silent and came back, losses. The facts of an event are
-- JSON in `value_text`; the commonest stand beside it.
SELECT time, device, event, instrument, quantity, CAST(value_text ->> '$.value' AS DOUBLE) AS value,
       CAST(value_text ->> '$.below' AS DOUBLE) AS below, CAST(value_text ->> '$.above' AS DOUBLE) AS above,
       value_text ->> '$.reason' AS reason, value_text AS facts
FROM readings
WHERE event IN ('alarm', 'clear', 'instrument-down', 'instrument-up', 'gap')
ORDER BY time, device, epoch, seq;
