"""Random numbers of a seed alone, whatever else in the process draws some meanwhile."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from torchliquid.errors import TorchliquidError


class Seeded(TorchDispatchMode):
    """Within it, this thread's draws come from generators of its own, seeded by ``seed``.

    The numbers are those that follow ``torch.manual_seed(seed)``. The process's generators are
    neither read nor moved, so that other threads neither disturb nor notice. A draw that names a
    generator keeps it.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, wraps the method below in a function that imports torch's compiler: a
        # second of every process that builds a pack. A version of torch without it does as before.
        return False

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Hand a generator to every operation that draws."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            device = _device(args, kwargs)
            if device.type != "meta":
                func = _with_generator(func)
                kwargs = {**kwargs, "generator": self._generator(device)}
        return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def _device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensors = [a for a in args if isinstance(a, Tensor)]
    return tensors[0].device if tensors else torch.get_default_device()


def _with_generator(func: Any) -> Any:
    """The operation itself, or its overload, that takes a generator."""
    packet = func.overloadpacket
    wanted = ("generator",) if func._overloadname == "default" else ()
    names = (func._overloadname, f"{func._overloadname}_generator", *wanted)
    for name in names:
        overload = getattr(packet, name, None)
        if overload and any(a.name == "generator" for a in overload._schema.arguments):
            return overload
    raise TorchliquidError(
        f"make_model draws random numbers by {func}, which takes no generator: draw them in "
        "another way, e.g. by torch.rand or torch.nn.init"
    )
