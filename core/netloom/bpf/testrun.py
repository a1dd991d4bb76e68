"""Running a loaded program on a made-up packet (BPF_PROG_TEST_RUN), without any device."""

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
    received = ctypes.create_string_buffer(len(packet) + GROWTH_BYTES)
    context = SkBuff(ifindex=ifindex, gso_size=gso_size, mark=mark)
    after = SkBuff()
    options = libbpf.TestRunOpts(
        sz=sizeof(libbpf.TestRunOpts),
        data_in=ctypes.cast(ctypes.c_char_p(packet), ctypes.c_void_p),
        data_out=ctypes.cast(received, ctypes.c_void_p),
        data_size_in=len(packet),
        data_size_out=len(received),
        ctx_in=ctypes.cast(ctypes.pointer(context), ctypes.c_void_p),
        ctx_out=ctypes.cast(ctypes.pointer(after), ctypes.c_void_p),
        ctx_size_in=sizeof(context),
        ctx_size_out=sizeof(after),
        repeat=repeat,
    )
    result = libbpf.library().bpf_prog_test_run_opts(program.fd, options)
    libbpf.check(result, "run", f'eBPF program "{program.name}" on a packet of {len(packet)} bytes')
    return RunResult(
        verdict=ctypes.c_int32(options.retval).value,
        packet=received.raw[: options.data_size_out],
        mark=after.mark,
        duration_ns=options.duration,
    )
