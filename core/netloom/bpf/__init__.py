"""eBPF through BCC and libbpf: compile, load, pin, read, run."""
