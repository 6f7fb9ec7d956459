"""Forward and hand-written backward passes in PyTorch operations: one file a cell."""
