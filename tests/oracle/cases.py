#!/usr/bin/env python3
"""cases.py OUT - a capture file of Ethernet frames made by hand, for what real captures lack.

Every protocol that has ports, both families, tags, options, extension headers, fragments in and
out of order, headers that are cut or lie, and ports that would be read from padding.
"""
import struct, sys

import oracle

ETHERNET = bytes.fromhex('020000000002020000000001')
IP, IP6 = b'\x08\x00', b'\x86\xdd'
TCP, UDP, DCCP, ICMP6, SCTP, UDP_LITE = 6, 17, 33, 58, 132, 136


def v4(payload, proto, ident=1, offset=0, more=0, options=b'', total=None, src=1, dst=2):
    ihl = 5 + len(options) // 4
    total = ihl * 4 + len(payload) if total is None else total
    return struct.pack('>BBHHHBBH', 0x40 | ihl, 0, total, ident, more << 13 | offset, 64, proto, 0) + \
        bytes([10, 0, 0, src, 192, 0, 2, dst]) + options + payload


def v6(payload, proto, plen=None, src=1, dst=2):
    plen = len(payload) if plen is None else plen
    prefix = bytes.fromhex('20010db8') + bytes(11)
    return struct.pack('>IHBB', 6 << 28, plen, proto, 64) + prefix + bytes([src]) + prefix + bytes([dst]) + payload


def ports(source, destination, rest=b'\0' * 4):
    return struct.pack('>HH', source, destination) + rest


def tcp(source, destination, flags):
    return struct.pack('>HHIIBBHHH', source, destination, 1, 2, 0x50, flags, 512, 0, 0)


def extension(following, words=0):
    return bytes([following, words]) + bytes(6 + 8 * words)


def fragment6(following, offset, more, ident):
    return struct.pack('>BBHI', following, 0, offset << 3 | more, ident)


def frames():
    for packet in (lambda *a, **k: IP + v4(*a, **k)), (lambda *a, **k: IP6 + v6(*a, **k)):
        for proto in UDP, DCCP, SCTP, UDP_LITE:
            yield packet(ports(1000 + proto, 53), proto)
            yield packet(ports(1000 + proto, 53, b'\0' * 40), proto)
        for flags in 0x02, 0x10, 0x18, 0x11:
            yield packet(tcp(40000, 443, flags), TCP)
        for proto in 4, 41, 47, 50, 89, 255:
            yield packet(b'\xab' * 24, proto)
        # The header is cut: after the ports, within them, and at once; padding is no header.
        yield packet(tcp(40001, 443, 0x02)[:13], TCP)
        yield packet(b'\x9c\x42\x01', TCP) + b'\x77' * 40
        yield packet(b'', UDP) + b'\x77' * 26
        yield packet(b'\x08', 1) + b'\x77' * 26
        yield packet(b'\x80', ICMP6) + b'\x77' * 26
        # Lengths that lie, both ways.
        yield packet(ports(2000, 53), UDP) + b'\xee' * 30
    for kind, code in (8, 0), (0, 0), (3, 1), (11, 0), (13, 0):
        yield IP + v4(bytes([kind, code]) + bytes(6), 1)
        yield IP6 + v6(bytes([kind, code]) + bytes(6), 1)
    for kind, code in (128, 0), (129, 0), (1, 4), (135, 0):
        yield IP6 + v6(bytes([kind, code]) + bytes(6), ICMP6)
        yield IP + v4(bytes([kind, code]) + bytes(6), ICMP6)
    yield IP + v4(ports(3000, 53), UDP, options=b'\x01' * 40)
    yield IP + v4(ports(3001, 53), UDP, options=b'\x94\x04\0\0')
    yield IP + v4(ports(3002, 53), UDP, total=6000)
    yield IP6 + v6(ports(3002, 53), UDP, plen=6000)
    # Tags: 802.1Q, priority only, QinQ with each outer type, three of them; not IP behind one.
    yield b'\x81\0\0\x05' + IP + v4(ports(4000, 53), UDP)
    yield b'\x81\0\xe0\0' + IP6 + v6(ports(4000, 53), UDP)
    for outer in b'\x88\xa8', b'\x91\0', b'\x92\0':
        yield outer + b'\0\x07\x81\0\0\x05' + IP + v4(ports(4001, 53), UDP)
    yield b'\x88\xa8\0\x07\x81\0\0\x05\x81\0\0\x06' + IP6 + v6(tcp(4002, 443, 0x12), TCP)
    yield b'\x81\0\0\x05\x08\x06' + bytes(28)
    # Extension headers: each kind, eight of them, nine of them, one that is cut.
    for kind in 0, 43, 60, 135:
        yield IP6 + v6(extension(UDP, 1) + ports(5000 + kind, 53), kind)
    yield IP6 + v6(bytes([UDP, 1]) + bytes(10) + ports(5051, 53), 51)
    yield IP6 + v6(extension(60) * 7 + extension(UDP) + ports(5008, 53), 60)
    yield IP6 + v6(extension(60) * 8 + extension(UDP) + ports(5009, 53), 60)
    yield IP6 + v6(bytes([UDP, 5]) + bytes(6), 60)
    yield IP6 + v6(extension(59), 135)
    yield IP6 + v6(b'', 59)
    # Fragments: in order, the first one last, an atomic one.
    yield IP + v4(ports(6000, 53, b'\0' * 12), UDP, ident=9, more=1)
    yield IP + v4(b'\xaa' * 16, UDP, ident=9, offset=2)
    yield IP + v4(b'\xaa' * 16, UDP, ident=10, offset=2, src=3)
    yield IP + v4(ports(6001, 53, b'\0' * 12), UDP, ident=10, more=1, src=3)
    yield IP6 + v6(fragment6(UDP, 0, 1, 9) + ports(6000, 53, b'\0' * 12), 44)
    yield IP6 + v6(fragment6(UDP, 2, 0, 9) + b'\xaa' * 16, 44)
    yield IP6 + v6(fragment6(UDP, 0, 0, 11) + ports(6002, 53), 44)
    yield IP6 + v6(extension(44) + fragment6(TCP, 0, 1, 12) + tcp(6003, 443, 0x02), 0)
    yield IP6 + v6(extension(44) + fragment6(TCP, 3, 0, 12) + b'\xaa' * 16, 0)
    # The header that follows a fragment header is the same in all fragments, the protocol is not.
    yield IP6 + v6(fragment6(60, 0, 1, 13) + extension(UDP) + ports(6004, 53, b'\0' * 4), 44)
    yield IP6 + v6(fragment6(60, 2, 0, 13) + b'\xaa' * 16, 44)
    # Neither IP nor sound.
    yield b'\x08\x06' + bytes(28)
    yield b'\x88\xcc' + bytes(50)
    yield b'\0\x2e' + b'\xaa' * 46
    yield IP + b'\x45' + bytes(10)
    yield IP + v6(ports(7000, 53), UDP)
    yield IP6 + v4(ports(7000, 53), UDP)
    yield IP + b'\x44' + v4(ports(7001, 53), UDP)[1:]
    yield IP + v4(ports(7002, 53), UDP, total=19)
    yield IP6 + v6(b'', UDP)[:39]


def main():
    out = oracle.PcapOut(sys.argv[1], 1)
    for number, frame in enumerate(frames()):
        out.put(1_790_000_000_000_000_000 + number * 1_000_000, ETHERNET + frame)
    out.close()


if __name__ == '__main__':
    main()
