"""Models on disk, and what their inputs and outputs mean."""
