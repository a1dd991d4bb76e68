"""The prefilter of the node: whose packets end at the underlay device, as its operator wants it."""
