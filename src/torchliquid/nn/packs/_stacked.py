"""The weights of a pack: those of its models, stacked along a new first dimension."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid.errors import TorchliquidError


class StackedWeights(nn.ParameterDict):
    """Weights of one part of S models, ``(S, ...)`` each, under the names they have in a model.

    Calling it returns the weights to compute with. They are read as attributes, as a module reads
    its own, and hooks run before: pruning, parametrisations, weight norm, or a tensor that was set
    in place of a parameter count.

    Args:
        modules: the part of each model, alike.
    """

    def __init__(self, modules: list[nn.Module]) -> None:
        stacked: OrderedDict[str, nn.Parameter] = OrderedDict()  # a plain dict would be sorted
        for name, first in modules[0].named_parameters():
            values = [module.get_parameter(name).detach() for module in modules]
            stacked[name] = nn.Parameter(torch.stack(values), first.requires_grad)
        super().__init__(stacked)
        self._names = tuple(stacked)

    def forward(self) -> dict[str, Tensor]:
        """The weights by name, without those that are None.

        Raises:
            TorchliquidError: a weight was deleted, and no other tensor set in its place.
        """
        try:
            return {name: w for name in self._names if (w := getattr(self, name)) is not None}
        except AttributeError as error:
            raise TorchliquidError(
                f"a weight of the pack is missing ({error}): set a tensor by its name"
            ) from error

    __call__: Callable[..., Any] = nn.Module.__call__  # which a ParameterDict forbids
