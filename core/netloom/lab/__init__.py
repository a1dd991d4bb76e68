"""A cluster inside one machine: every node a network namespace with an agent of its own."""
