"""Policies that read HTTP: requests are judged by method, path, host and headers."""
