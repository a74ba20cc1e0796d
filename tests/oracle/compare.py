#!/usr/bin/env python3
"""compare.py - judge a flow logger's output against oracle.py.

  oracle.py X.pcap > want.jsonl
  compare.py want.jsonl got.jsonl                     (JSON lines: src dst proto sport dport packets bytes [tcp_flags])
  compare.py want.jsonl --sql "SELECT src_addr AS src, ... FROM read_parquet('out/**/*.parquet')"   (needs duckdb)

Rows of the same key are summed (packets, bytes) and OR-ed (tcp_flags) on both sides, so
active/idle timeouts and partitioning do not matter.  Exit 0 only if every key matches.
"""
import argparse, collections, ipaddress, json, sys


def key(r, collapse_icmp):
    p = int(r['proto'])
    sp, dp = int(r.get('sport') or 0), int(r.get('dport') or 0)
    s, d = ipaddress.ip_address(r['src']), ipaddress.ip_address(r['dst'])
    if getattr(s, 'ipv4_mapped', None) and getattr(d, 'ipv4_mapped', None):
        s, d = s.ipv4_mapped, d.ipv4_mapped
    if collapse_icmp and p in (1, 58):
        sp = dp = 0
    return str(s), str(d), p, sp, dp


def reverse(k):
    is_icmp = k[2] in (1, 58)       # type and code are no ports to be swapped
    return k[1], k[0], k[2], k[3 if is_icmp else 4], k[4 if is_icmp else 3]


def widen(times, k, first, last):
    known = times.get(k, (first, last))
    times[k] = min(known[0], first), max(known[1], last)


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('want')
    ap.add_argument('got', nargs='?')
    ap.add_argument('--sql')
    ap.add_argument('--bytes', default='ip_wire_bytes', choices=(
        'ip_bytes', 'ip_wire_bytes', 'l3_bytes', 'frame_bytes', 'none'))
    ap.add_argument('--collapse-icmp', action='store_true')
    ap.add_argument('--no-flags', action='store_true')
    ap.add_argument('--times-within-ms', type=int, metavar='N',
                    help='compare first and last times too (first_ms, last_ms), unless both_ways')
    ap.add_argument('--show', type=int, default=10)
    a = ap.parse_args()
    W = collections.defaultdict(lambda: [0, 0, 0])
    G = collections.defaultdict(lambda: [0, 0, 0])
    W_times, G_times = {}, {}
    for l in open(a.want):
        r = json.loads(l)
        if r['rec'] != 'flow':
            continue
        x = W[key(r, a.collapse_icmp)]
        x[0] += r['packets']
        x[1] += r[a.bytes] if a.bytes != 'none' else 0
        x[2] |= r['tcp_flags']
        widen(W_times, key(r, a.collapse_icmp), r['first_ns'] // 1000000, r['last_ns'] // 1000000)
    if a.sql:
        import duckdb
        c = duckdb.execute(a.sql)
        names = [d[0] for d in c.description]
        rows = (dict(zip(names, t)) for t in c.fetchall())
    else:
        rows = (json.loads(l) for l in open(a.got))
    for r in rows:
        if r.get('rec', 'flow') != 'flow':
            continue
        x = G[key(r, a.collapse_icmp)]
        x[0] += int(r['packets'])
        x[1] += int(r['bytes'] if 'bytes' in r else r[a.bytes]) if a.bytes != 'none' else 0
        x[2] |= int(r.get('tcp_flags') or 0)
        if a.times_within_ms is not None:
            widen(G_times, key(r, a.collapse_icmp), r['first_ms'], r['last_ms'])
            if r['both_ways']:      # the row's times are those of both directions
                other = W_times.get(reverse(key(r, a.collapse_icmp)))
                if other:
                    widen(W_times, key(r, a.collapse_icmp), *other)
    n = 2 if a.no_flags else 3
    miss = [k for k in W if k not in G]
    extra = [k for k in G if k not in W]
    diff = [k for k in W if k in G and W[k][:n] != G[k][:n]]
    if a.times_within_ms is not None:
        for k in W:
            off = max((abs(w - g) for w, g in zip(W_times[k], G_times.get(k, W_times[k]))))
            if off > a.times_within_ms:
                diff.append(k)
                print('times', k, 'want', W_times[k], 'got', G_times[k], 'off by ms', off)
    out = dict(keys_wanted=len(W), keys_got=len(G), equal=len(W) - len(miss) - len(diff),
               missing=len(miss), extra=len(extra), differ=len(diff),
               packets_wanted=sum(x[0] for x in W.values()),
               packets_got=sum(x[0] for x in G.values()),
               bytes_wanted=sum(x[1] for x in W.values()),
               bytes_got=sum(x[1] for x in G.values()))
    print(json.dumps(out))
    for nm, ks in (('missing', miss), ('extra', extra), ('differ', diff)):
        for k in ks[:a.show]:
            print(nm, k, 'want', W.get(k), 'got', G.get(k))
    sys.exit(1 if miss or extra or diff else 0)


if __name__ == '__main__':
    main()
