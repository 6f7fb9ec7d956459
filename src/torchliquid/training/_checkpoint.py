"""A training on disk, from which it goes on to the bit."""

import hashlib
import re
import time
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError, TrainingWarning
from torchliquid.files import atomic_write, check_path
from torchliquid.messages import short_repr

_NAME = "torchliquid training"
_ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")


def check_seconds(seconds: Any) -> None:
    """Refuse what is no time between two writes."""
    number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    if not number or not seconds >= 0:
        raise TorchliquidError(
            f"checkpoint_seconds is {short_repr(seconds)}: give a number of at least 0"
        )


class Checkpoint:
    """The file of a training.

    Args:
        path: where; a training that lies there is gone on with.
        seconds: how often it is written.
        trainer: a `Trainer`.
        facts: all that decides what the training does.

    Raises:
        TorchliquidError: what lies there is no training, or another one.
    """

    def __init__(self, path: Any, seconds: float, trainer: Any, facts: Any) -> None:
        self.path, self.seconds, self.trainer = check_path(path), seconds, trainer
        start = [p.detach() for p in trainer.model.parameters()]
        self.key = _digest([facts, [(p.shape, p.dtype) for p in start]])
        self.saved, self.said = time.monotonic(), False
        if self.path.exists():
            self._load()

    def save_if_due(self) -> None:
        """Write it, if it is time."""
        if time.monotonic() - self.saved >= self.seconds:
            self.save()

    def save(self) -> None:
        """Write it; where that fails, say so once and train on."""
        trainer = self.trainer
        values: dict[str, Tensor] = {f"state.{n}": t for n, t in trainer.training.state().items()}
        for name in ("losses", "valid"):
            parts = [torch.from_numpy(part) for part in getattr(trainer, name)]
            if parts:
                values[name] = torch.cat(parts)
        values["seconds"] = torch.tensor([trainer.seconds], dtype=torch.float64)
        from safetensors.torch import save

        content = save(values, {"name": _NAME, "key": self.key})
        try:
            atomic_write(self.path, content)
        except (OSError, TorchliquidError) as error:
            if not self.said:
                self.said = True
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({error}): the training goes "
                    "on without",
                    TrainingWarning,
                    stacklevel=2,
                )
        self.saved = time.monotonic()

    def _load(self) -> None:
        from safetensors import safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                facts = file.metadata() or {}
                values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # the library has errors of its own, and passes others on
            raise TorchliquidError(
                f"checkpoint {self.path} cannot be read ({error}): give another file, or delete it"
            ) from error
        if facts.get("name") != _NAME:
            raise TorchliquidError(f"checkpoint {self.path} holds no training: give another file")
        if facts.get("key") != self.key:
            raise TorchliquidError(
                f"checkpoint {self.path} is of a training with other data, settings or sizes: give "
                "another file, or delete it"
            )
        trainer = self.trainer
        state = {n.removeprefix("state."): t for n, t in values.items() if n.startswith("state.")}
        trainer.training.load(state)
        for name in ("losses", "valid"):
            if name in values:
                setattr(trainer, name, [values[name].numpy()])
        trainer.seconds = float(values["seconds"])


def _digest(value: Any) -> str:
    """A hash of numbers, names and tensors, whatever they are nested in."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            add([tuple(value.shape), str(value.dtype)])
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        elif isinstance(value, Mapping):
            add([(name, value[name]) for name in sorted(value)])
        elif isinstance(value, list | tuple) and not isinstance(value, torch.Size):
            found.update(f"{len(value)}[".encode())
            for one in value:
                add(one)
        else:
            # a function's address is another one in the next process
            found.update(f"{_ADDRESS.sub('', repr(value))};".encode())

    add(value)
    return found.hexdigest()
