"""``python -m tools.fuzz [SECONDS [NAME [FILE]]]``: each harness, or one, for so long; or one finding once again.

What was found interesting stays in ``.fuzz/NAME/corpus`` and is where the next run begins. A finding is in
``.fuzz/NAME/crash-*``. Exit status: 0 when nothing was found, 1 otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / ".fuzz"
PATHS: Final = (ROOT / "tests", ROOT / "examples" / "netloom-memcached")
NAMES: Final = ("http", "replies", "http2", "memcached")
INPUT_BYTES_MAX: Final = 1024
INPUT_S_MAX: Final = 10


def fuzzed(name: str, seconds: int, *files: str) -> bool:
    """Whether a harness found nothing."""
    options = (f"-max_len={INPUT_BYTES_MAX}", "-len_control=0", f"-timeout={INPUT_S_MAX}")
    what = files or (f"-max_total_time={seconds}", "-print_final_stats=1")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    argv = (sys.executable, "-m", "tools.fuzz.target", name, str(KEPT / name), *options, *what)
    return subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode == 0


def main() -> None:
    """All in turn, whatever one of them finds."""
    seconds, *rest = sys.argv[1:] or ("60",)
    names, files = (rest[:1] or NAMES), rest[1:]
    found = [name for name in names if not fuzzed(name, int(seconds), *files)]
    if found:
        sys.exit(f"found something: {', '.join(found)}")


if __name__ == "__main__":
    main()
