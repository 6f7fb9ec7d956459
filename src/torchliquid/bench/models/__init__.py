"""What a benchmark compares: networks, and methods that are fitted without epochs."""
