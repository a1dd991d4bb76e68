"""Running a loaded program on a made-up packet (BPF_PROG_TEST_RUN), without any device.

:func:`run` for programs of tc, :func:`run_xdp` for those of XDP.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64, sizeof
from dataclasses import dataclass

from netloom.bpf import libbpf
from netloom.bpf.programs import LoadedProgram

GROWTH_BYTES = 4096
"""Room for what a program adds to a packet; the kernel refuses to cut the answer."""


class SkBuff(ctypes.Structure):
    """``struct __sk_buff`` (linux/bpf.h)."""

    _fields_ = (
        ("len", c_uint32),
        ("pkt_type", c_uint32),
        ("mark", c_uint32),
        ("queue_mapping", c_uint32),
        ("protocol", c_uint32),
        ("vlan_present", c_uint32),
        ("vlan_tci", c_uint32),
        ("vlan_proto", c_uint32),
        ("priority", c_uint32),
        ("ingress_ifindex", c_uint32),
        ("ifindex", c_uint32),
        ("tc_index", c_uint32),
        ("cb", c_uint32 * 5),
        ("hash", c_uint32),
        ("tc_classid", c_uint32),
        ("data", c_uint32),
        ("data_end", c_uint32),
        ("napi_id", c_uint32),
        ("family", c_uint32),
        ("remote_ip4", c_uint32),
        ("local_ip4", c_uint32),
        ("remote_ip6", c_uint32 * 4),
        ("local_ip6", c_uint32 * 4),
        ("remote_port", c_uint32),
        ("local_port", c_uint32),
        ("data_meta", c_uint32),
        ("flow_keys", c_uint64),
        ("tstamp", c_uint64),
        ("wire_len", c_uint32),
        ("gso_segs", c_uint32),
        ("sk", c_uint64),
        ("gso_size", c_uint32),
        ("tstamp_type", c_uint32),
        ("hwtstamp", c_uint64),
    )


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a program did with a packet."""

    verdict: int
    """What it returned, signed: a TC_ACT_ number."""
    packet: bytes
    """The frame as it left the program."""
    mark: int
    """``skb->mark`` afterwards."""
    duration_ns: int
    """Mean time of one run, measured by the kernel."""


def run(
    program: LoadedProgram,
    packet: bytes,
    *,
    ifindex: int = 0,
    gso_size: int = 0,
    mark: int = 0,
    repeat: int = 1,
) -> RunResult:
    """Run ``program`` on ``packet``, an Ethernet frame of at least 14 bytes.

    ``ifindex`` names an existing device of this network namespace; 0 and 1 are the loopback device. With
    ``repeat``, the packet goes through as often, changed by each run. Raises KernelError.
    """
    context = SkBuff(ifindex=ifindex, gso_size=gso_size, mark=mark)
    after = SkBuff()
    options = libbpf.TestRunOpts(
        sz=sizeof(libbpf.TestRunOpts),
        ctx_in=ctypes.cast(ctypes.pointer(context), ctypes.c_void_p),
        ctx_out=ctypes.cast(ctypes.pointer(after), ctypes.c_void_p),
        ctx_size_in=sizeof(context),
        ctx_size_out=sizeof(after),
        repeat=repeat,
    )
    left = _run(program, packet, options)
    verdict = ctypes.c_int32(options.retval).value
    return RunResult(verdict=verdict, packet=left, mark=after.mark, duration_ns=options.duration)


@dataclass(frozen=True, slots=True)
class XdpResult:
    """What a program for XDP did with a frame."""

    verdict: int
    """An XDP_ number (linux/bpf.h): 1 drops, 2 lets pass."""
    packet: bytes
    """The frame as it left the program."""


def run_xdp(program: LoadedProgram, packet: bytes) -> XdpResult:
    """Run ``program`` on a frame of at least 14 bytes, as if a driver had received it. Raises KernelError."""
    options = libbpf.TestRunOpts(sz=sizeof(libbpf.TestRunOpts), repeat=1)
    left = _run(program, packet, options)
    return XdpResult(verdict=options.retval, packet=left)


def _run(program: LoadedProgram, packet: bytes, options: libbpf.TestRunOpts) -> bytes:
    """The packet as it left the program; what else there is to know stands in ``options``."""
    received = ctypes.create_string_buffer(len(packet) + GROWTH_BYTES)
    options.data_in, options.data_size_in = ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p), len(packet)
    options.data_out, options.data_size_out = ctypes.cast(received, ctypes.c_void_p), len(received)
    result = libbpf.library().bpf_prog_test_run_opts(program.fd, options)
    libbpf.check(result, "run", f'eBPF program "{program.name}" on a packet of {len(packet)} bytes')
    return received.raw[: options.data_size_out]
