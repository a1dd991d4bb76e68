"""Pure planning: what stands, what should stand, and the steps between."""
