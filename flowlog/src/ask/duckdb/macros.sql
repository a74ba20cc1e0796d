-- Turns any notation of an address into the one of the tables (RFC 5952; IPv4 for an IPv6 address that maps it).
-- For DuckDB the result is a constant, so that it skips row groups without the address.
CREATE OR REPLACE MACRO address_of(text) AS
    [[[[CASE
        WHEN NOT contains(plain, ':') THEN plain
        WHEN starts_with(short, '0:0:0:0:0:ffff:') THEN
            array_to_string([('0x' || lpad(string_split(short, ':')[7 + n // 2], 4, '0')[1 + n % 2 * 2:2 + n % 2 * 2])::INT for n in [0, 1, 2, 3]], '.')
        ELSE coalesce([regexp_replace(short, zeros, '::')
            for zeros in ['(^|:)0(:0){' || more || '}(:|$)' for more in [7, 6, 5, 4, 3, 2, 1]] if regexp_matches(short, zeros)][1], short)
        END for short in [regexp_replace(groups, '\b0+([0-9a-f])', '\1', 'g')]][1]
        for groups in [regexp_replace(replace(hex, '::', ':' || repeat('0:', 8 - len(regexp_extract_all(hex, '[^:]+')))), '^:|:$', '', 'g')]][1]
        for hex in [CASE WHEN regexp_matches(plain, ':[0-9.]+[.][0-9.]+$')
            THEN [regexp_extract(plain, '^.*:') || printf('%x:%x', octets[1] * 256 + octets[2], octets[3] * 256 + octets[4])
                for octets in [string_split(regexp_extract(plain, '[^:]*$'), '.')::INT[]]][1]
            ELSE plain END]][1]
        for plain in [lower(trim(text, E' \t\r\n'))]][1];
-- Returns the folders, or an error if the text is no IP address.
CREATE OR REPLACE MACRO folders_if_address(text, folders) AS
    CASE WHEN regexp_full_match(lower(trim(text, E' \t\r\n')), '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){7}([0-9a-f]{1,4}|:)|([0-9a-f]{1,4}:){1,6}(:[0-9a-f]{1,4}){1,1}|([0-9a-f]{1,4}:){1,5}(:[0-9a-f]{1,4}){1,2}|([0-9a-f]{1,4}:){1,4}(:[0-9a-f]{1,4}){1,3}|([0-9a-f]{1,4}:){1,3}(:[0-9a-f]{1,4}){1,4}|([0-9a-f]{1,4}:){1,2}(:[0-9a-f]{1,4}){1,5}|([0-9a-f]{1,4}:){1,1}(:[0-9a-f]{1,4}){1,6}|:(:[0-9a-f]{1,4}){1,7}|::|([0-9a-f]{1,4}:){1,6}:|([0-9a-f]{1,4}:){6}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|::([0-9a-f]{1,4}:){0,5}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[0-9a-f]{1,4}::([0-9a-f]{1,4}:){0,4}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){2}:([0-9a-f]{1,4}:){0,3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){3}:([0-9a-f]{1,4}:){0,2}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){4}:([0-9a-f]{1,4}:){0,1}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){5}:([0-9a-f]{1,4}:){0,0}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}') THEN folders ELSE error('"' || coalesce(text, 'NULL') || '" is no IP address') END;
-- With `day`, a date in UTC, DuckDB reads the folders of this day alone. A day without folders is an error: flowlog
-- recorded nothing on it, or its files have expired.
CREATE OR REPLACE MACRO folders_of(day) AS
    CASE WHEN day IS NULL THEN '*' ELSE strftime(day::DATE, 'date=%Y-%m-%d') END || '/*';
-- Two gateways may have the same address: a member is an address behind an interface of a gateway.
-- Members by volume:            FROM top_talkers(10);  FROM top_talkers(10, day := DATE '2026-11-22');
CREATE OR REPLACE MACRO top_talkers(n, day := NULL) AS TABLE
    SELECT gateway, interface, member_ip, sum(bytes_up + bytes_down) AS bytes, sum(packets_up + packets_down) AS packets, count(*) AS flows
    FROM flows_in(folders_of(day)) GROUP BY gateway, interface, member_ip ORDER BY bytes DESC, gateway, interface, member_ip LIMIT n;
-- Who talked to an address:     FROM who_talked_to('192.0.2.1', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO who_talked_to(address, day := NULL) AS TABLE
    SELECT gateway, interface, member_ip, protocol, remote_port, min(flow_start) AS first_seen, max(flow_end) AS last_seen,
        sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down
    FROM flows_in(folders_if_address(address, folders_of(day))) WHERE remote_ip = address_of(address) GROUP BY ALL
    ORDER BY first_seen, last_seen, gateway, interface, member_ip, protocol, remote_port;
-- What a member did:            FROM flows_of('10.0.0.7', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO flows_of(address, day := NULL) AS TABLE
    FROM flows_in(folders_if_address(address, folders_of(day))) WHERE member_ip = address_of(address)
    ORDER BY flow_start, flow_end, protocol, remote_ip, remote_port, member_port, gateway, interface;
-- Who used a remote address and port at an instant, a second either way:
--                               FROM at_instant('192.0.2.1', 443, TIMESTAMPTZ '2026-11-22 09:57:31+00');
-- The instant cannot be a subquery: SET VARIABLE t = (SELECT ...), and at_instant(..., getvariable('t')).
-- DuckDB reads the hour of the instant and the next one. If the store has neither, flowlog recorded nothing then, or
-- the files have expired, and DuckDB may report that it finds no file. A row is in the hour of its window; but
-- counts of a time without a daemon are in the hour in which a daemon came back. After an outage of more
-- than an hour, add its length: at_instant(..., outage := INTERVAL 5 HOUR). The ledger shows such an
-- outage: its rows have an observed_start before their window_start.
CREATE OR REPLACE MACRO in_utc(instant) AS make_timestamp(epoch_us(instant::TIMESTAMPTZ));
CREATE OR REPLACE MACRO hours_between(first, last) AS generate_series(date_trunc('hour', first), last, INTERVAL 1 HOUR);
-- One pattern, which has at each place the characters of all these hours there.
CREATE OR REPLACE MACRO folders_of_hours(hours) AS
    regexp_replace(list_aggregate(['[' || list_aggregate(list_distinct([strftime(hour, 'date=%Y-%m-%d/hour=%H')[place] for hour in hours]), 'string_agg', '') || ']'
        for place in range(1, 24)], 'string_agg', ''), '\[(.)\]', '\1', 'g');
CREATE OR REPLACE MACRO rows_of_hours(address, port, instant, hours) AS TABLE
    FROM flows_in(folders_if_address(address, folders_of_hours(hours))) WHERE remote_ip = address_of(address) AND remote_port = port
        AND flow_start <= instant + INTERVAL 1 SECOND AND flow_end >= instant - INTERVAL 1 SECOND
        AND list_contains([date_part('hour', one) for one in hours], hour)
    ORDER BY flow_start, flow_end, member_ip, member_port, protocol, gateway, interface;
CREATE OR REPLACE MACRO at_instant(address, port, instant, outage := '1 hour') AS TABLE
    FROM rows_of_hours(address, port, instant::TIMESTAMPTZ, hours_between(in_utc(instant) - INTERVAL 1 SECOND, in_utc(instant) + INTERVAL 1 SECOND + outage::INTERVAL));
-- Volume by hour of UTC:        FROM volume_per_hour();
CREATE OR REPLACE MACRO volume_per_hour(day := NULL) AS TABLE
    SELECT gateway, date, hour, sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down, count(*) AS flows
    FROM flows_in(folders_of(day)) GROUP BY ALL ORDER BY ALL;
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
