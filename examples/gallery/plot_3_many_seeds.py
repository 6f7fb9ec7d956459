"""
Forty trainings in one call
===========================

One training says little: another seed, another result. A `Pack` trains many
side by side.
"""

# %%
# Three sizes of LTC, forty seeds each, on a noisy sum of sines.

import matplotlib.pyplot as plt
import torch

import torchliquid as tl

torch.manual_seed(0)
t = 0.1 * torch.arange(301)
series = torch.sin(t) + 0.5 * torch.sin(2.3 * t) + 0.1 * torch.randn(301)
x, y = series[None, :-1, None], series[None, 1:, None]


def trained(neurons, seeds=40):
    def build(seed):
        return tl.SequenceModel(tl.LTC(1, neurons, batch_first=True), 1)

    pack = tl.Pack(build, range(seeds))
    tl.fit(pack, x[:, :200], y[:, :200], epochs=400, lr=0.02)
    with torch.no_grad():
        error = (pack(x)[0] - y[None])[:, :, 200:].square().mean((1, 2, 3))
    return error.numpy()


# %%
# Each dot is a seed. A comparison of two single trainings could have gone either way.

figure, axes = plt.subplots(figsize=(10, 3), layout="constrained")
for row, neurons in enumerate((2, 4, 8)):
    errors = trained(neurons)
    height = [row + 0.012 * (k % 15 - 7) for k in range(40)]
    axes.plot(errors, height, "o", alpha=0.6)
axes.set_yticks(range(3), ["LTC-2", "LTC-4", "LTC-8"])
axes.set(xlabel="test error", title="Each dot is another seed")
plt.show()
