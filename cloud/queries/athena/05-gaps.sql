-- What was lost on the devices, why, and when? From the manifests alone. The reasons are those of docs/SEMANTICS.md. A device
-- may lose what the lake has had before; what the lake lacks is the question of 04-completeness.sql.
SELECT device, gap.reason, count(*) AS gaps, sum(gap.count) AS records,
       min(from_iso8601_timestamp(gap.lost_from)) AS lost_from, max(from_iso8601_timestamp(gap.lost_to)) AS lost_to
FROM manifests
CROSS JOIN UNNEST(gaps) AS gap (seq, reason, count, lost_first, lost_next, lost_from, lost_to)
WHERE site = 'lac-vert' AND device IN ('pond-gw-1') AND dt >= '2026-11-01'
  AND regexp_extract(key, '/dt=([0-9-]+)/', 1) BETWEEN '2026-11-01' AND '2026-11-30'
GROUP BY device, gap.reason
ORDER BY device, gap.reason;
