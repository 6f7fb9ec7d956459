"""Wirings: what is connected, and that they are values: equal, immutable, kept as JSON."""

import itertools
import json

import numpy as np
import pytest
import torch

from torchliquid import TorchliquidError, wirings

ALL = [
    wirings.FullyConnected(8, 3),
    wirings.FullyConnected(5, self_connections=False, seed=2),
    wirings.Random(12, 4, sparsity=0.6),
    wirings.NCP(8, 6, 3, 4, 4, 6, 4),
    wirings.NCP(inter=(12, 8), command=6, motor=4, seed=9),
    wirings.AutoNCP(32, 4),
    wirings.from_adjacency(np.eye(3), [[1, 0, -1]], 2),
]


@pytest.mark.parametrize("wiring", ALL, ids=repr)
def test_a_wiring_is_a_value(wiring):
    again = wirings.from_json(json.loads(json.dumps(wiring.to_json())))
    assert again == wiring
    assert hash(again) == hash(wiring)
    np.testing.assert_array_equal(again.recurrent, wiring.recurrent)
    assert len({wiring, again}) == 1
    assert "0x" not in repr(wiring)
    with pytest.raises(AttributeError):
        wiring.seed = 3
    with pytest.raises(ValueError, match="read-only"):
        wiring.recurrent[0, 0] = 1
    assert set(np.unique(wiring.recurrent)) <= {-1, 0, 1}
    assert wiring.recurrent.shape == (wiring.units, wiring.units)
    assert len(wiring.roles) == wiring.units
    assert wiring.roles[: wiring.outputs] == ("motor",) * wiring.outputs
    assert wiring.synapses == np.count_nonzero(wiring.recurrent)


@pytest.mark.parametrize("wiring", ALL[:6], ids=repr)
def test_one_wiring_does_for_any_number_of_inputs(wiring):
    before = wiring.synapses
    for inputs in (1, 3, 20):
        first, again = wiring.sensory(inputs), wiring.sensory(inputs)
        np.testing.assert_array_equal(first, again)
        assert first.shape == (inputs, wiring.units)
        assert first.any(axis=1).all() or isinstance(wiring, wirings.Random)
    assert wiring.synapses == before


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("inter", [8, (12, 8), (5, 3, 4)])
def test_a_policy_has_its_layers_and_fans(seed, inter):
    wiring = wirings.NCP(inter, 6, 3, sensory_fan_out=4, inter_fan_out=3, recurrent_command=7,
                         motor_fan_in=4, seed=seed)  # fmt: skip
    layers = wiring._layers()
    assert sum(map(len, layers)) + 3 == wiring.units
    left = wiring.recurrent.copy()
    for sources, targets in itertools.pairwise(layers):
        part = wiring.recurrent[np.ix_(sources, targets)]
        assert (np.count_nonzero(part, axis=1) >= 3).all()
        assert part.any(axis=0).all()
        left[np.ix_(sources, targets)] = 0
    command = layers[-1]
    assert np.count_nonzero(wiring.recurrent[np.ix_(command, command)]) == 7
    motors = wiring.recurrent[np.ix_(command, range(3))]
    assert (np.count_nonzero(motors, axis=0) >= 4).all()
    left[np.ix_(command, command)] = left[np.ix_(command, range(3))] = 0
    assert not left.any()  # and nothing else
    seen = wiring.sensory(2)
    assert not seen[:, np.setdiff1d(np.arange(wiring.units), layers[0])].any()
    assert seen[:, layers[0]].any(axis=0).all()


def test_shares_of_synapses():
    for sparsity in (0.0, 0.3, 0.95):
        found = wirings.Random(20, sparsity=sparsity)
        assert found.synapses == round((1 - sparsity) * 400)
    assert wirings.FullyConnected(5, self_connections=False).synapses == 20
    assert wirings.Random(6, seed=1) != wirings.Random(6, seed=2)
    assert (wirings.Random(6, seed=1).recurrent != wirings.Random(6, seed=2).recurrent).any()
    sparse, dense = (wirings.AutoNCP(40, 5, sparsity=share).synapses for share in (0.9, 0.1))
    assert sparse < dense / 4


def test_a_graph_and_a_picture():
    pytest.importorskip("networkx")
    plt = pytest.importorskip("matplotlib.pyplot")
    wiring = wirings.AutoNCP(12, 2)
    graph = wiring.to_networkx(3)
    assert graph.number_of_nodes() == 15
    assert graph.number_of_edges() == wiring.synapses + np.count_nonzero(wiring.sensory(3))
    assert {data["role"] for _, data in graph.nodes(data=True)} == {
        "sensory", "inter", "command", "motor",
    }  # fmt: skip
    axes = wiring.plot(3)
    loops = np.count_nonzero(np.diag(wiring.recurrent))
    assert len(axes.texts) == graph.number_of_edges() - loops
    assert len(axes.collections) == loops + 4
    assert next(t.get_text() for t in axes.get_xticklabels()) == "3 sensory"
    axes = wirings.NCP(inter=(5, 4, 3), command=3, motor=2, inter_fan_out=2, motor_fan_in=2).plot(1)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1 sensory", "5 inter", "4 inter", "3 inter", "3 command", "2 motor"]
    plt.close("all")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: wirings.FullyConnected(0), "units is 0"),
        (lambda: wirings.FullyConnected(4, 5), "outputs is 5: 4 units"),
        (lambda: wirings.FullyConnected(True), "units is True"),
        (lambda: wirings.Random(4, sparsity=1.0), "sparsity is 1.0"),
        (lambda: wirings.Random(4, seed=-1), "seed is -1"),
        (lambda: wirings.NCP((), 3, 1), "inter is empty"),
        (lambda: wirings.NCP(3, 6, 2, sensory_fan_out=4), "sensory_fan_out is 4: there are 3"),
        (lambda: wirings.NCP(8, 3, 2, inter_fan_out=4), "inter_fan_out is 4: there are 3"),
        (lambda: wirings.NCP(8, 6, 2, motor_fan_in=7), "motor_fan_in is 7: there are 6"),
        (lambda: wirings.NCP(8, 6, 2, recurrent_command=37), "at most 36 synapses"),
        (lambda: wirings.AutoNCP(6, 4), "at least 7 units"),
        (lambda: wirings.AutoNCP(32, 4, sparsity=1.0), "from 0.1 to 0.9"),
        (lambda: wirings.from_adjacency([[1, 0]], [[1]]), "expected .H, H. and .I, H."),
        (lambda: wirings.from_adjacency([[2]], [[1]]), "other values than 1, -1 and 0"),
        (lambda: wirings.from_adjacency("abc", [[1]]), "recurrent is no table"),
        (lambda: wirings.from_adjacency([[1]], [[1]], roles=["inter"]), "roles is"),
        (lambda: ALL[6].sensory(2), "given for 1 inputs, and 2 are asked for"),
        (lambda: ALL[0].sensory(0), "inputs is 0"),
        (lambda: wirings.from_json({"kind": "Torus"}), "is no wiring"),
        (lambda: wirings.from_json({"kind": "NCP", "inter": 3, "colour": 1}), "is no wiring"),
        (lambda: wirings.from_json(None), "is no wiring"),
    ],
)
def test_what_is_no_wiring(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()


def test_learnt_weights_are_drawn_by_their_size():
    pytest.importorskip("matplotlib.pyplot")
    from torchliquid import NCP

    wiring = wirings.AutoNCP(12, 2)
    layer = NCP(3, wiring)
    among, seen = layer.strengths()
    assert ((among != 0).numpy() == (wiring.recurrent != 0)).all()
    assert (np.sign(seen.numpy()) == wiring.sensory(3)).all()
    place = tuple(np.argwhere(wiring.recurrent)[3])
    with torch.no_grad():
        layer.erev_l0[3] *= -50  # the largest by far, and its sign is another
        layer.w_l0[3] = 1.0
    widths = [t.arrow_patch.get_linewidth() for t in wiring.plot(3, weights=layer).texts]
    assert max(widths) == pytest.approx(3.5)
    assert sum(w > 1 for w in widths) <= 1
    assert layer.strengths()[0][place] * wiring.recurrent[place] < 0
    plain = [t.arrow_patch.get_linewidth() for t in wiring.plot(3).texts]
    assert set(plain) == {0.8}
    for weights, said in (
        ("all", "expected an NCP, or two tables"),
        ((among, among), r"tables of shapes \(12, 12\) and \(12, 12\)"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            wiring.plot(3, weights=weights)
