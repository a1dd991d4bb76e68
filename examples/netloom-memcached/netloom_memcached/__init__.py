"""Memcached for Netloom's policies."""
