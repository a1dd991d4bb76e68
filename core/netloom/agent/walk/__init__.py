"""One node's part of a packet walk: programs run as twins, everything else asked of the kernel."""
