-- Is a day complete? From the manifests alone, for every day from the first to the last that a device has or lost anything of.
-- An object answers for the positions `first` to `next`, and the next object goes on there.
--   lost         what is not in the lake, and a gap says so: on the day of the loss, or where that is not known on which it was told
--   uncounted    gaps that can not say how many were lost
--   unexplained  positions that are in no object and no gap: always 0, or something was taken out of the lake;
--                `tidegate lake verify` names it
WITH objects AS (
  SELECT device, epoch, day, rows, first, next, lag(next) OVER (PARTITION BY device, epoch ORDER BY first) AS expected
  FROM manifests
),
told AS (
  SELECT device, epoch, day, unnest(gaps, max_depth := 2) FROM manifests
),
holes AS (
  SELECT objects.device, coalesce(min(strftime(told.lost_from, '%Y-%m-%d')), objects.day) AS day, objects.first - expected AS positions,
         count(told.seq) AS gaps, sum(told.count) AS records, coalesce(min(told.count) = 0, false) AS is_uncounted
  FROM objects
  LEFT JOIN told ON told.device = objects.device AND told.epoch = objects.epoch
                AND told.lost_first < objects.first AND expected < told.lost_next
  WHERE objects.first > expected
  GROUP BY objects.device, objects.epoch, objects.day, objects.first, expected
),
losses AS (
  -- Numbering goes on far behind a damaged end: a hole may be larger than what was lost in it.
  SELECT device, day, CASE WHEN gaps > 0 THEN least(positions, records) ELSE 0 END AS lost,
         CASE WHEN is_uncounted THEN 1 ELSE 0 END AS uncounted, CASE WHEN gaps = 0 THEN positions ELSE 0 END AS unexplained
  FROM holes
  UNION ALL   -- thinned within an object
  SELECT device, day, next - first - rows, 0, 0 FROM objects
  UNION ALL   -- lost before it had a position
  SELECT device, coalesce(strftime(lost_from, '%Y-%m-%d'), day), count, CASE WHEN count = 0 THEN 1 ELSE 0 END, 0
  FROM told WHERE lost_first IS NULL
),
days AS (
  SELECT device, strftime(unnest(generate_series(min(day)::DATE, max(day)::DATE, INTERVAL 1 DAY)), '%Y-%m-%d') AS day
  FROM (SELECT device, day FROM objects UNION ALL SELECT device, day FROM losses) GROUP BY device
),
there AS (
  SELECT device, day, count(*) AS objects, sum(rows) AS rows FROM objects GROUP BY device, day
),
away AS (
  SELECT device, day, sum(lost) AS lost, sum(uncounted) AS uncounted, sum(unexplained) AS unexplained
  FROM losses GROUP BY device, day
)
SELECT device, day, coalesce(objects, 0) AS objects, coalesce(rows, 0) AS rows, coalesce(lost, 0) AS lost,
       coalesce(uncounted, 0) AS uncounted, coalesce(unexplained, 0) AS unexplained,
       CASE WHEN coalesce(uncounted, 0) = 0
            THEN 100.0 * rows / (rows + coalesce(lost, 0) + coalesce(unexplained, 0)) END AS percent
FROM days
LEFT JOIN there USING (device, day)
LEFT JOIN away USING (device, day)
ORDER BY device, day;
