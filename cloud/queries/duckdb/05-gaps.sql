-- What was lost on the devices, why, and when? From the manifests alone. The reasons are those of docs/SEMANTICS.md. A device
-- may lose what the lake has had before; what the lake lacks is the question of 04-completeness.sql.
SELECT device, gap.reason, count(*) AS gaps, sum(gap.count) AS records, min(gap.lost_from) AS lost_from, max(gap.lost_to) AS lost_to
FROM (SELECT device, unnest(gaps) AS gap FROM manifests)
GROUP BY device, gap.reason
ORDER BY device, gap.reason;
