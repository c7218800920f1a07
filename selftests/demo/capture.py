#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a capture of TLS connections shows: are the bytes on the wire TLS records, and nothing else?

    capture.py FILE.pcap... --tls PORT... --plain PORT --secret TEXT --limit PACKETS

Puts every TCP stream of the TLS ports together and walks it from record header to record header. Fails unless
every stream consists of TLS records to the last byte, and unless the secret is found in the stream of the plain
port (so the search works) but in none of the others. Of a capture that ended at the limit of packets, the last
record of a stream need not be whole.
"""
import argparse
import collections
import struct
import sys

TYPES = {20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "application_data"}


def packets(path):
    """The link-layer frames of a pcap file."""
    with open(path, "rb") as f:
        header = f.read(24)
        if header[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
            sys.exit(f"{path} is not a capture")
        while len(head := f.read(16)) == 16:
            captured, original = struct.unpack("<8xII", head)
            if captured != original:
                sys.exit("a packet was not captured whole")
            yield f.read(captured)


def segments(frames):
    """(stream, sequence number, payload, SYN) of every TCP segment over Ethernet and IP."""
    for frame in frames:
        kind = frame[12:14]
        if kind == b"\x08\x00" and frame[23] == 6:
            start = 14 + 4 * (frame[14] & 15)
            end = 14 + int.from_bytes(frame[16:18], "big")
            hosts = frame[26:34]
        elif kind == b"\x86\xdd" and frame[20] == 6:
            start = 54
            end = 54 + int.from_bytes(frame[18:20], "big")
            hosts = frame[22:54]
        else:
            continue
        # Large segments of the loopback device may have a length of zero in the IP header.
        end = end if end > start else len(frame)
        sport, dport, seq = struct.unpack_from(">HHI", frame, start)
        payload = frame[start + 4 * (frame[start + 12] >> 4):end]
        syn = frame[start + 13] & 2
        yield (hosts, sport, dport), seq, payload, syn


def streams(frames):
    """The bytes of every TCP stream, in order."""
    first, parts = {}, collections.defaultdict(dict)
    for key, seq, payload, syn in segments(frames):
        if syn:
            first[key] = (seq + 1) % 2**32
        if payload:
            parts[key].setdefault(seq, payload)
    for key, pieces in parts.items():
        if key not in first:
            sys.exit("the capture does not have the beginning of every connection")
        data, base = bytearray(), first[key]
        for seq, payload in sorted(pieces.items(), key=lambda p: (p[0] - base) % 2**32):
            at = (seq - base) % 2**32
            if at > len(data):
                sys.exit("the capture has lost packets")
            data += payload[len(data) - at:]
        yield key, data


def records(data, cut):
    """(type, length) of every record; raises ValueError where there is none."""
    at = 0
    while at < len(data):
        if len(data) - at < 5:
            if cut:
                return
            raise ValueError("half a record header at the end")
        kind, version, length = struct.unpack_from(">BHH", data, at)
        if kind not in TYPES or version not in (0x0301, 0x0303) or length > 16384 + 256:
            raise ValueError(f"no TLS record at byte {at}: {bytes(data[at:at + 5]).hex()}")
        at += 5 + length
        if at > len(data) and not cut:
            raise ValueError("half a record at the end")
        yield kind, length


def main():
    p = argparse.ArgumentParser()
    p.add_argument("files", nargs="+")
    p.add_argument("--tls", type=int, nargs="+", required=True)
    p.add_argument("--plain", type=int, required=True)
    p.add_argument("--secret", required=True)
    p.add_argument("--limit", type=int, required=True)
    a = p.parse_args()
    secret = a.secret.encode()
    count, volume = collections.Counter(), collections.Counter()
    connections = tls_bytes = found = control = 0

    for path in a.files:
        frames = list(packets(path))
        for (_, sport, dport), data in streams(frames):
            if a.plain in (sport, dport):
                control += data.count(secret)
                continue
            connections += sport in a.tls
            tls_bytes += len(data)
            found += data.count(secret)
            try:
                for kind, length in records(data, len(frames) >= a.limit):
                    count[kind] += 1
                    volume[kind] += length
            except ValueError as e:
                sys.exit(f"{path}: port {sport} to {dport}: {e}")

    print(f"   {connections} connections, {tls_bytes:,} bytes: one TLS record after the other, nothing else")
    for kind in sorted(count, reverse=True):
        print(f"     {TYPES[kind]:20} {count[kind]:8,} records  {volume[kind]:14,} bytes")
    print(f"   the text of the page, searched in all of them: found {found} times")
    print(f"   the same search in one plain HTTP download:    found {control} times")
    if found or not control or not count[23]:
        sys.exit("this is not what encrypted connections look like")


main()
