"""Booting with the fastest accelerator that works: KVM where it does, emulation where not."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

from tools.vm.errors import MachineError
from tools.vm.image import Image
from tools.vm.machine import Accelerator, Command, Limits, Machine, NotStartedError, Output, run

CHOICE_VARIABLE = "NETLOOM_VM_ACCELERATOR"
"""``kvm`` or ``tcg``; unset: found out."""
KVM_DEVICE = Path("/dev/kvm")
KVM_STARTS_WITHIN_S = 25.0
"""Under KVM a command starts within two or three seconds. Where virtualisation is itself virtualised the device may be
there and a guest may hang in its first instructions, which nothing but trying shows."""


async def boot(machine: Machine, command: Command, limits: Limits, output: Output) -> int:
    """As :func:`tools.vm.machine.run`, after finding out about KVM, which is remembered beside the image."""
    wanted = os.environ.get(CHOICE_VARIABLE, "")
    if wanted not in ("", "kvm", "tcg"):
        raise MachineError(f'{CHOICE_VARIABLE} is "{wanted}", expected kvm or tcg')
    if wanted == "tcg" or (not wanted and not _may_have_kvm(machine.image)):
        return await run(replace(machine, accelerator="tcg"), command, limits, output)
    try:
        kvm: Accelerator = "kvm"
        return await run(
            replace(machine, accelerator=kvm), command, replace(limits, start_s=KVM_STARTS_WITHIN_S), output
        )
    except NotStartedError:
        if wanted:
            raise
        sys.stderr.write(f"kernel {machine.image.version}: does not start under KVM here; it is emulated\n")
        _record(machine.image).write_text(json.dumps({"host": _host(), "kvm": False}))
        return await run(replace(machine, accelerator="tcg"), command, limits, output)


def _may_have_kvm(image: Image) -> bool:
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return False
    try:
        return bool(json.loads(_record(image).read_text()) != {"host": _host(), "kvm": False})
    except (FileNotFoundError, ValueError):
        return True


def _record(image: Image) -> Path:
    return image.directory / "accelerator.json"


def _host() -> str:
    """What the finding holds for."""
    return f"{platform.node()} {platform.release()} {platform.version()}"
