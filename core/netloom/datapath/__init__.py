"""What the eBPF data path consists of, declared once and purely: structs, maps, slots, drop reasons, events."""
