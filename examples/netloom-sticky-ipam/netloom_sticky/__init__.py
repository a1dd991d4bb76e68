"""Pods keep their address: an address manager for Netloom."""
