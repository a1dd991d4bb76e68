"""Pure values: what the network is made of, with no effect and no clock."""
