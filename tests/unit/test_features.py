"""Reading what the kernel says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.bpf import features
from netloom.bpf.features import effective_capabilities, filesystem_of, release_number
from netloom.model.errors import Unsupported

MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
24 22 0:22 / /sys rw,nosuid - sysfs sysfs rw
31 24 0:28 / /sys/fs/bpf rw,nosuid shared:9 master:2 - bpf bpf rw,mode=700
40 22 0:40 / /mnt/my\\040disk rw - tmpfs tmpfs rw
41 22 0:41 / /srv rw - tmpfs tmpfs rw
42 41 0:42 / /srv rw - bpf bpf rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/sys/fs/bpf/netloom", "bpf"),
        ("/sys/fs/bpf", "bpf"),
        ("/sys/fs/bpfilter", "sysfs"),
        ("/var", "ext4"),
        ("/mnt/my disk/x", "tmpfs"),
        ("/srv/pins", "bpf"),
    ],
)
def test_a_path_is_on_the_longest_and_last_mount_above_it(path: str, kind: str) -> None:
    """Names that merely begin alike are other directories; a later mount hides an earlier one."""
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_no_mounts_no_file_system() -> None:
    """An empty text names none."""
    assert filesystem_of(Path("/"), "") == ""


def test_the_effective_capabilities_are_read_as_a_bit_set() -> None:
    """Not the permitted, not the bounding ones."""
    assert effective_capabilities("CapPrm:\t00000000000000ff\nCapEff:\t0000000000001000\nCapBnd:\tff\n") == 0x1000


def test_a_text_without_capabilities_gives_none() -> None:
    """Rather than an error of its own."""
    assert effective_capabilities("Name:\tx\n") == 0


@pytest.mark.parametrize(
    ("release", "number"),
    [
        ("6.1.0-56-cloud-amd64", (6, 1)),
        ("6.12.117+deb12-amd64", (6, 12)),
        ("5.10.0-46-cloud-amd64", (5, 10)),
        ("6.18.44-fc-v657", (6, 18)),
        ("7.0-rc1", (7, 0)),
        ("unknown", (0, 0)),
    ],
)
def test_a_release_is_compared_by_its_first_two_numbers(release: str, number: tuple[int, int]) -> None:
    """Whatever a distribution writes behind them."""
    assert release_number(release) == number


@pytest.mark.parametrize("release", ["5.10.0-46-cloud-amd64", "6.0.12"])
def test_a_kernel_nobody_has_run_is_refused_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    """At start, in a sentence, rather than by dropping packets."""
    monkeypatch.setattr("platform.release", lambda: release)
    with pytest.raises(Unsupported, match=rf"needs Linux 6\.1 or later: .*tunnel keys.* found Linux {release}"):
        features.probe()


def test_a_kernel_that_takes_no_programs_of_walks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: its verifier would think for seconds and then refuse."""
    monkeypatch.setattr("platform.release", lambda: "6.1.0-56-amd64")
    with pytest.raises(Unsupported, match=r"walking a packet .* needs Linux 6\.2.* found Linux 6\.1"):
        features.require_walks()
