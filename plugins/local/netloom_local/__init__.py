"""Store `local`: cluster state in a SQLite file, for the agents of one machine."""
