"""Models, their training and what they said, kept in a store."""
