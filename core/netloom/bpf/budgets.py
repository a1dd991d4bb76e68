"""How much each program may ask of the verifier.

The kernel gives up at a million instructions walked, and kernels differ in how many they walk. What a program walks on
the kernel it is developed on stands well below its budget; growth beyond is a change to look at, not an accident.
"""

from __future__ import annotations

from typing import Final

VERIFIED_INSTRUCTIONS: Final = {
    "encap": 2_000,
    "forward": 100_000,
    "from_container": 100_000,
    "from_host": 40_000,
    "from_netdev": 40_000,
    "from_overlay": 40_000,
    "from_underlay": 40_000,
    "icmp_error": 5_000,
    "native": 5_000,
    "neighbor": 15_000,
    "prefilter": 500,
    "proxy": 2_000,
    "to_netdev": 10_000,
    "to_proxy": 10_000,
}
"""Most instructions the verifier may walk for a program, by its name."""
