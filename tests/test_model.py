"""The network: its receptive field, normalised probabilities, and learning."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from livebach.music.roll import HOLD, KEYS, OFF, STATES, UNKNOWN
from livebach.network.spec import CONDITION_FEATURES
from tests.support.small_network import SMALL, melody, network, piece, random_frames, random_given

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from livebach.training.model import Noise, drop, forget, from_checkpoint, nats, to_checkpoint
from livebach.training.validation import on_device, whole_piece

TICKS = SMALL.receptive_field + 6
Inputs = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"]


@pytest.fixture(scope="module")
def model():  # noqa: D103
    return network(loud=2.0)


def inputs(seed: int = 0, ticks: int = TICKS) -> Inputs:
    """Frames, condition, coming, nothing given: a batch of one."""
    roll = random_frames(ticks + 1, seed, 0.3)
    condition = np.random.default_rng(seed).random((ticks, CONDITION_FEATURES)) < 0.1
    arrays = roll[:-1], condition.astype(np.float32), roll[1:], np.full_like(roll[1:], UNKNOWN)
    frames, rows, coming, given = (torch.from_numpy(a.copy())[None] for a in arrays)
    return frames, rows, coming, given


@torch.no_grad()
def logits(model, frames, rows, coming, given):
    """The teacher-forced logits [T, 88, 3]."""
    return model.logits(model.context(frames, rows), coming, given)[0]


def changed(a, b) -> list[int]:
    """Where two tensors differ along their first axis."""
    return (a - b).abs().flatten(1).amax(dim=1).gt(1e-7).nonzero().flatten().tolist()


@pytest.mark.parametrize("plane", [0, 1])
def test_time_is_causal_and_as_deep_as_stated(model, plane: int) -> None:
    """A frame, and its condition, is seen from its own tick on, for exactly the receptive field."""
    first = inputs()
    second = [x.clone() for x in first]
    second[plane][:, 3] = (second[plane][:, 3] + 1) % 2
    with torch.no_grad():
        a, b = (model.context(x[0], x[1])[0] for x in (first, second))
    assert changed(a, b)[0] == 3
    # A condition enters with a layer's gates, beside what the layer looks back for.
    assert changed(a, b)[-1] == 3 + SMALL.receptive_field - 1 - plane * SMALL.time_dilations[0]


def test_every_key_of_a_frame_is_heard_from_every_key(model) -> None:
    """Across the mixing layers the lowest key reaches the highest."""
    frames, rows, *_ = inputs()
    other = frames.clone()
    other[0, 2, 0] = 1 - other[0, 2, 0].clamp(max=1)
    with torch.no_grad():
        a, b = (model.context(x, rows)[0, 2:] for x in (frames, other))
    assert changed(a.transpose(0, 1), b.transpose(0, 1)) == list(range(KEYS))


@pytest.mark.parametrize("key", [0, 40, 86])
def test_a_coming_key_is_seen_only_from_above(model, key: int) -> None:
    """The state of key k is known to the keys above it, as far as the dilations reach, and to no other frame."""
    frames, rows, coming, given = inputs()
    other = coming.clone()
    other[0, 5, key] = (other[0, 5, key] + 1) % STATES
    a, b = logits(model, frames, rows, coming, given), logits(model, frames, rows, other, given)
    assert changed(a, b) == [5]
    reach = 1 + sum(SMALL.key_dilations)
    assert changed(a[5], b[5]) == list(range(key + 1, min(KEYS, key + 1 + reach)))


def test_a_given_key_is_seen_from_all_keys(model) -> None:
    """Also from those below it, in its own frame only; given OFF is not the same as unknown."""
    frames, rows, coming, given = inputs()
    for key, state in itertools.product((0, 43, 87), range(STATES)):
        other = given.clone()
        other[0, 5, key] = state
        a, b = logits(model, frames, rows, coming, given), logits(model, frames, rows, coming, other)
        assert changed(a, b) == [5]
        near = [k for k in range(KEYS) if abs(k - key) <= 1]
        assert set(near) <= set(changed(a[5], b[5]))


def test_the_default_given_stack_spans_the_keyboard() -> None:
    """From its lowest key to its highest."""
    from livebach.network.spec import NetworkSpec

    assert sum(NetworkSpec().given_dilations) >= KEYS - 1


@pytest.mark.parametrize("low", [0, 42, 85])
def test_the_likelihoods_of_all_frames_add_up_to_one(model, low: int) -> None:
    """Over the joint states of three keys, all others given: the frame's probability is exact."""
    frames, rows, coming, given = inputs(ticks=8)
    frames[:, :, low : low + 3] = torch.tensor([[0, 1, 2], [2, 0, 1]] * 4, dtype=torch.uint8)
    given = coming.clone()
    given[:, :, low : low + 3] = UNKNOWN
    total = torch.zeros(8)
    for states in itertools.product(range(STATES), repeat=3):
        coming[:, :, low : low + 3] = torch.tensor(states, dtype=torch.uint8)
        with torch.no_grad():
            total += torch.exp(-model(frames, rows, coming, given)[0].sum(dim=-1))
    assert torch.allclose(total, torch.ones(8), atol=1e-5)


def test_held_from_nothing_has_no_probability(model) -> None:
    """HOLD after OFF is impossible, and the other two share its part."""
    frames, rows, coming, given = inputs()
    frames[:] = OFF
    found = logits(model, frames, rows, coming, given)[None]
    off, onset, hold = (nats(found, frames, torch.full_like(coming, s), given) for s in range(STATES))
    assert (hold > 1e8).all()
    assert torch.allclose(torch.exp(-off) + torch.exp(-onset), torch.ones(()), atol=1e-5)
    frames[:] = HOLD
    assert (nats(found, frames, torch.full_like(coming, HOLD), given) < 100).all()


def test_given_keys_cost_nothing(model) -> None:
    """Nor an impossible one; what is not given costs something."""
    frames, rows, coming, _ = inputs()
    given = torch.from_numpy(random_given(coming[0].numpy()))[None]
    with torch.no_grad():
        cost = model(frames, rows, coming, given)
        impossible = model(torch.zeros_like(frames), rows, torch.full_like(coming, HOLD), torch.full_like(coming, HOLD))
    assert (cost[given != UNKNOWN] == 0).all()
    assert (cost[given == UNKNOWN] > 0).all()
    assert (impossible == 0).all()


def test_dropout_is_in_training_only(model) -> None:
    """One mask for all keys of a frame, unbiased; at rest it changes nothing."""
    frames, rows, coming, given = inputs()
    with torch.no_grad():
        assert torch.equal(model(frames, rows, coming, given, Noise(0.5, 0.5)), model(frames, rows, coming, given))
    torch.manual_seed(0)
    ones = drop(torch.ones(4, 100, KEYS, 8), 0.25)
    assert (ones == ones[:, :, :1]).all()
    assert abs(float(ones.mean()) - 1) < 0.05


def test_what_is_forgotten(model) -> None:
    """In training a share of the keys down are hidden from the past, not from what is possible; at rest nothing is."""
    frames, rows, coming, given = inputs()
    with torch.no_grad():
        assert torch.equal(
            model(frames, rows, coming, given, Noise(input_dropout=0.5)), model(frames, rows, coming, given)
        )
        torch.manual_seed(0)
        found = model.train()(frames, rows, coming, given, Noise(input_dropout=0.5))
    model.eval()
    assert found.max() < 1e3  # HOLD after a key that is hidden
    down = torch.full((4, 100, KEYS), 2, dtype=torch.uint8)
    left = forget(down, 0.3)
    assert set(left.unique().tolist()) == {0, 2}
    assert abs(float((left > 0).float().mean()) - 0.7) < 0.02
    assert forget(down, 0.0) is down


def test_it_learns_one_batch_by_heart() -> None:
    """A melody's loss falls to a fifth in a few dozen updates, and every weight has had its part in it."""
    model = network(seed=3).train()
    batch = [x[:, :24] for x in on_device(whole_piece(piece("tune", melody(1))), torch.device("cpu"))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(*batch).sum() / 24
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    unused = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert unused == {"given.embed.weight"}  # nothing was given


def test_to_a_checkpoint_and_back(model) -> None:
    """Every weight comes back, and only those that a checkpoint of this shape has."""
    from livebach.network.checkpoint import weight_shapes

    saved = to_checkpoint(model, {"data": "none"})
    assert {name: value.shape for name, value in saved.weights.items()} == weight_shapes(SMALL)
    again = from_checkpoint(saved)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
