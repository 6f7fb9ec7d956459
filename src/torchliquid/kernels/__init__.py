"""The functions of `torchliquid.functional`, faster: same signatures, same values, same gradients.

Backends, chosen by the environment variable ``TORCHLIQUID_BACKEND``; without it ``native`` where it
was compiled, else ``torch``:

- ``native``: C, compiled when torchliquid was installed (`setup.py`). For
  tensors on the CPU in float32 or float64; others go to the next.
- ``torch``: the forward loop runs without a graph; the backward pass is written by hand. All that
  does not depend on the order of time steps is computed for the whole sequence at once, so that
  only two or three small operations a step remain. Needs nothing but PyTorch.
- ``reference``: `torchliquid.functional` under autograd: slow, and obvious.

All are differentiable any number of times: the hand-written backward pass is itself made of
differentiable operations, and the native one is left for it where a graph of the gradient is asked
for. Forward-mode derivatives (`torch.func.jvp`, `torch.autograd.forward_ad`) run the reference, and
so do exports (`torch.export`, `torch.jit.trace`, ONNX): their graphs then hold plain operations.
"""

from torchliquid.kernels._bindings.fit import (
    BETAS,
    DIVERGED,
    ENDED,
    EPSILON,
    LOSSES,
    STOPPED,
    TRAINING,
    Lanes,
    Rows,
    Training,
    read_times,
    training_bytes,
)
from torchliquid.kernels._bindings.layers import Plan
from torchliquid.kernels._bindings.stages import (
    CTRNN,
    DECAY_GRU,
    GRU,
    LSTM,
    KernelCell,
    ltc_cell,
)
from torchliquid.kernels._buffers import empty_cache, memory
from torchliquid.kernels._dispatch import (
    BACKENDS,
    VARIABLE,
    Behind,
    Stepper,
    backend,
    behind_memory,
    cfc,
    cfc_behind,
    cfc_fits,
    filter_likelihoods,
    filter_states,
    gated_model,
    gru,
    linear,
    lstm,
    ltc,
    ltc_model,
    native_build,
    rate_cell,
    resonator,
    resonator_step,
    stepper,
    synaptic,
    synaptic_behind,
    try_fast_layers,
)

__all__ = [
    "BACKENDS",
    "BETAS",
    "CTRNN",
    "DECAY_GRU",
    "DIVERGED",
    "ENDED",
    "EPSILON",
    "GRU",
    "LOSSES",
    "LSTM",
    "STOPPED",
    "TRAINING",
    "VARIABLE",
    "Behind",
    "KernelCell",
    "Lanes",
    "Plan",
    "Rows",
    "Stepper",
    "Training",
    "backend",
    "behind_memory",
    "cfc",
    "cfc_behind",
    "cfc_fits",
    "empty_cache",
    "filter_likelihoods",
    "filter_states",
    "gated_model",
    "gru",
    "linear",
    "lstm",
    "ltc",
    "ltc_cell",
    "ltc_model",
    "memory",
    "native_build",
    "rate_cell",
    "read_times",
    "resonator",
    "resonator_step",
    "stepper",
    "synaptic",
    "synaptic_behind",
    "training_bytes",
    "try_fast_layers",
]
