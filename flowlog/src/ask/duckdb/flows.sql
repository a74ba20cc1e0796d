-- Two gateways may have the same address: a member is an address behind an interface of a gateway. With `gateway` and
-- `interface` the answer is about these alone. An address may be a prefix: 10.0.0.0/8, 2001:db8::/32.
-- Members by volume:            FROM top_talkers(10);  FROM top_talkers(10, day := DATE '2026-11-22', gateway := 'gw-1');
CREATE OR REPLACE MACRO top_talkers(n, day := NULL, gateway := NULL, interface := NULL) AS TABLE
    SELECT f.gateway, f.interface, member_ip, sum(bytes_up + bytes_down)::BIGINT AS bytes, sum(packets_up + packets_down)::BIGINT AS packets, count(*) AS flows
    FROM flows_in(folders_of(day), gateway := gateway) f WHERE interface IS NULL OR f.interface = interface
    GROUP BY f.gateway, f.interface, member_ip ORDER BY bytes DESC, f.gateway, f.interface, member_ip LIMIT n;
-- Who talked to an address:     FROM who_talked_to('192.0.2.1', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO who_talked_to(address, day := NULL, gateway := NULL, interface := NULL) AS TABLE
    SELECT f.gateway, f.interface, member_ip, protocol, remote_port, min(flow_start) AS first_seen, max(flow_end) AS last_seen,
        sum(bytes_up)::BIGINT AS bytes_up, sum(bytes_down)::BIGINT AS bytes_down
    FROM flows_of_address(folders_of(day), 'remote_ip', address, gateway := gateway) f
    WHERE interface IS NULL OR f.interface = interface GROUP BY ALL
    ORDER BY first_seen, last_seen, f.gateway, f.interface, member_ip, protocol, remote_port;
-- What a member did:            FROM flows_of('10.0.0.7', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO flows_of(address, day := NULL) AS TABLE
    FROM flows_of_address(folders_of(day), 'member_ip', address)
    ORDER BY flow_start, flow_end, protocol, remote_ip, remote_port, member_port, gateway, interface;
-- Who used a remote address and port at an instant, or the address with any port, a second either way:
--                               FROM at_instant('192.0.2.1', 443, TIMESTAMPTZ '2026-11-22 09:57:31+00');
--                               FROM at_instant('192.0.2.1', TIMESTAMPTZ '2026-11-22 09:57:31+00');
-- A flow that was silent just then is not in the answer: ask conversations() too.
-- The instant cannot be a subquery: SET VARIABLE t = (SELECT ...), and at_instant(..., getvariable('t')).
-- DuckDB reads the hour of the instant and the next one. If the store has neither, flowlog recorded nothing then, or
-- the files have expired, and DuckDB may report that it finds no file. A row is in the hour of its window; but
-- counts of a time without a daemon are in the hour in which a daemon came back. After an outage of more
-- than an hour, add its length: at_instant(..., NULL, ..., outage := INTERVAL 5 HOUR). The ledger shows such an
-- outage: its rows have an observed_start before their window_start.
CREATE OR REPLACE MACRO rows_of_hours(address, port, instant, hours) AS TABLE
    FROM flows_of_address(folders_of_hours(hours), 'remote_ip', address)
    WHERE (port IS NULL OR remote_port = port) AND flow_start <= instant + INTERVAL 1 SECOND AND flow_end >= instant - INTERVAL 1 SECOND
        AND list_contains([date_part('hour', one) for one in hours], hour)
    ORDER BY flow_start, flow_end, member_ip, member_port, protocol, gateway, interface;
CREATE OR REPLACE MACRO at_instant
    (address, instant) AS TABLE
        (FROM rows_of_hours(address, NULL, instant::TIMESTAMPTZ, hours_between(in_utc(instant) - INTERVAL 1 SECOND, in_utc(instant) + INTERVAL '1:00:01'))),
    (address, port, instant, outage := '1 hour') AS TABLE
        (FROM rows_of_hours(address, port, instant::TIMESTAMPTZ, hours_between(in_utc(instant) - INTERVAL 1 SECOND, in_utc(instant) + INTERVAL 1 SECOND + outage::INTERVAL)));
-- All rows that were active from one instant until before another, such as a day of 25 hours; in no order:
--                               FROM flows_between('2026-10-25 00:00:00 Europe/Brussels', '2026-10-26 00:00:00 Europe/Brussels');
CREATE OR REPLACE MACRO flows_between(since, until, outage := '1 hour') AS TABLE
    FROM flows_in(folders_between(in_utc(since), in_utc(until) + outage::INTERVAL - INTERVAL 1 MICROSECOND))
    WHERE flow_start < until::TIMESTAMPTZ AND flow_end >= since::TIMESTAMPTZ
        AND folder_is_between(date, hour, in_utc(since), in_utc(until) + outage::INTERVAL - INTERVAL 1 MICROSECOND);
-- The rows of each flow as one, in whichever windows they are; those that were open from one instant until another:
--                               FROM conversations('2026-11-22 09:00:00+00', '2026-11-22 10:00:00+00', member := '10.0.0.7');
-- At one instant, also the flows that were silent at it, whose `active` is false:
--                               FROM conversations('2026-11-22 09:57:31+00', '2026-11-22 09:57:31+00', remote := '192.0.2.1');
-- A flow that is silent for longer than `silence` is a conversation that has ended. DuckDB reads twice as much before and
-- after; a conversation that may have begun or ended beyond this has `complete = false`.
CREATE OR REPLACE MACRO conversations(since, until, member := NULL, remote := NULL, silence := '1 hour', outage := '1 hour') AS TABLE
    WITH found AS (
        FROM flows_where(
            folders_between(in_utc(since) - 2 * silence::INTERVAL, in_utc(until) + 2 * silence::INTERVAL + outage::INTERVAL),
            CASE WHEN member IS NULL THEN 'true' ELSE network_where('member_ip', member) END || ' AND '
                || CASE WHEN remote IS NULL THEN 'true' ELSE network_where('remote_ip', remote) END)
        WHERE flow_start < until::TIMESTAMPTZ + 2 * silence::INTERVAL AND flow_end >= since::TIMESTAMPTZ - 2 * silence::INTERVAL
            AND folder_is_between(date, hour, in_utc(since) - 2 * silence::INTERVAL, in_utc(until) + 2 * silence::INTERVAL + outage::INTERVAL)),
    apart AS (
        SELECT *, flow_start > silence::INTERVAL + max(flow_end) OVER (flow ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS begins
        FROM found WINDOW flow AS (PARTITION BY gateway, interface, member_ip, remote_ip, member_port, remote_port, protocol, icmp_type, icmp_code, partial ORDER BY flow_start, flow_end)),
    numbered AS (
        SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY gateway, interface, member_ip, remote_ip, member_port, remote_port, protocol, icmp_type, icmp_code, partial ORDER BY flow_start, flow_end) AS number
        FROM apart)
    SELECT gateway, interface, member_ip, remote_ip, member_port, remote_port, protocol, protocol_name, icmp_type, icmp_code, partial,
        min(flow_start) AS first_seen, max(flow_end) AS last_seen,
        bool_or(flow_start < greatest(until::TIMESTAMPTZ, since::TIMESTAMPTZ + INTERVAL 1 MILLISECOND) AND flow_end >= since::TIMESTAMPTZ) AS active,
        sum(packets_up)::BIGINT AS packets_up, sum(bytes_up)::BIGINT AS bytes_up, sum(packets_down)::BIGINT AS packets_down, sum(bytes_down)::BIGINT AS bytes_down,
        bit_or(tcp_flags_up) AS tcp_flags_up, bit_or(tcp_flags_down) AS tcp_flags_down, arg_min(initiator, flow_start) AS initiator, count(*) AS windows,
        min(flow_start) > since::TIMESTAMPTZ - silence::INTERVAL AND max(flow_end) < until::TIMESTAMPTZ + silence::INTERVAL AS complete
    FROM numbered GROUP BY gateway, interface, member_ip, remote_ip, member_port, remote_port, protocol, protocol_name, icmp_type, icmp_code, partial, number
    HAVING min(flow_start) < greatest(until::TIMESTAMPTZ, since::TIMESTAMPTZ + INTERVAL 1 MILLISECOND) AND max(flow_end) >= since::TIMESTAMPTZ
    ORDER BY first_seen, last_seen, gateway, interface, member_ip, member_port, remote_ip, remote_port, protocol;
-- Volume by hour of UTC:        FROM volume_per_hour();
CREATE OR REPLACE MACRO volume_per_hour(day := NULL) AS TABLE
    SELECT gateway, date, hour, sum(bytes_up)::BIGINT AS bytes_up, sum(bytes_down)::BIGINT AS bytes_down, count(*) AS flows
    FROM flows_in(folders_of(day)) GROUP BY ALL ORDER BY ALL;
