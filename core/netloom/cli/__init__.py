"""netctl: the command people look at a node with."""
