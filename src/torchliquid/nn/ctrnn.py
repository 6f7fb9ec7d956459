"""The continuous-time recurrent layer (CT-RNN): `LTC` without its liquid time constant."""

from collections.abc import Mapping

from torch import Tensor

from torchliquid import kernels
from torchliquid.functional.ctrnn import ctrnn_unchecked
from torchliquid.functional.ltc import positive_tau
from torchliquid.nn._rate_layer import RateLayer
from torchliquid.nn._registry import LIQUID_OPTIONS, CellType, register
from torchliquid.nn.layer import LiquidLayer


class CTRNN(RateLayer):
    """Continuous-time recurrent layer: its time constants are learnt, and do not move.

    It is `LTC` without what is liquid about it.
    The equation is in `torchliquid.functional.ctrnn`.

    Args: as of `LiquidLayer`.

    Parameters: weight_ih_l0 ``(H, I)``, weight_hh_l0 ``(H, H)``, bias_l0 ``(H,)``, raw_tau_l0
    ``(H,)``, whose softplus is tau; it starts at 1 (tau 1.313).

    >>> import torch
    >>> CTRNN(1, 8)(torch.zeros(5, 1), dt=0.1)[0].shape
    torch.Size([5, 8])
    """

    weight_names = ("weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_l0")
    rows, start, biases, rate_name = 1, 1.0, ("bias_l0",), "raw_tau_l0"

    def kernel_cell(self) -> kernels.KernelCell | None:
        """See `LiquidLayer.kernel_cell`."""
        own = type(self)
        plain = own.scan is CTRNN.scan and own.emit is LiquidLayer.emit
        return kernels.CTRNN if plain else None

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LiquidLayer.scan`."""
        values = tuple(map(weights.get, self.weight_names))
        return kernels.rate_cell(kernels.CTRNN, x, state, values, dt, ctrnn_unchecked)

    def leaks(self) -> Tensor:
        """See `LiquidLayer.leaks`."""
        return self.tau

    def _tau(self, weights: Mapping[str, Tensor]) -> Tensor:
        return positive_tau(weights["raw_tau_l0"])


register(
    CellType(
        name="CTRNN",
        papers=("funahashi1993approximation",),
        layer=CTRNN,
        is_liquid=False,
        takes_dt=True,
        options=LIQUID_OPTIONS,
        about="time constants that do not move (CT-RNN)",
    )
)
