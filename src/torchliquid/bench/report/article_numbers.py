"""What the article printed, to be set beside what is measured: facts to cite, never results.

"Deconstructing Liquid Neural Networks (LNNs), Part 3: Benchmarking LNNs vs LSTMs", 2026: one run,
state reset at the test stretch.
"""

NUMBERS = {
    ("LTC-8-euler", "train_mse"): 0.0179,
    ("LTC-8-euler", "test_mse_reset"): 0.0204,
    ("LSTM-16", "train_mse"): 0.0007,
    ("LSTM-16", "test_mse_reset"): 0.0047,
}
"""Mean squared errors by model and measure, as printed."""

CURVES = {
    "LTC-8-euler": {0: 0.88, 40: 0.64, 120: 0.40, 200: 0.13, 280: 0.08}
    | {400: 0.067, 560: 0.05, 800: 0.033},
    "LSTM-16": {0: 0.67, 40: 0.072, 100: 0.03, 180: 0.01},
}
"""Training losses by epoch, read by eye off its figure; 280 and 560 stand for 270 and 550."""
