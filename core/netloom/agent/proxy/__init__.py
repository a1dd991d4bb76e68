"""The agent's side of the node's proxy: has one run, tells it the tables, hears what it tells of requests."""
