"""A grown network begins with the logits of its predecessor, and all its parts learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from livebach.music.roll import KEYS, UNKNOWN
from livebach.network.spec import CONDITION_FEATURES
from livebach.training.growth import grown
from livebach.training.model import TwoAxisWaveNet, from_checkpoint, to_checkpoint
from tests.support.small_network import SMALL, WITH_FRAMES, network, random_frames, random_given

LARGER = replace(
    SMALL,
    time_channels=12,
    time_dilations=(*SMALL.time_dilations, 5, 1),
    mixing_layers=(0, 1, 4),
    context_channels=9,
    condition_channels=7,
    key_channels=8,
    key_dilations=(*SMALL.key_dilations, 2),
    given_channels=6,
)


def inputs(length: int = 40) -> tuple[Any, ...]:
    """Two crops, some keys given."""
    frames = [random_frames(length + 1, seed) for seed in (1, 2)]
    given = [random_given(f[1:], seed=3) for f in frames]
    condition = torch.rand(2, length, CONDITION_FEATURES, generator=torch.Generator().manual_seed(4))
    planes = [
        torch.stack([torch.from_numpy(f) for f in x]) for x in ([f[:-1] for f in frames], [f[1:] for f in frames])
    ]
    return planes[0], condition, planes[1], torch.stack([torch.from_numpy(g) for g in given])


@pytest.mark.parametrize(
    "larger",
    [
        replace(SMALL, time_channels=12),
        replace(SMALL, time_dilations=(*SMALL.time_dilations, 7), mixing_layers=(1, 4)),
        replace(SMALL, mixing_layers=(0, 1)),
        replace(SMALL, key_channels=9, context_channels=11),
        WITH_FRAMES,
        LARGER,
    ],
)
def test_it_begins_with_the_same_logits(larger: Any) -> None:
    """In every frame and key, with given keys too."""
    source = network(seed=5, loud=2.0)
    frames, condition, coming, given = inputs()
    assert (given == UNKNOWN).any()
    assert (given != UNKNOWN).any()
    with torch.no_grad():
        expected = source.logits(source.context(frames, condition), coming, given)
        model = grown(to_checkpoint(source, {}), larger)
        actual = model.logits(model.context(frames, condition), coming, given)
    assert actual.shape[2] == KEYS
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_one_that_takes_frames_as_vectors_grows() -> None:
    """That stack is kept as it is, beside wider ones; it cannot itself grow."""
    source = to_checkpoint(network(WITH_FRAMES, seed=5, loud=2.0), {})
    frames, condition, coming, given = inputs()
    wider = replace(WITH_FRAMES, context_channels=9, condition_channels=7, key_channels=8)
    with torch.no_grad():
        logits = [
            m.logits(m.context(frames, condition), coming, given)
            for m in (from_checkpoint(source).eval(), grown(source, wider))
        ]
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="frame_channels cannot change from 10 to 12"):
        grown(source, replace(WITH_FRAMES, frame_channels=12))


@pytest.mark.parametrize("larger", [LARGER, WITH_FRAMES])
def test_every_part_of_it_learns(larger: Any) -> None:
    """After a few updates no weight of it is where it began."""
    model = grown(to_checkpoint(network(seed=5), {}), larger)
    begun = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        model(*inputs()).sum().backward()
        optimizer.step()
    still = [name for name, value in model.named_parameters() if (value == begun[name]).all()]
    assert still == []


def test_the_same_shape_is_the_same_network() -> None:
    """Nothing is drawn anew."""
    source = network(seed=5)
    same = grown(to_checkpoint(source, {}), SMALL)
    assert isinstance(same, TwoAxisWaveNet)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), source.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time_channels": 6}, "time_channels cannot shrink from 8 to 6"),
        ({"mixing_heads": 4}, "mixing_heads cannot change"),
        ({"time_dilations": (1, 2, 4)}, "time_dilations must begin with"),
        ({"mixing_layers": (2,)}, "mixing_layers must keep"),
    ],
)
def test_only_larger_ones(change: dict[str, Any], said: str) -> None:
    """What cannot be kept is refused in one line."""
    with pytest.raises(ValueError, match=said):
        grown(to_checkpoint(network(), {}), replace(SMALL, **change))
