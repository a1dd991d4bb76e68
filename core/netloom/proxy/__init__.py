"""netloom-proxy: judges requests of connections that eBPF hands it, beside the agent and whether or not one runs."""
