"""
What knowing the time is worth
==============================

The same data, with and without the times between samples, for four layers.
"""

# %%
# Rooms that are heated on and off, and a sensor that reports at irregular times, as in the tour.

import matplotlib.pyplot as plt
import torch

import torchliquid as tl

torch.manual_seed(0)
dt = torch.empty(64, 60).exponential_()
heat = (torch.rand(64, 60) < 0.5).float()
room, temperature = torch.zeros(64), []
for k in range(60):
    room = heat[:, k] + (room - heat[:, k]) * torch.exp(-dt[:, k] / 3)
    temperature.append(room)
x, y = heat.unsqueeze(-1), torch.stack(temperature, dim=1).unsqueeze(-1)
with_gap = torch.stack([heat, dt.log()], -1)

# %%
# A layer takes the time through its equation, by `dt=`, or as one more input. A `Pack` trains six
# seeds of each side by side.


def errors(build, inputs, times=None):
    def model(seed):
        return tl.SequenceModel(build(inputs.shape[-1]), 1)

    pack = tl.Pack(model, range(6))
    seen = {} if times is None else {"dt": times[:32]}
    unseen = {} if times is None else {"dt": times[32:]}
    tl.fit(pack, inputs[:32], y[:32], epochs=300, lr=0.02, **seen)
    with torch.no_grad():
        found = pack(inputs[32:], **unseen)[0]
    return (found - y[32:]).square().mean((1, 2, 3)).numpy()


def lstm(features):
    return torch.nn.LSTM(features, 8, batch_first=True)


def ltc(features):
    return tl.LTC(features, 8, batch_first=True, unfolds=4)


def gru(features):
    return tl.nn.DecayGRU(features, 8, batch_first=True)


found = {
    "nn.LSTM-8, no time": errors(lstm, x),
    "nn.LSTM-8, the gap as an input": errors(lstm, with_gap),
    "LTC-8, dt=": errors(ltc, x, dt),
    "DecayGRU-8, dt=": errors(gru, x, dt),
}

# %%
# Each dot is a seed. Who does not know the time is far off; how one is told matters less. On data
# where the time says little, all four are alike: try before you believe.

figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
for row, test_errors in enumerate(found.values()):
    axes.plot(test_errors, [-row] * 6, "o", markersize=9, alpha=0.7)
axes.set_yticks([0, -1, -2, -3], list(found))
axes.set(xscale="log", xlabel="test error", ylim=(-3.5, 0.5))
axes.set_title("Knowing the time divides the error by ten or more")
plt.show()
