"""Stock Debian kernels in QEMU: one command at a time, as root, on a read-only view of this machine's files."""
