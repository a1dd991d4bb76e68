"""netloom-cni: what a container runtime calls."""
