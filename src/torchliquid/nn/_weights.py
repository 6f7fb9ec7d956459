"""The weights that a module computes with, wherever they live.

Pruning, weight norm, parametrisations, weight drop, hypernetworks and replicas of DataParallel put
a tensor where a parameter was: they are read as attributes, as the modules themselves read them.
"""

from torch import Tensor, nn

from torchliquid.nn._torch_cells import weight_names_of
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import Recurrent, SequenceModel


def weights_of(module: SequenceModel | Recurrent | nn.Linear) -> dict[str, Tensor]:
    """Weights by the names of the plain module's parameters; those that are None are left out."""
    if isinstance(module, SequenceModel):
        parts: dict[str, Recurrent | nn.Linear] = {
            "layer": module.layer,
            "readout": module.readout,
        }
        return {f"{p}.{n}": w for p, part in parts.items() for n, w in weights_of(part).items()}
    if isinstance(module, LiquidLayer):
        return module.weights()
    names = ("weight", "bias") if isinstance(module, nn.Linear) else weight_names_of(module)
    return {name: w for name in names if (w := getattr(module, name)) is not None}
