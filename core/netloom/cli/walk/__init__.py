"""``netctl walk``: which agents to ask, in which order, and how to show what they say."""
