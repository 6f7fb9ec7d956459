"""Statistics, claims and verdicts: all that follows from the rows of a store."""
