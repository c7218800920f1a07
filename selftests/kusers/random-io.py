#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes and reads a file or block device at random, mostly in small pieces, past the cache, and compares every byte with
what should be there.

usage: random-io.py PATH BYTES OPERATIONS SEED [OFFSET]

Only the BYTES from OFFSET on are touched, which must exist. Ends with 0 when all was right.
"""
import mmap
import os
import random
import sys

BLOCK = 4096


def aligned(data):
    """O_DIRECT wants memory that begins at a page."""
    memory = mmap.mmap(-1, max(len(data), BLOCK))
    memory[:len(data)] = data
    return memory


def read(fd, size, offset):
    memory = mmap.mmap(-1, size)
    got = os.preadv(fd, [memory], offset)
    return memory[:got]


def main():
    path, size, operations, seed = sys.argv[1], *map(int, sys.argv[2:5])
    base = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    rng = random.Random(seed)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    expected = bytearray()
    for offset in range(0, size, 1 << 20):
        expected += read(fd, min(1 << 20, size - offset), base + offset)
    if len(expected) != size:
        sys.exit(f"{path}: {len(expected)} bytes are there, not {size}")

    for number in range(operations):
        blocks = rng.choice((1, 1, 1, 1, 2, 3, 5, 16, 33, 64))
        length = min(blocks * BLOCK, size)
        offset = rng.randrange((size - length) // BLOCK + 1) * BLOCK
        if rng.random() < 0.5:
            data = rng.randbytes(length)
            written = os.pwritev(fd, [memoryview(aligned(data))[:length]], base + offset)
            if written != length:
                sys.exit(f"{path}: {written} of {length} bytes written at {offset}")
            expected[offset:offset + length] = data
        elif read(fd, length, base + offset) != expected[offset:offset + length]:
            sys.exit(f"{path}: wrong bytes at {offset}, operation {number}")

    for offset in range(0, size, 1 << 20):
        length = min(1 << 20, size - offset)
        if read(fd, length, base + offset) != expected[offset:offset + length]:
            sys.exit(f"{path}: wrong bytes in the end, at {offset} and on")


if __name__ == "__main__":
    main()
