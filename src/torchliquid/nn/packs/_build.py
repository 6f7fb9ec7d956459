"""What may become a lane of a pack: models that a pack runs exactly as they run themselves."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

import torch
from torch import nn

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr
from torchliquid.nn._weights import weights_of
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import HOOKS, SequenceModel
from torchliquid.nn.packs._seeding import Seeded

MakeModel = Callable[[int], SequenceModel]


def build_lanes(make_model: MakeModel, seeds: tuple[int, ...]) -> list[SequenceModel]:
    """One model for each seed, or an error that says what a pack would not do as they do."""
    _check_factory(make_model)
    models = [build(make_model, seed) for seed in seeds]
    for seed, model in zip(seeds, models, strict=True):
        _check_alike(models[0], model, f"seeds {seeds[0]} and {seed}")
    shared = [id(m) for m in models], [id(p) for m in models for p in m.parameters()]
    if any(len(set(ids)) < len(ids) for ids in shared):
        raise TorchliquidError(
            "make_model gives models that share weights, or one model for several seeds: build a "
            "new one in each call"
        )
    _check_reproducible(make_model, seeds[0], models[0])
    for lane, model in enumerate(models[1:], 1):
        if _equal(models[0], model):
            warnings.warn(
                f"lanes 0 and {lane} of a pack start with equal weights: make_model does not "
                "depend on its seed",
                stacklevel=4,
            )
            break
    return models


def check_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Different integers that torch takes as seeds."""
    if isinstance(seeds, Integral):
        raise TorchliquidError(f"seeds is {seeds}: give one for each lane, e.g. range({seeds})")
    if isinstance(seeds, str | bytes | dict) or not isinstance(seeds, Iterable):
        raise TorchliquidError(f"seeds is {short_repr(seeds)}: give an integer for each lane")
    try:
        listed = list(seeds)
    except Exception as error:  # iterating is the argument's own code
        raise TorchliquidError(
            f"seeds is {short_repr(seeds)}: give an integer for each lane"
        ) from error
    for seed in listed:
        whole = isinstance(seed, Integral) and not isinstance(seed, bool)
        if not whole or not 0 <= seed < 2**64:
            raise TorchliquidError(
                f"seeds holds {short_repr(seed)}: give integers from 0 to 2**64 - 1"
            )
    if not listed:
        raise TorchliquidError("seeds is empty: a pack needs at least one lane")
    twice = (
        [seed for seed in listed if listed.count(seed) > 1]
        if len(set(listed)) < len(listed)
        else []
    )
    if twice:
        raise TorchliquidError(f"seed {twice[0]} is named twice: each lane needs its own")
    return tuple(int(seed) for seed in listed)


def build(make_model: MakeModel, seed: int) -> SequenceModel:
    """The model of one seed, if a pack can run it."""
    initial, state = torch.initial_seed(), torch.get_rng_state()
    try:
        with Seeded(seed):
            model = make_model(seed)
    finally:
        seed_after = torch.initial_seed()
        fresh = torch.Generator().manual_seed(seed_after).get_state()
        reset = torch.equal(torch.get_rng_state(), fresh) and not torch.equal(state, fresh)
        if seed_after != initial or reset:
            torch.set_rng_state(state)
    if seed_after != seed and (seed_after != initial or reset):
        raise TorchliquidError(
            f"make_model seeds torch's generator with {seed_after} where the pack asks for seed "
            f"{seed}: "
            "leave the seeding to the pack"
        )
    _check_model(model)
    return model


def _check_factory(make_model: Any) -> None:
    try:
        inspect.signature(make_model).bind(0)
    except ValueError:
        return  # a built-in function: it does not say what it takes
    except Exception as error:  # not callable, takes something else, or a signature that fails
        raise TorchliquidError(
            f"make_model is {short_repr(make_model)}: give a function of one seed that builds a "
            "SequenceModel"
        ) from error


def _check_model(model: Any) -> None:
    if type(model) is not SequenceModel:
        raise TorchliquidError(
            f"make_model returned a {type(model).__name__}: expected a SequenceModel itself; a "
            "pack does not run what a subclass adds"
        )
    layer = model.layer
    if isinstance(layer, LiquidLayer):
        known = type(layer).forward is LiquidLayer.forward
    else:
        known = type(layer) in (nn.LSTM, nn.GRU)
    if not known or type(model.readout) is not nn.Linear:
        odd = model.readout if known else layer
        raise TorchliquidError(
            f"a pack does not run the forward of {type(odd).__name__}: give a layer of "
            "torchliquid, nn.LSTM or nn.GRU, and a readout that is an nn.Linear"
        )
    if not isinstance(layer, LiquidLayer) and layer.proj_size:
        raise TorchliquidError(f"a pack takes torch's layers without projection: got {layer}")
    extra = _extras(model)
    if extra:
        raise TorchliquidError(f"a pack does not run {extra}: remove it from the model")


def _extras(model: SequenceModel) -> str:
    """What the model has beside plain weights, in words; nothing where there is nothing."""
    for name, module in model.named_modules():
        where = f" of {name}" if name else " of the model"
        if name not in ("", "layer", "readout"):
            return f"the submodule {name} (a parametrisation?)"
        if any(getattr(module, kind) for kind in HOOKS):
            return f"the hooks{where}"
        if "forward" in vars(module):
            return f"the forward that was set on an instance{where}"
        if module._buffers:
            return f"the buffer {next(iter(module._buffers))}{where}"
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in parameters.items():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return f"the hooks of {name}"
    if set(parameters) != set(weights_of(model)):
        odd = sorted(set(parameters) ^ set(weights_of(model)))[0]
        return f"{odd}, which is not one of the layer's or readout's own weights"
    addresses = [p.data_ptr() for p in parameters.values() if p.numel()]
    if len({id(p) for p in parameters.values()}) < len(parameters) or (
        len(set(addresses)) < len(addresses) and not any(p.is_meta for p in parameters.values())
    ):
        return "weights that are tied to each other"
    return ""


def _check_alike(first: SequenceModel, other: SequenceModel, seeds: str) -> None:
    facts = [
        {n: (p.shape, p.dtype, p.device, p.requires_grad) for n, p in model.named_parameters()}
        for model in (first, other)
    ]
    if repr(first) != repr(other) or facts[0] != facts[1] or first.training != other.training:
        raise TorchliquidError(
            f"{seeds} give models of different shape, dtype, frozen weights or options: all lanes "
            "of a pack must be alike"
        )


def _check_reproducible(make_model: MakeModel, seed: int, model: SequenceModel) -> None:
    again = build(make_model, seed)
    if again is not model and not _equal(again, model):
        raise TorchliquidError(
            f"make_model({seed}) gives other weights when it is called again: draw all random "
            "numbers from torch's own generator, not from one that is shared between calls"
        )


def _equal(one: SequenceModel, other: SequenceModel) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(p.is_meta or torch.equal(p, q) for p, q in pairs)
