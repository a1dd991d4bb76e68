"""eBPF sources of the core, carried in the wheel as package data."""
