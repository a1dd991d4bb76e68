"""``netctl policy``: files checked and imported, and answers about what policies do."""
