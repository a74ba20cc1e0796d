-- Whose an address was. A row of sessions claims the time from held_start to held_end, and beyond it is possible by the
-- slack on either side.
-- The first day that is kept of a gateway.
CREATE OR REPLACE MACRO first_day_of(gateway) AS map_extract(getvariable('flowlog_sessions_first')::MAP(VARCHAR, DATE), gateway)[1];
-- The folders of days, and the first one of each gateway, so that there is one where no session was on these days.
CREATE OR REPLACE MACRO folders_of_days(first, last) AS
    CASE WHEN first IS NULL OR last IS NULL THEN error('an instant is missing (NULL)')
        ELSE pattern_of(list_concat(generate_series(date_trunc('day', first), last, INTERVAL 1 DAY), map_values(getvariable('flowlog_sessions_first')::MAP(VARCHAR, DATE))::TIMESTAMP[]), 'date=%Y-%m-%d', 16) END;
-- Who had an address at an instant: each session that may have held it within `slack` and the error of the gateway's clock.
--                               FROM who_had('10.0.0.7', TIMESTAMPTZ '2026-11-22 09:57:31+00');
-- `certainty` is certain where the tunnel was up and the address was held for all of this time, else possible. `basis` is
-- session_start where the rows of the instant have expired, and a session of the first day that is kept proves its
-- beginning. Several subscribers are an ambiguous answer; nobody is an answer only where coverage() has the instant.
CREATE OR REPLACE MACRO who_had(ip, instant, slack := '1 second') AS TABLE
    WITH near AS (
        SELECT (gateway, realm, source, instance, session_id, peer, inner_prefix) AS holder,
            *, held_start < held_end AS is_certain, held_start - to_milliseconds(start_slack_ms) AS possible_start, held_end + to_milliseconds(end_slack_ms) AS possible_end,
            first_day_of(gateway)::TIMESTAMP AT TIME ZONE 'UTC' AS first_day
        FROM query(sessions_with(ip, folders_of_days(in_utc(instant) - slack::INTERVAL - INTERVAL 16 SECOND, in_utc(instant) + slack::INTERVAL + INTERVAL 16 SECOND)))
        WHERE date BETWEEN (in_utc(instant) - slack::INTERVAL - INTERVAL 16 SECOND)::DATE AND (in_utc(instant) + slack::INTERVAL + INTERVAL 16 SECOND)::DATE
            OR date = first_day_of(gateway) AND date > (in_utc(instant) + slack::INTERVAL + INTERVAL 16 SECOND)::DATE),
    -- Slices of a row, cut at midnight, and certain times of one endpoint that adjoin are one claim.
    placed AS (
        SELECT *, row_number() OVER claim AS place,
            coalesce(is_certain AND held_start <= max(held_end) FILTER (WHERE is_certain) OVER before
                OR NOT (is_certain AND lag(is_certain) OVER claim) AND possible_start <= max(possible_end) OVER before, false) AS goes_on,
            coalesce(arg_max(subscriber, held_start) FILTER (WHERE held_start <= instant::TIMESTAMPTZ) OVER (PARTITION BY holder, state, segment),
                arg_min(subscriber, held_start) OVER (PARTITION BY holder, state, segment)) AS named
        FROM near
        WINDOW claim AS (PARTITION BY holder, state, segment, outer_ip, outer_port ORDER BY held_start, held_end, date),
            before AS (PARTITION BY holder, state, segment, outer_ip, outer_port ORDER BY held_start, held_end, date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE NOT goes_on) OVER (PARTITION BY holder, state, segment, outer_ip, outer_port ORDER BY place) AS number FROM placed),
    rows_of_claims AS (
        SELECT holder, state, segment, outer_ip, outer_port, any_value(named) AS subscriber, any_value(first_day) AS first_day, any_value(has_all) AS has_all,
            any_value(session_start) AS session_start, any_value(session_start_slack_ms) AS session_start_slack_ms,
            coalesce(min(held_start) FILTER (WHERE is_certain), arg_max(held_start, place)) AS claim_start,
            coalesce(max(held_end) FILTER (WHERE is_certain), arg_max(held_end, place)) AS claim_end,
            min(possible_start) AS begins, max(possible_end) AS ends, max(clock_error_ms) AS clock_error_ms,
            arg_max(continues, place) AS continues, arg_max(coalesce(end_reason, ''), place) AS end_reason
        FROM numbered GROUP BY holder, state, segment, outer_ip, outer_port, number),
    -- Where the days before have expired, the first claim of a session goes back to its beginning.
    known AS (
        SELECT *, row_number() OVER (PARTITION BY holder ORDER BY claim_start, claim_end) = 1 AND session_start < first_day AND begins >= first_day
                AND instant::TIMESTAMPTZ - slack::INTERVAL - to_milliseconds(clock_error_ms) < first_day AS is_before
        FROM rows_of_claims),
    claims AS (
        SELECT * REPLACE (CASE WHEN is_before AND claim_start = first_day AND claim_start < claim_end THEN session_start ELSE claim_start END AS claim_start,
                CASE WHEN is_before THEN session_start - to_milliseconds(session_start_slack_ms) ELSE begins END AS begins,
                CASE WHEN is_before AND segment > 0 THEN NULL ELSE outer_ip END AS outer_ip, CASE WHEN is_before AND segment > 0 THEN NULL ELSE outer_port END AS outer_port)
        FROM known),
    asked AS (
        SELECT *, max(clock_error_ms) OVER (PARTITION BY holder) AS worst_error_ms FROM claims
        WHERE begins < ends AND begins <= instant::TIMESTAMPTZ + slack::INTERVAL + to_milliseconds(clock_error_ms)
            AND ends > instant::TIMESTAMPTZ - slack::INTERVAL - to_milliseconds(clock_error_ms)),
    -- The times in which the tunnel of a session was certainly up, whatever its endpoint; and in which it certainly held its
    -- prefix, whether the tunnel was up or not.
    ups AS (
        SELECT holder, is_of_tunnels, claim_start, claim_end, coalesce(claim_start <= max(claim_end) OVER before
                OR arg_max(end_reason, claim_end) OVER before = 'roamed' AND arg_max(ends, claim_end) OVER before >= claim_start AND begins <= max(claim_end) OVER before, false) AS goes_on
        FROM claims, (VALUES (true), (false)) AS kinds(is_of_tunnels) WHERE (state = 'tunnel' OR NOT is_of_tunnels) AND claim_start < claim_end
        WINDOW before AS (PARTITION BY holder, is_of_tunnels ORDER BY claim_start, claim_end ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    counted AS (
        SELECT *, count(*) FILTER (WHERE NOT goes_on) OVER (PARTITION BY holder, is_of_tunnels ORDER BY claim_start, claim_end ROWS UNBOUNDED PRECEDING) AS number FROM ups),
    spans AS (SELECT holder, is_of_tunnels, min(claim_start) AS span_start, max(claim_end) AS span_end FROM counted GROUP BY holder, is_of_tunnels, number),
    around AS (
        SELECT holder, is_of_tunnels FROM spans s WHERE EXISTS (FROM asked a WHERE a.holder = s.holder
            AND span_start <= instant::TIMESTAMPTZ - slack::INTERVAL - to_milliseconds(worst_error_ms)
            AND span_end > instant::TIMESTAMPTZ + slack::INTERVAL + to_milliseconds(worst_error_ms))),
    -- Of prefixes within each other the longest one has the address, as in the gateway's own table.
    prefixes AS (
        SELECT DISTINCT (holder[1], holder[2], holder[3], holder[4]) AS place, split_part(holder[7], '/', 2)::INT AS bits, EXISTS (FROM around h WHERE h.holder = a.holder) AS is_held FROM asked a WHERE has_all)
    SELECT subscriber, holder[6] AS peer,
        CASE WHEN state = 'tunnel' AND EXISTS (FROM around t WHERE t.holder = a.holder AND is_of_tunnels)
                AND NOT EXISTS (FROM prefixes p WHERE p.place = (holder[1], holder[2], holder[3], holder[4]) AND bits > split_part(holder[7], '/', 2)::INT) THEN 'certain' ELSE 'possible' END AS certainty,
        state, CASE WHEN is_before THEN 'session_start' ELSE 'row' END AS basis, holder[1] AS gateway, holder[2] AS realm, holder[3] AS source, holder[4] AS instance,
        holder[5] AS session_id, segment, holder[7] AS inner_prefix, outer_ip, outer_port, claim_start AS held_start, claim_end AS held_end,
        greatest(date_diff('millisecond', begins, claim_start), 0) AS start_slack_ms, greatest(date_diff('millisecond', claim_end, ends), 0) AS end_slack_ms, continues
    FROM asked a WHERE NOT EXISTS (FROM prefixes p WHERE is_held AND p.place = (holder[1], holder[2], holder[3], holder[4]) AND bits > split_part(holder[7], '/', 2)::INT)
    ORDER BY certainty, subscriber, peer, gateway, source, instance, session_id, segment, held_start;
-- The sessions of a subscriber, or of a peer whom no subscriber was named for:
--                               FROM sessions_of('m-0007', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO sessions_of(subscriber, day := NULL) AS TABLE
    FROM sessions_in(CASE WHEN day IS NULL THEN '*' ELSE folders_of_days(day::DATE::TIMESTAMP, day::DATE::TIMESTAMP) END) s
    WHERE (s.subscriber = subscriber OR s.peer = subscriber) AND (day IS NULL OR s.date = day::DATE)
    ORDER BY s.held_start, s.gateway, s.session_id, s.segment, s.inner_first;
-- The flows of a subscriber on a day of UTC: those of the addresses that the subscriber's sessions held meanwhile.
--                               FROM flows_of_subscriber('m-0007', DATE '2026-11-22');
-- `certainty` is certain where a tunnel of the subscriber was up for all of the flow's time, else possible.
CREATE OR REPLACE MACRO flows_of_subscriber(subscriber, day) AS TABLE
    WITH own AS (
        FROM sessions_in(folders_of_days(day::DATE - INTERVAL 1 DAY, day::DATE::TIMESTAMP)) s
        WHERE (s.subscriber = subscriber OR s.peer = subscriber) AND s.date >= day::DATE - 1 AND s.date <= day::DATE),
    -- Whichever session and endpoint: the tunnels of an address, joined.
    edges AS (
        SELECT *, max(held_end) OVER (PARTITION BY gateway, inner_prefix ORDER BY held_start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until_then
        FROM own WHERE state = 'tunnel' AND held_start < held_end),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE held_start > until_then) OVER (PARTITION BY gateway, inner_prefix ORDER BY date, held_start, held_end) AS number FROM edges),
    tunnels AS (
        SELECT gateway, inner_prefix, min(held_start) AS tunnel_start, max(held_end) AS tunnel_end FROM numbered GROUP BY gateway, inner_prefix, number),
    addresses AS (
        SELECT DISTINCT gateway, inner_prefix, inner_first, inner_last, held_start - to_milliseconds(start_slack_ms) AS possible_start,
            held_end + to_milliseconds(end_slack_ms) AS possible_end FROM own),
    -- Longer prefixes of others within these: their addresses are not the subscriber's.
    longer AS (
        SELECT DISTINCT o.gateway, o.inner_prefix, s.inner_first, s.inner_last, s.held_start, s.held_end,
            s.held_start - to_milliseconds(s.start_slack_ms) AS possible_start, s.held_end + to_milliseconds(s.end_slack_ms) AS possible_end
        FROM sessions_in(folders_of_days(day::DATE - INTERVAL 1 DAY, day::DATE::TIMESTAMP)) s JOIN own o
            ON s.gateway = o.gateway AND s.realm = o.realm AND s.source = o.source AND s.instance = o.instance AND contains(s.inner_prefix, ':') = contains(o.inner_prefix, ':')
            AND s.inner_first >= o.inner_first AND s.inner_last <= o.inner_last AND (s.inner_first > o.inner_first OR s.inner_last < o.inner_last)
        WHERE NOT coalesce(s.subscriber = subscriber OR s.peer = subscriber, false) AND s.date >= day::DATE - 1 AND s.date <= day::DATE),
    -- A single address is looked up; a wider prefix is compared with each IPv6 address, or each IPv4 one.
    found AS (
        SELECT DISTINCT f.*, a.inner_prefix FROM flows_in(folders_of(day::DATE)) f JOIN addresses a
            ON f.gateway = a.gateway AND f.member_ip = split_part(a.inner_prefix, '/', 1) AND f.flow_start < a.possible_end AND f.flow_end >= a.possible_start
            WHERE a.inner_first = a.inner_last
        UNION ALL
        SELECT DISTINCT f.*, a.inner_prefix FROM flows_in(folders_of(day::DATE)) f JOIN addresses a
            ON f.gateway = a.gateway AND contains(f.member_ip, ':') = contains(a.inner_prefix, ':')
            AND hex_of(f.member_ip) BETWEEN a.inner_first AND a.inner_last AND f.flow_start < a.possible_end AND f.flow_end >= a.possible_start
            WHERE a.inner_first <> a.inner_last),
    contested AS (
        SELECT f.gateway, f.inner_prefix, f.member_ip, f.flow_start, f.flow_end, bool_or(l.held_start <= f.flow_start AND l.held_end > f.flow_end) AS is_of_another
        FROM found f JOIN longer l ON l.gateway = f.gateway AND l.inner_prefix = f.inner_prefix
            AND hex_of(f.member_ip) BETWEEN l.inner_first AND l.inner_last AND f.flow_start < l.possible_end AND f.flow_end >= l.possible_start
        GROUP BY ALL)
    SELECT f.* EXCLUDE (inner_prefix), CASE WHEN c.is_of_another IS NULL AND EXISTS (FROM tunnels t WHERE t.gateway = f.gateway AND t.inner_prefix = f.inner_prefix
            AND t.tunnel_start <= f.flow_start AND t.tunnel_end > f.flow_end) THEN 'certain' ELSE 'possible' END AS certainty
    FROM found f LEFT JOIN contested c USING (gateway, inner_prefix, member_ip, flow_start, flow_end)
    WHERE NOT coalesce(c.is_of_another, false) ORDER BY flow_start, flow_end, gateway, interface, member_ip, protocol, remote_ip, remote_port, member_port;
