"""``netctl observe``: flows of the past and as they come, with who was the cause."""
