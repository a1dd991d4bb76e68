"""A program: a TCP stream of which every byte is looked at.

``streaming.py listen ADDRESS`` prints its port, takes one connection, and prints how many right bytes came before
its end. ``streaming.py send ADDRESS PORT`` sends until SIGTERM, ends the stream in order, and prints how many bytes
it sent.
"""

from __future__ import annotations

import random
import signal
import socket
import sys
import time

BLOCK = random.Random(1).randbytes(65521)  # noqa: S311 - the same on both sides
"""A prime number of bytes: no buffer's size divides it, so nothing that is missing or doubled goes unseen."""
TWICE = BLOCK * 2
PAUSE_S = 0.01
"""Between two blocks, so that the stream does not take the whole machine."""
LONGEST_SILENCE_S = 20.0


def say(word: object) -> None:
    """To whoever started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def listen(address: str) -> None:
    """One stream."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        say(listener.getsockname()[1])
        connection, _ = listener.accept()
    connection.settimeout(LONGEST_SILENCE_S)
    count = 0
    while data := connection.recv(len(BLOCK)):
        at = count % len(BLOCK)
        if data != TWICE[at : at + len(data)]:
            sys.exit(f"other bytes than were sent, after {count}")
        count += len(data)
    say(count)


def send(address: str, port: int) -> None:
    """Until SIGTERM."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    count = 0
    with socket.create_connection((address, port), timeout=LONGEST_SILENCE_S) as connection:
        say("ready")
        while going:
            connection.sendall(BLOCK)
            count += len(BLOCK)
            time.sleep(PAUSE_S)
        connection.shutdown(socket.SHUT_WR)
    say(count)


if __name__ == "__main__":
    listen(sys.argv[2]) if sys.argv[1] == "listen" else send(sys.argv[2], int(sys.argv[3]))
