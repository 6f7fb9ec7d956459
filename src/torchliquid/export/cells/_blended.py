"""Cells of one gate whose step in integers is ``x' = x + g (slope x + pull) - leak x``."""

from torchliquid.export.c._arithmetic import rounded, rounded_c, seen, sigmoid, tangent, z_of
from torchliquid.export.cells.base import CellExport, Counts, IntLayer


class BlendedCell(CellExport):
    """A cell that takes dt, with one gate and a state x."""

    takes_dt = True
    gates = 1
    states = ("x",)
    is_blend = True
    int_locals = "gate, change"

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """See `CellExport.int_step`."""
        name = layer.states[0][1]
        before = seen(layer, state[name])
        z = z_of(layer, drive + layer.w_rec @ before)[0]
        gate = tangent(z) if self.tanh_gates else sigmoid(z)
        between = layer.pull + rounded(layer.slope * before, 15)
        change = gate * between - layer.leak * before
        state[name] = state[name] + rounded(change, layer.shift + 15 * (not layer.wide))

    def int_update(self, layer: IntLayer) -> str:
        """See `CellExport.int_update`."""
        x, n = layer.states[0][1], layer.index
        gate = "tangent" if self.tanh_gates else "sigmoid"
        slope = " + (((int32_t)HALF(own->slope) * before[j] + 16384) >> 15)"
        lines = [
            f"gate = {gate}(z_{n}(sum, HALF(own->factor)));",
            f"change = HALF(own->pull){slope if 'slope' in self.int_arrays else ''};",
            "change = added(gate * change, -((int32_t)HALF(own->leak) * before[j]));",
            f"{x}[j] = added({x}[j], {rounded_c('change', layer.shift)});"
            if layer.wide
            else f"{x}[j] = (int16_t)({x}[j] + ({rounded_c('change', layer.shift + 15)}));",
        ]
        return "\n".join(lines)
