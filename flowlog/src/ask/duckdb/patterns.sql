-- Remote addresses that members contacted on a day of UTC, and nobody in the `days` before it:
--                               FROM new_destinations(DATE '2026-11-22');
-- `compared_days` is the number of those days that the store has; where it is 0, every address is new.
CREATE OR REPLACE MACRO new_destinations(day, days := 30) AS TABLE
    WITH known AS (
        SELECT remote_ip, date FROM flows_in(folders_between(day::DATE - to_days(days::INT), day::DATE::TIMESTAMP))
        WHERE date >= day::DATE - days::INT AND date < day::DATE),
    contacted AS (FROM flows_in(folders_of(day::DATE)) WHERE initiator = 'member' AND remote_ip IS NOT NULL)
    SELECT remote_ip, family, min(flow_start) AS first_seen,
        min((flow_start, gateway, interface, member_ip))[2] AS first_gateway, min((flow_start, gateway, interface, member_ip))[3] AS first_interface,
        min((flow_start, gateway, interface, member_ip))[4] AS first_member_ip,
        count(DISTINCT (gateway, interface, member_ip)) AS members, count(*) AS flows,
        list_sort(list(DISTINCT protocol_name || coalesce('/' || remote_port, ''))) AS services,
        sum(bytes_up)::BIGINT AS bytes_up, sum(bytes_down)::BIGINT AS bytes_down, (SELECT count(DISTINCT date) FROM known) AS compared_days
    FROM contacted WHERE remote_ip NOT IN (SELECT remote_ip FROM known WHERE remote_ip IS NOT NULL)
    GROUP BY remote_ip, family ORDER BY first_seen, remote_ip;
-- Who tried many addresses, or many ports of one address, on a day of UTC, and had no answer from `at_least` of them:
--                               FROM scans(DATE '2026-11-22');
-- No answer is no packet, or only resets of TCP. `scanner_side` is the side of the scanner: member or remote.
CREATE OR REPLACE MACRO scans(day, at_least := 100) AS TABLE
    WITH tried AS (
        SELECT gateway, interface, initiator AS scanner_side, protocol, protocol_name, flow_start, flow_end,
            CASE initiator WHEN 'member' THEN member_ip ELSE remote_ip END AS scanner_ip,
            CASE initiator WHEN 'member' THEN remote_ip ELSE member_ip END AS target_ip,
            CASE initiator WHEN 'member' THEN remote_port ELSE member_port END AS target_port,
            CASE initiator WHEN 'member' THEN packets_up ELSE packets_down END AS packets,
            CASE initiator WHEN 'member' THEN packets_down ELSE packets_up END AS answers,
            CASE initiator WHEN 'member' THEN tcp_flags_down ELSE tcp_flags_up END AS answered_flags
        FROM flows_in(folders_of(day::DATE))
        WHERE partial IS NULL AND remote_ip IS NOT NULL AND coalesce(icmp_type IN (8, 128), true)),
    unanswered AS (FROM tried WHERE answers = 0 OR protocol = 6 AND answered_flags IN (4, 20))
    SELECT gateway, interface, scanner_side, scanner_ip, 'addresses' AS scanned, protocol, protocol_name, NULL AS target_ip, target_port,
        count(DISTINCT target_ip) AS targets, sum(packets)::BIGINT AS packets, min(flow_start) AS first_seen, max(flow_end) AS last_seen
    FROM unanswered GROUP BY ALL HAVING count(DISTINCT target_ip) >= at_least
    UNION ALL BY NAME
    SELECT gateway, interface, scanner_side, scanner_ip, 'ports' AS scanned, protocol, protocol_name, target_ip, NULL AS target_port,
        count(DISTINCT target_port) AS targets, sum(packets)::BIGINT AS packets, min(flow_start) AS first_seen, max(flow_end) AS last_seen
    FROM unanswered WHERE target_port IS NOT NULL GROUP BY ALL HAVING count(DISTINCT target_port) >= at_least
    ORDER BY targets DESC, first_seen, gateway, interface, scanner_ip, scanned, target_ip, target_port;
