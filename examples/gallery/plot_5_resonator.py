"""
Oscillations at irregular times
===============================

A `Resonator` is a bank of damped oscillators that learns its frequencies,
exact for any time between samples.
"""

# %%
# Two tones in noise, at random moments: three to four samples in a turn of the faster one. The
# target is the signal half a unit of time later.

import matplotlib.pyplot as plt
import torch

import torchliquid as tl

torch.manual_seed(0)
dt = 0.05 + torch.empty(1, 900).exponential_(2.0)
time = dt.cumsum(1)


def signal(t):
    return torch.sin(1.1 * t) + 0.6 * torch.sin(2.7 * t + 1)


x = (signal(time) + 0.1 * torch.randn(1, 900)).unsqueeze(-1)
y = signal(time + 0.5).unsqueeze(-1)

# %%
# The readout is solved by ridge regression in every epoch; the frequencies are trained by
# gradients. The first 80 samples, in which the state builds up, do not count.

layer = tl.Resonator(1, 8, dt=0.5, batch_first=True)
model = tl.SequenceModel(layer, 1)
history = tl.fit(
    model, x[:, :600], y[:, :600], dt=dt[:, :600],
    epochs=150, lr=0.02, readout="solve", warm_up=80, penalty=1e-3,
)  # fmt: skip
with torch.no_grad():
    found = model(x, dt=dt)[0]
error = (found - y)[:, 600:].square().mean().sqrt().item()
last = (x - y)[:, 600:].square().mean().sqrt().item()
print(f"test RMSE {error:.2f}; of repeating the last value {last:.2f}")

# %%

after, part = time[0, 820:870] + 0.5, slice(820, 870)
fine = torch.linspace(after[0], after[-1], 500)
figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
axes.plot(fine, signal(fine), label="the signal")
axes.plot(after, found[0, part, 0], "o", label="predicted half a unit before")
axes.set(xlabel="time", title="It predicts two tones at any moment")
axes.legend(loc="upper left", ncols=2)
plt.show()
