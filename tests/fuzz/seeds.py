"""Writes the first inputs of the fuzz targets into a folder: samples, and long inputs of one kind.

In a long one a pass over a part of each part would show: it takes longer than the limit.
"""

import gzip
import pathlib
import sys
import zlib

LONG_BYTES = 200_000
SENDERS = 80
PIECES = [b'{"a":[', b"[[[", b'"\\\\', b"{},", b'{"a":1},', b"%7B%22", b" ", b"\\u0000", b'"\\ud800",']
FORM = b"0application/x-www-form-urlencoded\n\n"
MULTIPART = b"0multipart/form-data; boundary=x\n\n"
FORMS = [
    (FORM, b"a=1&payload=x&"),
    (FORM, b"%%%"),
    (MULTIPART, b"--x\r\nname=\r\n\r\n"),
    (MULTIPART, b"--x\r\n\r\n\r\n"),
    (MULTIPART, b"\r\n-"),
    (MULTIPART, b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n'),
]


def long(head, piece):
    return head + piece * (LONG_BYTES // len(piece))


def requests(samples):
    for body in samples:
        for choice in range(SENDERS):
            yield bytes([choice]) + b"\n" + body
    for choice in (0, 1, 20, 40):
        head = bytes([choice])
        for piece in PIECES:
            yield long(head + b"\n", piece)
            yield long(head + b"\n[", piece)
        for content_type, piece in FORMS:
            yield long(head + content_type, piece)
        yield long(head, b"0" + b"v1=," * 60 + b"\n")


def compressed(samples):
    for body in [*samples, b" " * LONG_BYTES]:
        yield b"\x00" + gzip.compress(body)
        yield b"\x01" + zlib.compress(body)
        yield b"\x05" + zlib.compress(body)


def own():
    yield b'\x00[schemes.own]\nheader = "X-A"\nsigned = ["time", "literal:.", "body"]\ntime = "element:t="\n'
    yield b'\x00[schemes.own]\nheader = "X-A"\n[senders.read]\nevents = "a"\nid = "{b}"\ntitle = "{root:c}"\n'
    yield long(b"\x00", b"[senders.a]\n")
    yield long(b"\x00[schemes.own]\nheader = [", b'"X-A", ')
    yield b'\x01/a\n{b} of {root:c}\n{header:X}\n{"a": [{"b": 1}], "c": 2}'
    yield long(b"\x01{a.b.c}\n{/a/0/b}\n", b'{"a":')
    yield long(b"\x01/a\n{b}\n", b'{"a":[],')


def main(folder, samples):
    bodies = [path.read_bytes() for path in sorted(pathlib.Path(samples).glob("*.json"))]
    given = {
        "verify": requests(bodies[:2]),
        "normalize": requests(bodies),
        "decode": compressed(bodies),
        "own": own(),
    }
    for target, seeds in given.items():
        into = pathlib.Path(folder, target)
        into.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (into / f"seed-{number}").write_bytes(seed)


main(*sys.argv[1:])
