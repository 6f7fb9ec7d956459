"""What users may rely on: the names, their documentation, and a light import."""

import inspect
import json
import subprocess
import sys
import types

import pytest

import torchliquid

# Frozen. A name that goes breaks users; one that comes is a promise: change CHANGELOG.md with it.
NAMES = [
    "CfC",
    "Forecaster",
    "GRUD",
    "History",
    "LRCU",
    "LTC",
    "LiquidLayer",
    "MixedMemory",
    "NCP",
    "ODELSTM",
    "Pack",
    "Resonator",
    "SequenceModel",
    "TorchliquidError",
    "WiredCfC",
    "citations",
    "compare",
    "dt_from_timestamps",
    "export",
    "fill_missing",
    "fit",
    "from_ncps",
    "functional",
    "load",
    "load_forecaster",
    "play",
    "plot_time_constants",
    "save",
    "time_constants",
    "watch",
    "wirings",
]
FUNCTIONAL = [
    "SOLVERS",
    "cfc",
    "ctrnn",
    "decay_gru",
    "gru",
    "gru_d",
    "lrcu",
    "lstm",
    "ltc",
    "ltc_step",
    "ltc_time_constants",
    "ode_lstm",
    "resonator",
    "synaptic",
    "time_constant",
]
SIGNATURES = {
    "Forecaster": "(horizon=24, model='auto', intervals=(0.8, 0.9, 0.95), bounds=None, seed=0)",
    "LTC": "(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, "
    "bidirectional=False, proj_size=0, *, solver='semi_implicit', unfolds=1, dt=1.0, device=None, "
    "dtype=None)",
    "Pack": "(make_model, seeds)",
    "Resonator": "(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, "
    "dropout=0.0, bidirectional=False, proj_size=0, *, gate=None, slowest=None, fastest=None, "
    "initial_tau=None, dt=1.0, device=None, dtype=None)",
    "SequenceModel": "(layer, output_size)",
    "dt_from_timestamps": "(t, first=None, *, unit=None, dim=-1, dtype=None)",
    "fill_missing": "(x, observed=None, *, indicator=False, batch_first=False)",
    "fit": "(model, x, y, *, epochs, lr=0.01, dt=None, lengths=None, observed=None, weight=None, "
    "validation=None, patience=None, schedule='constant', weight_decay=0.0, clip=None, "
    "batch_size=None, loss='mse', warm_up=0, dt_scale=1.0, readout='train', "
    "penalty=0.0001, progress=False, seed=0, checkpoint=None, checkpoint_seconds=60.0)",
    "load": "(folder)",
    "load_forecaster": "(folder)",
    "plot_time_constants": "(layer, x, h0=None, dt=None, *, layer_index=0)",
    "save": "(model, folder)",
    "time_constants": "(layer, x, h0=None, dt=None, lengths=None, observed=None)",
    "watch": "(model, every=1)",
}
HEAVY = {"matplotlib", "pandas", "scipy", "rich", "jinja2", "pyarrow", "safetensors"}


def test_public_names_are_frozen():
    assert sorted(torchliquid.__all__) == NAMES
    assert sorted(torchliquid.functional.__all__) == FUNCTIONAL


@pytest.mark.parametrize("module", [torchliquid, torchliquid.functional])
def test_nothing_else_looks_public(module):
    for name in set(dir(module)) - set(module.__all__):
        value = getattr(module, name)
        assert name.startswith("_") or isinstance(value, types.ModuleType), name


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_are_frozen(name):
    signature = inspect.signature(getattr(torchliquid, name))
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]


def public_objects():
    for module, names in ((torchliquid, NAMES), (torchliquid.functional, FUNCTIONAL)):
        yield module.__name__, module
        for name in names:
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            for member, inner in vars(value).items() if inspect.isclass(value) else ():
                if not member.startswith("_") and (callable(inner) or isinstance(inner, property)):
                    yield f"{module.__name__}.{name}.{member}", inner


@pytest.mark.parametrize(("name", "value"), [pytest.param(*o, id=o[0]) for o in public_objects()])
def test_every_public_object_is_documented(name, value):
    if isinstance(value, tuple):  # a constant: the string below it, which Sphinx reads
        source = inspect.getsource(sys.modules[f"{torchliquid.functional.__name__}.ltc"])
        assert f'{name.split(".")[-1]} = tuple(_STEPS)\n"""' in source
    else:
        assert value.__doc__ is not None
        assert len(value.__doc__.strip()) > 20


def test_import_is_light(capsys):
    code = """
import json, sys, time
import torch
before, start = set(sys.modules), time.perf_counter()
import torchliquid
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "all": list(sys.modules),
                  "own": sorted(set(sys.modules) - before)}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert not HEAVY & {name.split(".")[0] for name in found["all"]}
    rooms = {name.split(".")[1] for name in found["own"] if name.startswith("torchliquid.")}
    assert rooms == {
        "_checks",
        "errors",
        "files",
        "functional",
        "insight",
        "install",
        "kernels",
        "messages",
        "nn",
        "signals",
        "training",
        "wirings",
    }
    foreign = [name for name in found["own"] if not name.startswith("torchliquid")]
    assert len(foreign) < 10, foreign
    with capsys.disabled():
        milliseconds = 1000 * found["seconds"]
        print(f"\n`import torchliquid` beyond `import torch`: {milliseconds:.0f} ms, {foreign}")


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert torchliquid.__version__ == version("torchliquid")


def test_the_package_says_it_is_typed():
    from importlib.resources import files

    assert files("torchliquid").joinpath("py.typed").is_file()
