"""What is to be predicted: signals, tables, their split, and the rules that made them."""
