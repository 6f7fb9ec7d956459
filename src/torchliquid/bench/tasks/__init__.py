"""What is to be predicted: data, split, and the rules that made them."""
