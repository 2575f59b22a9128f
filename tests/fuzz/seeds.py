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
QUESTION = (
    b'{"type":"url_verification","challenge":"abc","event":"endpoint.url_validation",'
    b'"payload":{"plainToken":"abc"},"verification_token":"abc","text":"a:b"}'
)
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


def proxies():
    signature = b"\r\n\r\n\x00\r\nQUIT\n"
    four = bytes([203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80])
    yield b"\x00PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\nGET /"
    yield b"\x00PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"
    yield b"\x00PROXY UNKNOWN\r\n"
    yield b"\x00" + signature + b"\x21\x11\x00\x0c" + four
    yield b"\x00" + signature + b"\x21\x21\x00\x24" + bytes(36)
    yield b"\x00" + signature + b"\x20\x00\x00\x00"
    yield b"\x010203.0.113.7, 10.0.0.2:80, [2001:db8::1]:443\n"
    yield b'\x011for=203.0.113.7;proto=https, for="[2001:db8::1]:443", for=_x\n'
    yield b"\x010203.0.113.7\n1for=203.0.113.7\n"
    yield long(b"\x010", b"10.0.0.2,")
    yield long(b"\x011", b'for="\\",')


def questions():
    for choice in range(24):
        head = bytes([choice])
        yield head + b"\nforged_event_1"
        yield head + b"\n--bb--"
        yield head + b"0webhook_callback_verification\n1webhook_callback_verification\n\n" + QUESTION
        yield head + b"\n" + QUESTION.replace(b"url_verification", b"1")
    yield long(b"\x00\n", b"a")


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
        "proxy": proxies(),
        "handshakes": questions(),
    }
    for target, seeds in given.items():
        into = pathlib.Path(folder, target)
        into.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (into / f"seed-{number}").write_bytes(seed)


main(*sys.argv[1:])
