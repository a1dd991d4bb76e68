"""Network mode `native`: packets between nodes as they are, by the nodes' routes."""
