"""Coverage-guided fuzzing of parsers, by atheris."""
