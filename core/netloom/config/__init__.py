"""Node configuration: YAML to typed values, with every problem at once and the origin of every value."""
