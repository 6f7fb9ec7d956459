"""What the hand-written kernels share: time-first sequences, and products over lanes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchliquid.functional import _projection as projection
from torchliquid.kernels._library import is_plain, wants_graph


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """``function.apply``, or its forward pass alone where no gradient is wanted.

    A third of the time of a call with one sample goes into `apply` itself.
    """
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    if is_plain(*tensors) and not wants_graph(*tensors) and forward_ad._current_level < 0:
        return function.forward(*arguments)
    return function.apply(*arguments)


def project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``W x + b`` at every step, time first: ``x (*S, B, L, I)`` gives ``(L, *S, B, G)``."""
    return projection.project(x, weight, bias).movedim(-2, 0).contiguous()


def add_product(a: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """``a + x @ weight`` in one call, lanes ``(S, B, H)`` or none ``(B, H)``."""
    if x.dim() == 3:
        return torch.baddbmm(a, x, weight)
    return torch.addmm(a, x, weight)


def products(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight`` at every step: ``(T, *S, B, H)`` times ``(*S, H, G)``, one product a lane."""
    return projection.project(x.movedim(0, -2), weight.mT, None).movedim(-2, 0)


def outer_products(dz: Tensor, x: Tensor) -> Tensor:
    """``dz x^T`` summed over steps and batch.

    Takes ``dz (T, *S, B, G)`` and ``x (T, *S, B, H)``, gives ``(*S, G, H)``.
    """
    left, right = (a.movedim(0, -3) for a in (dz, x))
    T, B = left.shape[-3:-1]
    left = left.reshape(*left.shape[:-3], T * B, left.shape[-1])
    return left.mT @ right.reshape(*right.shape[:-3], T * B, right.shape[-1])


def shifted(first: Tensor, states: Tensor) -> Tensor:
    """The state before every step, from the first one and those after every step."""
    return torch.cat([first.unsqueeze(0), states[:-1]])


def grad_with_graph(
    run: Callable[..., Any],
    arguments: Sequence[Any],
    needs: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients of ``run(*given)`` that have a graph of their own: what C code cannot give.

    ``run`` returns tensors or tuples of them, in the order of ``grads``; None stands for an output
    that was not used. A gradient is given where ``needs`` says so, else None.
    """
    # views: of a tensor that another one of them was computed from, only the direct part counts
    with torch.enable_grad():
        inputs = [t.view_as(t) if need else t for t, need in zip(arguments, needs, strict=True)]
        outputs = list(_flat(run(*inputs)))
    used = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None]
    wanted = [t for t, need in zip(inputs, needs, strict=True) if need]
    gradients = iter(
        torch.autograd.grad(
            [o for o, _ in used], wanted, [g for _, g in used], create_graph=True, allow_unused=True
        )
    )
    return [next(gradients) if need else None for need in needs]


def _flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    else:
        for part in value:
            yield from _flat(part)
