-- Packets in no complete row:   FROM losses();
CREATE OR REPLACE MACRO losses() AS TABLE
    SELECT gateway, window_start, interface, direction, packets_overflow, packets_remainder, packets_not_ip, packets_malformed, packets_excluded
    FROM ledger WHERE packets_seen <> packets_flows ORDER BY ALL;
-- Gaps in counting and their reasons, on interfaces that flowlog counted within a day before a gap or at any time
-- after it; files of version 1 have no reasons:
--                               FROM gaps();
CREATE OR REPLACE MACRO gaps() AS TABLE
    SELECT gateway, interface, gap_start, gap_end, gap_reason
    FROM (SELECT DISTINCT gateway, interface, gap_start, gap_end, gap_reason FROM ledger WHERE gap_start IS NOT NULL)
    JOIN (SELECT gateway, interface, max(observed_end) AS last_observed FROM ledger WHERE observed_start < observed_end GROUP BY ALL) USING (gateway, interface)
    WHERE last_observed >= gap_start - INTERVAL 1 DAY
    ORDER BY ALL;

-- The times without a gap, of the rows that some SQL finds: gateway, source, instance, observed_start, observed_end,
-- gap_start, gap_end.
CREATE OR REPLACE MACRO without_gaps(sql) AS TABLE
    WITH observed AS (FROM query(sql)),
    points AS (
        SELECT gateway, source, instance, unnest([observed_start, observed_end]) AS instant, unnest([1, -1]) AS counted, unnest([0, 0]) AS missing
        FROM (SELECT DISTINCT gateway, source, instance, observed_start, observed_end FROM observed WHERE observed_start < observed_end)
        UNION ALL SELECT gateway, source, instance, unnest([gap_start, gap_end]), unnest([0, 0]), unnest([1, -1])
        FROM (SELECT DISTINCT gateway, source, instance, gap_start, gap_end FROM observed WHERE gap_start < gap_end)),
    steps AS (SELECT gateway, source, instance, instant, sum(counted) AS counted, sum(missing) AS missing FROM points GROUP BY ALL),
    spans AS (
        SELECT gateway, source, instance, instant AS span_start, lead(instant) OVER place AS span_end,
            sum(counted) OVER place > 0 AND sum(missing) OVER place = 0 AS is_recorded
        FROM steps WINDOW place AS (PARTITION BY gateway, source, instance ORDER BY instant)),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE NOT is_recorded) OVER (PARTITION BY gateway, source, instance ORDER BY span_start) AS number FROM spans)
    SELECT gateway, source, instance, min(span_start) AS recorded_start, max(span_end) AS recorded_end
    FROM numbered WHERE is_recorded GROUP BY gateway, source, instance, number;
-- When each interface was counted, from the ledger rows of some folders.
CREATE OR REPLACE MACRO recorded_in(folders) AS TABLE
    SELECT gateway, instance AS interface, recorded_start, recorded_end FROM without_gaps(
        'SELECT gateway, ''flows'' AS source, interface AS instance, observed_start, observed_end, gap_start, gap_end FROM ledger_in(''' || folders || ''')');
-- When flowlog counted the flows of an interface, and when it looked at a source of sessions, without a gap; an empty
-- answer of another question is none only within these times. Without parentheses, coverage is the table of that name.
--                               FROM coverage();
CREATE OR REPLACE MACRO coverage() AS TABLE
    FROM (SELECT gateway, 'flows' AS source, interface AS instance, recorded_start, recorded_end FROM recorded_in('*/*')
        UNION ALL FROM without_gaps('SELECT gateway, source, instance, gap_start, gap_end,
            /* Between the last report of a window and the first one of the next is no gap. */
            CASE WHEN lag(window_end) OVER looks = window_start THEN window_start ELSE observed_start END AS observed_start,
            CASE WHEN lead(window_start) OVER looks = window_end THEN window_end ELSE observed_end END AS observed_end
            FROM coverage WINDOW looks AS (PARTITION BY gateway, source, instance, reports = 0 ORDER BY window_start)'))
    ORDER BY ALL;
-- Whether flowlog counted at an instant, on each interface that it counted within a day of it:
--                               FROM recorded_at(TIMESTAMPTZ '2026-11-22 09:57:31+00');
-- An interface that is not in the answer, and an error that there is no file, mean: not recorded. What is not in
-- the store yet, such as the open window, is not recorded either.
CREATE OR REPLACE MACRO recorded_at(instant, outage := '1 day') AS TABLE
    WITH near AS (
        FROM ledger_in(folders_between(in_utc(instant) - INTERVAL 1 DAY, in_utc(instant) + outage::INTERVAL))
        WHERE folder_is_between(date, hour, in_utc(instant) - INTERVAL 1 DAY, in_utc(instant) + outage::INTERVAL)),
    places AS (
        SELECT gateway, interface,
            max_by({'observed_start': observed_start, 'observed_end': observed_end, 'clock_error_ms': clock_error_ms}, observed_start)
                FILTER (WHERE observed_start <= instant::TIMESTAMPTZ AND observed_end > instant::TIMESTAMPTZ) AS counted,
            any_value({'gap_start': gap_start, 'gap_end': gap_end, 'gap_reason': gap_reason})
                FILTER (WHERE gap_start <= instant::TIMESTAMPTZ AND gap_end > instant::TIMESTAMPTZ) AS gap
        FROM near GROUP BY gateway, interface)
    SELECT gateway, interface, counted IS NOT NULL AND gap IS NULL AS recorded, counted.observed_start, counted.observed_end,
        gap.gap_start, gap.gap_end, gap.gap_reason, counted.clock_error_ms
    FROM places ORDER BY gateway, interface;
-- The volume of a member, or of all members with a prefix, by steps of time; a flow counts where its row began, and a
-- row covers up to five minutes:
--                               FROM rate('10.0.0.7', '5 minutes', '2026-11-22 00:00:00+00', '2026-11-23 00:00:00+00');
-- `recorded` is the share of a step in which flowlog counted. Zeros are real; a step that is not recorded has no numbers.
CREATE OR REPLACE MACRO rate(member, step, since := NULL, until := NULL, outage := '1 hour') AS TABLE
    WITH found AS (
        FROM flows_of_address(folders_within(since, until, outage), 'member_ip', member)
        WHERE folder_is_within(date, hour, since, until, outage)
            AND (since IS NULL OR flow_start >= since::TIMESTAMPTZ) AND (until IS NULL OR flow_start < until::TIMESTAMPTZ)),
    recorded AS (FROM recorded_in(folders_within(since, until, outage))),
    period AS (
        SELECT coalesce(since::TIMESTAMPTZ, time_bucket(step::INTERVAL, min(first))) AS first, coalesce(until::TIMESTAMPTZ, max(last)) AS last
        FROM (SELECT recorded_start AS first, recorded_end AS last FROM recorded UNION ALL SELECT flow_start, flow_end + INTERVAL 1 MILLISECOND FROM found)),
    starts AS (SELECT last, unnest(generate_series(first, last - INTERVAL 1 MICROSECOND, step::INTERVAL)) AS step_start FROM period),
    steps AS (SELECT step_start, least(last, lead(step_start, 1, last) OVER (ORDER BY step_start)) AS step_end FROM starts),
    places AS (
        SELECT DISTINCT gateway, interface FROM found
        UNION ALL SELECT NULL, NULL WHERE NOT EXISTS (FROM found)),
    counted AS (
        SELECT gateway, interface, step_start, sum(packets_up)::BIGINT AS packets_up, sum(bytes_up)::BIGINT AS bytes_up,
            sum(packets_down)::BIGINT AS packets_down, sum(bytes_down)::BIGINT AS bytes_down
        FROM found ASOF JOIN steps ON flow_start >= step_start GROUP BY ALL),
    of_places AS (
        SELECT gateway, interface, step_start, coalesce(sum(epoch_us(least(recorded_end, step_end)) - epoch_us(greatest(recorded_start, step_start)))
            FILTER (WHERE recorded_start < step_end AND recorded_end > step_start), 0) / any_value(epoch_us(step_end) - epoch_us(step_start)) AS share
        FROM recorded CROSS JOIN steps GROUP BY ALL),
    shares AS (
        FROM of_places UNION ALL SELECT NULL, NULL, step_start, min(share) FROM of_places GROUP BY step_start)
    SELECT p.gateway, p.interface, s.step_start, s.step_end, coalesce(share, 0) AS recorded,
        CASE WHEN share > 0 OR bytes_up IS NOT NULL THEN coalesce(packets_up, 0) END AS packets_up,
        CASE WHEN share > 0 OR bytes_up IS NOT NULL THEN coalesce(bytes_up, 0) END AS bytes_up,
        CASE WHEN share > 0 OR bytes_up IS NOT NULL THEN coalesce(packets_down, 0) END AS packets_down,
        CASE WHEN share > 0 OR bytes_up IS NOT NULL THEN coalesce(bytes_down, 0) END AS bytes_down
    FROM places p CROSS JOIN steps s
        LEFT JOIN counted c ON c.gateway = p.gateway AND c.interface = p.interface AND c.step_start = s.step_start
        LEFT JOIN shares h ON h.gateway IS NOT DISTINCT FROM p.gateway AND h.interface IS NOT DISTINCT FROM p.interface AND h.step_start = s.step_start
    ORDER BY ALL;
