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
CREATE OR REPLACE MACRO is_address(text) AS
    regexp_full_match(lower(trim(text, E' \t\r\n')), '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){7}([0-9a-f]{1,4}|:)|([0-9a-f]{1,4}:){1,6}(:[0-9a-f]{1,4}){1,1}|([0-9a-f]{1,4}:){1,5}(:[0-9a-f]{1,4}){1,2}|([0-9a-f]{1,4}:){1,4}(:[0-9a-f]{1,4}){1,3}|([0-9a-f]{1,4}:){1,3}(:[0-9a-f]{1,4}){1,4}|([0-9a-f]{1,4}:){1,2}(:[0-9a-f]{1,4}){1,5}|([0-9a-f]{1,4}:){1,1}(:[0-9a-f]{1,4}){1,6}|:(:[0-9a-f]{1,4}){1,7}|::|([0-9a-f]{1,4}:){1,6}:|([0-9a-f]{1,4}:){6}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|::([0-9a-f]{1,4}:){0,5}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[0-9a-f]{1,4}::([0-9a-f]{1,4}:){0,4}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){2}:([0-9a-f]{1,4}:){0,3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){3}:([0-9a-f]{1,4}:){0,2}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){4}:([0-9a-f]{1,4}:){0,1}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|([0-9a-f]{1,4}:){5}:([0-9a-f]{1,4}:){0,0}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}');
-- The 32 hexadecimal digits of an address that is written as in the tables, IPv4 as 00000000000000000000ffff0a000007:
-- their order is that of the numbers.
CREATE OR REPLACE MACRO hex_of(text) AS
    CASE WHEN contains(text, ':') THEN [array_to_string([lpad(digits, 4, '0') for digits in string_split(groups, ':')], '')
            for groups in [regexp_replace(replace(text, '::', ':' || repeat('0:', 8 - len(regexp_extract_all(text, '[^:]+')))), '^:|:$', '', 'g')]][1]
        ELSE '00000000000000000000ffff' || array_to_string([printf('%02x', TRY_CAST(octet AS INT)) for octet in string_split(text, '.')], '') END;
-- The first and the last of the addresses that have the first `bits` bits of this one, as digits.
CREATE OR REPLACE MACRO first_of(digits, bits) AS
    CASE WHEN bits >= 128 THEN digits
        ELSE digits[1:bits // 4] || printf('%x', ('0x' || digits[bits // 4 + 1])::INT & ~(15 >> (bits % 4))) || repeat('0', 31 - bits // 4) END;
CREATE OR REPLACE MACRO last_of(digits, bits) AS
    CASE WHEN bits >= 128 THEN digits
        ELSE digits[1:bits // 4] || printf('%x', ('0x' || digits[bits // 4 + 1])::INT | (15 >> (bits % 4))) || repeat('f', 31 - bits // 4) END;
-- The beginning of the text of every address with a prefix, as far as that is known: 10. of 10.0.0.0/8, 2001:db8: of
-- 2001:db8::/40. By it DuckDB skips row groups.
CREATE OR REPLACE MACRO text_of_prefix(address, digits, bits) AS
    coalesce(CASE WHEN contains(address, ':')
        THEN regexp_extract(array_to_string([ltrim(digits[4 * n + 1:4 * n + 4], '0') || ':' for n in range(bits // 16)], ''), '^([0-9a-f]+:)*')
        ELSE array_to_string([octet || '.' for octet in string_split(address, '.')[1:(bits - 96) // 8]], '') END, '');
-- An address or a prefix in any notation: its address, the digits of its first and last address, and its length among
-- 128 bits; an error names the remedy. DuckDB takes milliseconds to
-- read this, so that what asks for an address does without.
CREATE OR REPLACE MACRO network_of(text) AS
    CASE WHEN NOT coalesce(is_address(split_part(text, '/', 1)) AND regexp_full_match(text, '[^/]*(/[0-9]{1,3}\s*)?'), false)
        THEN error('"' || coalesce(text, 'NULL') || '" is no IP address and no prefix; write it like 192.0.2.1, 2001:db8::1, 10.0.0.0/8 or 2001:db8::/32')
        ELSE [[[CASE
                WHEN bits > 128 THEN error('"' || text || '": the length is greater than the addresses have bits')
                WHEN bits < 96 AND NOT contains(address, ':') THEN error('"' || text || '" is wider than the IPv4 that it maps; write it as IPv4')
                WHEN digits <> first_of(digits, bits)
                    THEN error('"' || text || '" has bits set behind its length; leave the length away, or write the first address of the prefix')
                ELSE {'address': address, 'first': digits, 'last': last_of(digits, bits), 'bits': bits} END
            for bits in [CASE WHEN NOT contains(text, '/') THEN 128
                ELSE split_part(text, '/', 2)::INT + CASE WHEN contains(text, ':') THEN 0 ELSE 96 END END]][1]
            for digits in [hex_of(address)]][1]
            for address in [address_of(split_part(text, '/', 1))]][1] END;
CREATE OR REPLACE MACRO folders_if_address(text, folders) AS CASE WHEN network_of(text) IS NOT NULL THEN folders END;
-- A condition as SQL: that the address in a column is the one of a text, or has its prefix.
CREATE OR REPLACE MACRO network_where(name, text) AS
    [CASE WHEN network['bits'] = 128 THEN name || ' = ''' || network['address'] || ''''
        ELSE format('{0} >= ''{1}'' AND {0} < ''{1}g'' AND contains({0}, '':'') = {2} AND hex_of({0}) BETWEEN ''{3}'' AND ''{4}''', name,
            text_of_prefix(network['address'], network['first'], network['bits']), contains(network['address'], ':')::VARCHAR, network['first'], network['last']) END
        for network in [network_of(text)]][1];
-- A query as SQL: the rows of sessions in some folders whose prefix has the address, or shares addresses with the prefix,
-- of a text, and whether it has all of them.
CREATE OR REPLACE MACRO sessions_with(text, folders) AS
    [format('SELECT *, inner_first <= ''{0}'' AND inner_last >= ''{1}'' AS has_all FROM sessions_in(''{2}'')
        WHERE inner_first <= ''{1}'' AND inner_last >= ''{0}'' AND contains(inner_prefix, '':'') = {3}',
            network['first'], network['last'], folders, contains(network['address'], ':')::VARCHAR) for network in [network_of(text)]][1];
-- The rows of some folders that meet such a condition.
CREATE OR REPLACE MACRO flows_where(folders, condition, gateway := NULL) AS TABLE
    FROM query('FROM flows_in(''' || folders || '''' || coalesce(', gateway := ''' || gateway || '''', '') || ') WHERE ' || condition);
-- The rows of some folders whose address in a column is the one of a text, or has its prefix.
CREATE OR REPLACE MACRO flows_of_address(folders, name, text, gateway := NULL) AS TABLE
    FROM query(CASE WHEN contains(text, '/') THEN 'FROM flows_where' ELSE 'FROM flows_in' END
        || '(folders := ''' || folders || '''' || coalesce(', gateway := ''' || gateway || '''', '')
        || CASE WHEN contains(text, '/') THEN ', condition := network_where(''' || name || ''', ''' || replace(text, '''', '''''') || '''))'
            WHEN is_address(text) THEN ') WHERE ' || name || ' = '
                || CASE WHEN contains(text, ':') THEN 'address_of(''' || text || ''')' ELSE '''' || trim(text, E' \t\r\n') || '''' END
            ELSE error('"' || coalesce(text, 'NULL') || '" is no IP address and no prefix; write it like 192.0.2.1, 2001:db8::1, 10.0.0.0/8 or 2001:db8::/32') END);
