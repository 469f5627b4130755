-- What came late? Objects whose first reading had waited for more than two hours when they were there. From the manifests
-- alone. A batch of an hour (`batch.max_age`) is no delay.
SELECT day, device, key, rows, time_min, uploaded_at, date_diff('millisecond', time_min, uploaded_at) / 3600000.0 AS hours
FROM manifests
WHERE uploaded_at > time_min + INTERVAL 2 HOUR
ORDER BY hours DESC, key;
