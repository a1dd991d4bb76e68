"""What the plugin asks of the host: an address to call itself by, and passwords."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from netloom.model.address import Address
from netloom.model.errors import Invalid
from netloom_bgp.settings import MAX_PASSWORD_BYTES

_SIOCGIFCONF: Final = 0x8912
_IFREQ_BYTES: Final = 40
_MAX_ADDRESSES: Final = 256
_MAX_FILE_BYTES: Final = 4096


def router_id(peers: Iterable[Address]) -> IPv4Address:
    """An IPv4 address of this node: of its loopback, or the one that leads to a peer, or any. Raises Invalid."""
    addresses = [(name, address) for name, address in _addresses() if not address.is_loopback]
    for name, address in addresses:
        if name == "lo":
            return address
    for peer in peers:
        if isinstance(peer, IPv4Address) and (found := _towards(peer)) is not None:
            return found
    if addresses:
        return min(address for _, address in addresses)
    raise Invalid("plugins.bgp.router_id is not set, and this node has no IPv4 address; set it, to any that is unique")


def read_password(path: Path) -> str:
    """The first line of a password file. Raises Invalid, never with its content."""
    try:
        # To open a pipe would mean to wait for whoever writes to it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Invalid(f"password file {path} is no regular file, expected one whose first line is the password")
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise Invalid(f"password file {path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Invalid(
            f"password file {path} has mode {stat.S_IMODE(mode):04o}, expected one that nobody but its owner can "
            f"read; run: chmod 600 {path}"
        )
    password = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not password:
        raise Invalid(f"password file {path} begins with an empty line, expected the password there")
    if len(password) > MAX_PASSWORD_BYTES:
        raise Invalid(
            f"password file {path} begins with a line of more than {MAX_PASSWORD_BYTES} bytes, expected "
            f"{MAX_PASSWORD_BYTES} at most: Linux takes no longer TCP MD5 password"
        )
    if not all(0x20 <= one < 0x7F for one in password):
        raise Invalid(f"password file {path} has other characters than printable ASCII in its first line")
    return password.decode("ascii")


def _towards(peer: IPv4Address) -> IPv4Address | None:
    """The address that the kernel would speak from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(peer), 179))
        except OSError:
            return None
        return IPv4Address(probe.getsockname()[0])


def _addresses() -> list[tuple[str, IPv4Address]]:
    """IPv4 addresses of devices that are up, with the device's name (netdevice(7))."""
    buffer = bytearray(_IFREQ_BYTES * _MAX_ADDRESSES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        place = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iL", len(buffer), place))
    used = struct.unpack("iL", answer)[0]
    entries = [bytes(buffer[at : at + _IFREQ_BYTES]) for at in range(0, used, _IFREQ_BYTES)]
    return [(entry[:16].split(b"\0")[0].decode().partition(":")[0], IPv4Address(entry[20:24])) for entry in entries]
