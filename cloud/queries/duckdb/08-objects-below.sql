-- Which objects hold oxygen below 4 mg/L? From the manifests alone: nothing is opened that does not matter.
SELECT key, series.instrument, series.min AS lowest, rows, bytes, time_min, time_max
FROM (SELECT *, unnest(instruments) AS series FROM manifests)
WHERE series.quantity = 'dissolved_oxygen' AND series.unit = 'mg/L' AND series.min < 4.0
ORDER BY key, series.instrument;
