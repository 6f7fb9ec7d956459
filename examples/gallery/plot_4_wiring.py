"""
A circuit that one can read
===========================

A network of 12 neurons over a sparse wiring, as of the package ncps, trained,
drawn with what it learnt, and cut.
"""

# %%
# It learns to keep a car in its lane: two readings of where the lane is in, a steering angle out.

import matplotlib.pyplot as plt
import torch

import torchliquid as tl

torch.manual_seed(0)
bend = torch.randn(24, 80).cumsum(1) * 0.1
near, far = bend[:, :70], bend[:, 10:]
x = torch.stack([near, far], -1)
y = (0.6 * near + 0.4 * far)[..., None].tanh()

wiring = tl.wirings.AutoNCP(12, 1, seed=3)
circuit = tl.NCP(2, wiring, batch_first=True)
model = tl.SequenceModel(circuit, 1)
history = tl.fit(model, x, y, epochs=120, lr=0.02)

# %%
# Lines are as wide as their weights are large; dashed ones inhibit.

figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
wiring.plot(2, weights=circuit, axes=axes)
plt.show()

# %%
# Without one neuron after the other: who matters?


def error():
    with torch.no_grad():
        return (model(x)[0] - y).square().mean().item()


whole = error()
for neuron, role in enumerate(wiring.roles):
    with circuit.ablate([neuron]):
        times = error() / whole
    print(f"{times:7.1f} times the error without neuron {neuron:2d}, {role}")
