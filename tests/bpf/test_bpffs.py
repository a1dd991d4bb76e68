"""A host without a bpf file system gets one."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.bpf

SCRIPT = """
from pathlib import Path
from netloom.bpf.features import filesystem_of, mount_bpffs
directory = Path("/sys/fs/bpf/netloom-mounted")
for _ in range(2):
    mount_bpffs(directory)
print(filesystem_of(directory, Path("/proc/self/mountinfo").read_text()), oct(directory.stat().st_mode & 0o777))
print(sum(" /sys/fs/bpf " in line for line in Path("/proc/self/mountinfo").read_text().splitlines()))
"""


def test_the_file_system_is_mounted_once_where_everybody_expects_it() -> None:
    """In a mount namespace of its own, where it was unmounted before; directories are for root alone."""
    alone = "set -e; mount --make-rprivate /sys; while umount /sys/fs/bpf 2>/dev/null; do :; done"
    argv = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", f'{alone}; exec "$0" -c "$1"']
    done = subprocess.run([*argv, sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["bpf", "0o700", "1"]
