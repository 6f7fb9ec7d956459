"""A training whose readout is solved in closed form in every epoch; the rest takes AdamW's steps.

For the states of the weights as they are, the readout of the least squared error is a linear
regression. The gradient of the other weights need not go through its solution: at the optimum that
term is zero, but for the penalty's share. Source: variable projection, Golub and Pereyra, "The
differentiation of pseudo-inverses and nonlinear least squares problems", 1973; for recurrent
networks Newman et al., "Train like a (Var)Pro", 2021.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from torchliquid.errors import TorchliquidError
from torchliquid.nn import LiquidLayer, Pack, SequenceModel
from torchliquid.training._data import Data, single_of
from torchliquid.training._torch_training import Floats, TorchTraining

TINY = 1e-12
"""Penalty, in units of the mean diagonal, that keeps a regression on constant states solvable."""


def check_solvable(model: nn.Module, loss: Any, batch_size: int | None) -> None:
    """Refuse what has no readout that can be solved for."""
    single = single_of(model)
    if not isinstance(single, SequenceModel) or type(single.readout) is not nn.Linear:
        raise TorchliquidError(
            f"readout='solve' needs a SequenceModel with an nn.Linear readout, or a Pack of them; "
            f"model is a {type(model).__name__}"
        )
    if loss != "mse":
        raise TorchliquidError(
            "readout='solve' minimises the squared error: leave loss out, or give loss='mse'"
        )
    if batch_size is not None:
        raise TorchliquidError("readout='solve' needs all rows at once: leave batch_size out")


class SolvedTraining(TorchTraining):
    """See the module; arguments as of `TorchTraining`, and ``penalties`` of each lane."""

    def __init__(self, penalties: NDArray[np.float64], *args: Any) -> None:
        super().__init__(*args)
        self.penalties = torch.from_numpy(penalties)

    def _backward(self, data: Data) -> tuple[Floats, Floats]:
        self._solve()
        result = super()._backward(data)
        for parameter in self._readout():
            parameter.grad = None  # it takes no step: the next epoch solves for it again
        return result

    def _validate(self) -> Floats:
        if self.validation is not None:
            self._solve()
        return super()._validate()

    def give_weights(self, *, best: bool) -> None:
        """See `TorchTraining`."""
        if not best:
            self._solve()
        super().give_weights(best=best)

    def _readout(self) -> list[Tensor]:
        readout: Any = self.model.readout
        return [p for p in readout.parameters() if p.requires_grad]

    @torch.no_grad()
    def _solve(self) -> None:
        """Write the regression on the training states into the readout, each lane's into its own.

        With weights that sum to 1, it minimises the weighted squared error plus the penalty times
        the mean variance of a state times the sum of squared readout weights; the bias is free.
        """
        readout: Any = self.model.readout
        parts = [self._products(part) for part in self._parts(self.data)]
        products = torch.stack(parts).sum(0)
        K, O = readout.weight.shape[-1], readout.weight.shape[-2]
        among, mean = products / products[:, K : K + 1, K : K + 1], None
        if readout.bias is not None:
            mean = among[:, K : K + 1]  # of states, of 1, of targets
            among = among - mean.mT @ mean
        xx, xy = among[:, :K, :K], among[:, :K, -O:]
        size = xx.diagonal(dim1=-2, dim2=-1).mean(-1)
        shrink = (self.penalties.to(size.device) + TINY) * size + torch.finfo(torch.float64).tiny
        eye = torch.eye(K, dtype=xx.dtype, device=xx.device)
        solved = torch.linalg.solve(xx + shrink[:, None, None] * eye, xy)  # (S, K, O)
        values = [(readout.weight, solved.mT)]
        if mean is not None:
            values.append((readout.bias, (mean[..., -O:] - mean[..., :K] @ solved)[:, 0]))
        for parameter, new in values:
            new = new if self.packed else new[0]
            parameter.copy_(torch.where(new.isfinite(), new.to(parameter.dtype), parameter))

    def _products(self, data: Data) -> Tensor:
        """Weighted sums of products of ``[states, 1, targets]`` with each other, of each lane."""
        x, given = data.arguments(batch_first=self.batch_first)
        states = self._states(x, given)
        states = states if self.batch_first else states.transpose(-3, -2)
        target = data.target.expand(*states.shape[:-1], data.target.shape[-1])
        weight = data.weight.expand(states.shape[:-1]).unsqueeze(-1)
        first = _first_that_counts(data.weight)
        states, target, weight = (t[..., first:, :] for t in (states, target, weight))
        one = torch.ones_like(states[..., :1])
        rows = torch.cat([states, one, target.to(states.dtype)], dim=-1)
        if not weight.all():  # where nothing counts there may be anything
            rows = torch.where(weight > 0, rows, 0.0)
        rows = rows.double()
        alike = ((weight == 0) | (weight == 1)).all()
        weighted = rows if alike else rows * weight.double()
        shape = (len(self.penalties), -1, rows.shape[-1])
        return weighted.reshape(shape).mT @ rows.reshape(shape)

    def _states(self, x: Tensor, given: dict[str, Any]) -> Tensor:
        if isinstance(self.model, Pack):
            return self.model.states(x, **given)[0]
        layer: Any = self.model.layer
        states: Tensor = layer(x, **(given if isinstance(layer, LiquidLayer) else {}))[0]
        return states


def _first_that_counts(weight: Tensor) -> int:
    """Return how many samples at the start of every row count nowhere."""
    return int((weight != 0).reshape(-1, weight.shape[-1]).any(dim=0).int().argmax())
