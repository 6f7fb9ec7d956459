"""A GRU whose state decays between samples, at learnt rates."""

from collections.abc import Mapping

from torch import Tensor

from torchliquid import kernels
from torchliquid.functional.decay_gru import decay_gru_unchecked
from torchliquid.functional.ltc import positive_tau
from torchliquid.nn._rate_layer import RateLayer
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn.layer import LiquidLayer

SLOW = -2.25
"""Raw rate at which a decay starts: its softplus is 0.1, a time constant of 10."""


class DecayGRU(RateLayer):
    """`nn.GRU` whose state decays in the time between samples, each neuron at a learnt rate.

    The equations are in `torchliquid.functional.decay_gru`. A sample with dt 0 still counts:
    do not pad sequences with such.

    Args: as of `LiquidLayer`.

    Parameters: those of `nn.GRU`, and raw_rate_l0 ``(H,)``, whose softplus is the rate; it starts
    at -2.25 (a time constant of 10).

    >>> import torch
    >>> DecayGRU(1, 4)(torch.zeros(5, 1), dt=0.1)[0].shape
    torch.Size([5, 4])
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "raw_rate_l0")
    rows, start, biases, rate_name = 3, SLOW, ("bias_ih_l0", "bias_hh_l0"), "raw_rate_l0"

    def kernel_cell(self) -> kernels.KernelCell | None:
        """See `LiquidLayer.kernel_cell`."""
        own = type(self)
        plain = own.scan is DecayGRU.scan and own.emit is LiquidLayer.emit
        return kernels.DECAY_GRU if plain else None

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        values = tuple(map(weights.get, self.weight_names))
        return kernels.rate_cell(kernels.DECAY_GRU, x, state, values, dt, decay_gru_unchecked)

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        return 1 / positive_tau(weights["raw_rate_l0"])


register(
    CellType(
        name="DecayGRU",
        papers=("che2018recurrent", "cho2014learning"),
        layer=DecayGRU,
        is_liquid=False,
        takes_dt=True,
        options=LIQUID_OPTIONS,
        about="a GRU whose state decays in time, at learnt rates",
    )
)
