"""Policies: reading, selecting, resolving, explaining. Pure."""
