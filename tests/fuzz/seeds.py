"""Writes seed inputs of the fuzz targets into a folder: the vendors' samples, and long repetitive inputs.

A long input exceeds the time limit if reading it takes more than linear time.
"""

import gzip
import pathlib
import sys
import tomllib
import zlib

LONG_BYTES = 200_000
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


def requests(chosen):
    for choice, body in chosen:
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


def configurations():
    yield b'\x00[schemes.own]\nheader = "X-A"\nsigned = ["time", "literal:.", "body"]\ntime = "element:t="\n'
    yield b'\x00[schemes.own]\nheader = "X-A"\n[senders.read]\nevents = "a"\nid = "{b}"\ntitle = "{root:c}"\n'
    yield long(b"\x00", b"[senders.a]\n")
    yield long(b"\x00[schemes.own]\nheader = [", b'"X-A", ')
    yield b'\x01/a\n{b} of {root:c}\n{header:X}\n{"a": [{"b": 1}], "c": 2}'
    yield long(b"\x01{a.b.c}\n{/a/0/b}\n", b'{"a":')
    yield long(b"\x01/a\n{b}\n", b'{"a":[],')


def main(folder, vendors):
    files = sorted(pathlib.Path(vendors).glob("*.toml"), key=lambda file: file.stem)
    parsed = [tomllib.loads(file.read_text()) for file in files]
    # The number of a sender is its place among the vendors that have their own.
    own = [vendor["samples"] for vendor in parsed if isinstance(vendor["sender"], dict)]
    samples = [(number, sample.get("body", "").encode()) for number, one in enumerate(own) for sample in one]
    bodies = [body for _, body in samples]
    if not bodies:
        sys.exit(f"{vendors} has no samples")
    given = {
        "verify": requests((number, bodies[0]) for number in range(len(files))),
        "normalize": requests(samples),
        "decode": compressed(bodies),
        "own": configurations(),
    }
    for target, seeds in given.items():
        into = pathlib.Path(folder, target)
        into.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (into / f"seed-{number}").write_bytes(seed)


main(*sys.argv[1:])
