"""Netloom measured beside what it is compared with, on this machine, in one run."""
