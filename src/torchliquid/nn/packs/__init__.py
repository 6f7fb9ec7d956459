"""Many models of one shape, trained side by side."""
