"""IPAM `hostscope`: addresses from the pod CIDRs the node config gives this node."""
