"""
A tour: train, look at the time constants, keep
===============================================

A room is heated on and off, and a sensor reports at irregular times. A liquid
network gets the time before each sample, learns how the room follows, and
shows what its time constants do.
"""

# %%
# The data
# --------
# Forty rooms of 60 samples each. The gaps between samples are irregular, about one unit of time;
# the room follows the heating within three units.

import matplotlib.pyplot as plt
import torch

import torchliquid as tl

torch.manual_seed(0)
dt = torch.empty(40, 60).exponential_()
heat = (torch.rand(40, 60) < 0.5).float()
room, temperature = torch.zeros(40), []
for k in range(60):
    room = heat[:, k] + (room - heat[:, k]) * torch.exp(-dt[:, k] / 3)
    temperature.append(room)
x, y = heat.unsqueeze(-1), torch.stack(temperature, dim=1).unsqueeze(-1)

# %%
# A model, trained in one call
# ----------------------------
# An `LTC` stands where `nn.LSTM` would, and takes `dt` beside the input. `SequenceModel` puts a
# linear readout on its states. `tl.fit` trains it; thirty rooms train, ten are kept for the end.

layer = tl.LTC(1, 8, batch_first=True, unfolds=4)
model = tl.SequenceModel(layer, output_size=1)
history = tl.fit(model, x[:30], y[:30], dt=dt[:30], epochs=300, lr=0.02)

with torch.no_grad():
    predictions, state = model(x[30:], dt=dt[30:])
error = (predictions - y[30:]).square().mean().item()
parameters = sum(p.numel() for p in model.parameters())
print(f"{parameters} parameters, test error {error:.4f}")

# %%
# What it predicts
# ----------------
# One of the ten rooms that it did not see: the network follows the room through short gaps and
# long ones.

time = dt[30].cumsum(0)
figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
axes.plot(time, y[30], label="the room")
axes.plot(time, predictions[0], "o", markersize=4, label="LTC-8")
axes.set(xlabel="time", ylabel="temperature")
axes.set_title("It follows the room, gap by gap")
axes.legend()
plt.show()

# %%
# Its time constants
# ------------------
# The time constant of every neuron depends on the input and on the state. Each row of the map is a
# neuron, from the least time constant that its gate allows to the largest.

figure = tl.plot_time_constants(model, x[30:31], dt=dt[30:31])
figure

# %%
# As numbers, in the unit of dt:

tau = tl.time_constants(model, x[30:31], dt=dt[30:31])
print(f"shape {tuple(tau.shape)}, from {tau.min():.2f} to {tau.max():.2f}")

# %%
# Keep it
# -------
# A folder of JSON and safetensors, without pickle. From there `torchliquid export FOLDER --to c`
# makes C, and `--to js` JavaScript.

import tempfile

folder = tempfile.mkdtemp() + "/room"
tl.save(model, folder)
again = tl.load(folder)
torch.equal(again(x[30:], dt=dt[30:])[0], predictions)
