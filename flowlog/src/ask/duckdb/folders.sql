-- Instants are texts or timestamps. 'YYYY-MM-DD hh:mm:ss+00' and 'YYYY-MM-DD hh:mm:ss Europe/Brussels' name their zone;
-- any other is in the zone of the session (SET TimeZone = 'Europe/Brussels').
CREATE OR REPLACE MACRO in_utc(instant) AS make_timestamp(epoch_us(instant::TIMESTAMPTZ));
CREATE OR REPLACE MACRO hours_between(first, last) AS generate_series(date_trunc('hour', first), last, INTERVAL 1 HOUR);
-- With `day`, a date in UTC, DuckDB reads the folders of this day alone. A day without folders is an error: flowlog
-- recorded nothing on it, or its files have expired.
CREATE OR REPLACE MACRO folders_of(day) AS
    CASE WHEN day IS NULL THEN '*' ELSE strftime(day::DATE, 'date=%Y-%m-%d') END || '/*';
-- One pattern, which has at each place the characters of all these hours, or days, there.
CREATE OR REPLACE MACRO pattern_of(times, format, length) AS
    regexp_replace(list_aggregate(['[' || list_aggregate(list_distinct([strftime(time, format)[place] for time in times]), 'string_agg', '') || ']'
        for place in range(1, length)], 'string_agg', ''), '\[(.)\]', '\1', 'g');
CREATE OR REPLACE MACRO folders_of_hours(hours) AS pattern_of(hours, 'date=%Y-%m-%d/hour=%H', 24);
-- The folders of a period of UTC. If the store has none of them, flowlog recorded nothing then, or the files have
-- expired, and DuckDB reports that it finds no file.
CREATE OR REPLACE MACRO folders_between(first, last) AS
    CASE WHEN first IS NULL OR last IS NULL THEN error('an instant is missing (NULL)')
        WHEN last < first THEN error('the period ends before it begins: exchange its two instants')
        WHEN last - first < INTERVAL 2 DAY THEN folders_of_hours(hours_between(first, last))
        ELSE pattern_of(generate_series(date_trunc('day', first), last, INTERVAL 1 DAY), 'date=%Y-%m-%d', 16) || '/*' END;
-- Whether a folder is of a period of UTC: DuckDB passes over the files of all others. It would not by date + to_hours(hour),
-- which may be an error.
CREATE OR REPLACE MACRO folder_is_between(date, hour, first, last) AS
    (date, hour) BETWEEN (first::DATE, date_part('hour', first)) AND (last::DATE, date_part('hour', last));
-- The same of a period that may be open at either end (NULL).
CREATE OR REPLACE MACRO folders_within(since, until, outage) AS
    CASE WHEN since IS NULL OR until IS NULL THEN '*/*' ELSE folders_between(in_utc(since), in_utc(until) + outage::INTERVAL) END;
CREATE OR REPLACE MACRO folder_is_within(date, hour, since, until, outage) AS
    (since IS NULL OR (date, hour) >= (in_utc(since)::DATE, date_part('hour', in_utc(since))))
        AND (until IS NULL OR (date, hour) <= ((in_utc(until) + outage::INTERVAL)::DATE, date_part('hour', in_utc(until) + outage::INTERVAL)));
