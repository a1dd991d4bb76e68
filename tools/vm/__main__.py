"""``python -m tools.vm --kernel 6.1 -- COMMAND``: run one command under a stock kernel, in the present directory.

Exit status: the command's; 124 when the time limit was reached; 125 when the machine failed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tools.vm.boot import boot
from tools.vm.debian import KERNELS, cache_directory
from tools.vm.errors import MachineError
from tools.vm.image import prepare
from tools.vm.machine import Command, Limits, Machine, TimeLimitError, guest_environment

EXIT_TIME = 124
EXIT_MACHINE = 125


def main() -> int:
    """Parse, boot, report."""
    parser = argparse.ArgumentParser(prog="python -m tools.vm", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kernel", choices=sorted(KERNELS), default="6.1", help="series of Debian's kernels")
    parser.add_argument("--limit", type=float, default=600.0, metavar="SECONDS", help="for boot and command together")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=1536, metavar="MIB")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the command")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    try:
        return asyncio.run(_boot(arguments))
    except MachineError as error:
        sys.stderr.write(f"vm: {error}\n")
        return EXIT_TIME if isinstance(error, TimeLimitError) else EXIT_MACHINE
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


async def _boot(arguments: argparse.Namespace) -> int:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    image = prepare(KERNELS[arguments.kernel], cache_directory())
    command = Command(
        argv=arguments.command,
        directory=Path.cwd(),
        environment=guest_environment() | dict(pair.partition("=")[::2] for pair in arguments.env),
        needs=(Path(sys.prefix), Path(sys.base_prefix)),
    )
    machine = Machine(image=image, cpus=arguments.cpus, memory_mib=arguments.memory)
    return await boot(machine, command, Limits(whole_s=arguments.limit), to_own_streams)


def to_own_streams(name: str, data: bytes) -> None:
    """Standard output to standard output, errors to errors."""
    stream = sys.stdout if name == "stdout" else sys.stderr
    stream.buffer.write(data)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
