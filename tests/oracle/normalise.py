#!/usr/bin/env python3
"""normalise.py L3 L2 CAPTURE... - captures into one file of raw IP packets and one of Ethernet frames.

What of a capture can be sent at all is the oracle's to say (--write-l3, --write-l2); the files are
put behind one another, so that the oracle can be run on what is really sent. Times are a
microsecond apart: what is replayed comes at once, and a fragment's first is remembered by the clock.
"""
import argparse, contextlib, io, os, struct, sys, tempfile

import oracle

HEADER = 24
START = 1_790_000_000 * 10**9


def main():
    out = dict(write_l3=sys.argv[1], write_l2=sys.argv[2])
    with tempfile.TemporaryDirectory() as tmp:
        part = os.path.join(tmp, 'part.pcap')
        for option, path in out.items():
            packets = 0
            with open(path, 'wb') as whole:
                for capture in sys.argv[3:]:
                    a = argparse.Namespace(frag_timeout=30.0, max_ext=8, key_vlan=False,
                                           frag_mode='cache', write_l3=None, write_l2=None,
                                           pad=True, max_len=65535, summary_only=True, mode='uni')
                    setattr(a, option, part)
                    with contextlib.redirect_stdout(io.StringIO()):
                        oracle.run_file(capture, a)
                    data = bytearray(open(part, 'rb').read())
                    at = HEADER
                    while at < len(data):
                        now = START + packets * 1000
                        struct.pack_into('<II', data, at, now // 10**9, now % 10**9)
                        at += 16 + struct.unpack_from('<I', data, at + 8)[0]
                        packets += 1
                    whole.write(data if whole.tell() == 0 else data[HEADER:])


if __name__ == '__main__':
    main()
