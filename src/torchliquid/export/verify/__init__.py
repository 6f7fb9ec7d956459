"""Evidence that an exported model is the model that was trained."""
