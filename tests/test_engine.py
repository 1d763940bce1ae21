"""The step engine agrees with the parallel network at every step, and draws as 88 passes would."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from livebach.music.metre import Metre, metre_track
from livebach.music.roll import HOLD, KEYS, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.checkpoint import Checkpoint, CheckpointError, default_path, load
from livebach.network.engine import Engine, State, condition_row
from livebach.network.sampling import SamplingParams, probabilities
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec
from tests.support.slow_sampling import choose, slow_probabilities
from tests.support.small_network import SMALL, WITH_FRAMES, network, nothing, random_frames, random_given

torch = pytest.importorskip("torch", reason="compares with the network in torch, the extra `train`")

from livebach.training.model import from_checkpoint, to_checkpoint

TOLERANCE = 1e-4
"""On logits, float32."""


def _shipped() -> Checkpoint:
    return load(default_path())


CHECKPOINTS: dict[str, Callable[[], Checkpoint]] = {
    "small": lambda: to_checkpoint(network(loud=1.5), {}),
    "with frames as vectors": lambda: to_checkpoint(network(WITH_FRAMES, loud=1.5), {}),
    "default size": lambda: to_checkpoint(network(NetworkSpec(), loud=1.2), {}),
    "shipped": _shipped,
}


@pytest.fixture(scope="module", params=CHECKPOINTS)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """A network of each kind."""
    return CHECKPOINTS[request.param]()


@pytest.fixture(scope="module")
def engine(checkpoint: Checkpoint) -> Engine:
    """It, ready to play."""
    return Engine(checkpoint)


@pytest.fixture(scope="module")
def small() -> Engine:
    """The small network, ready to play."""
    return Engine(CHECKPOINTS["small"]())


def places(length: int) -> list[tuple[int, int, int]]:
    """Where ticks are, with a change of metre."""
    track = metre_track(length, [(0, Metre(3, 4)), (length // 3, Metre(6, 8))], 4, upbeat=2)
    return [(a, b, c) for a, b, c in track.tolist()]


def textures(length: int) -> list[Texture]:
    """Textures that change, known and unknown."""
    levels: list[int | None] = [None, 0, 7, 3]
    return [Texture(levels[t // 5 % 4], levels[t // 3 % 4]) for t in range(length)]


def played(engine: Engine, ticks: int, seed: int = 0) -> tuple[State, State]:
    """Two equal states after some noise, a third of it learnt from, independent of one another."""
    state, roll, where, shades = engine.new_state(), random_frames(ticks, seed), places(ticks + 1), textures(ticks)
    for t in range(ticks):
        engine.push(state, roll[t], where[t], where[t + 1], shades[t], adapt=t % 3 == 0)
    return state, state.copy()


def equal(a: State, b: State) -> bool:
    """Whether two states remember the same."""
    same = a.tick == b.tick and np.array_equal(a.rings, b.rings) and np.array_equal(a.frame_rings, b.frame_rings)
    mine, theirs = (
        (s.frame, s.context, s.adaptation.weights, s.adaptation.squares, s.adaptation.shift, s.adaptation.features)
        for s in (a, b)
    )
    return bool(same and all(np.array_equal(x, y) for x, y in zip(mine, theirs, strict=True)))


def test_every_step_says_what_the_parallel_forward_says(checkpoint: Checkpoint, engine: Engine) -> None:
    """Over more frames than the receptive field, given keys and changing metre and texture included."""
    ticks = checkpoint.spec.receptive_field + 24
    roll, where, shades = random_frames(ticks + 1, 1), places(ticks + 1), textures(ticks)
    frames, coming = np.concatenate([np.zeros((1, KEYS), np.uint8), roll[:-2]]), roll[:-1]
    known = random_given(coming, 2)
    earlier = [((where[0][0] - 1) % where[0][2], *where[0][1:]), *where[:-2]]
    rows = np.array([condition_row(*p) for p in zip(earlier, where[:-1], shades, strict=True)])
    on = [torch.from_numpy(a.copy())[None] for a in (frames, rows, coming, known)]
    model = from_checkpoint(checkpoint).eval()
    with torch.no_grad():
        wanted = model.logits(model.context(on[0], on[1]), on[2], on[3])[0].numpy()
    state = engine.new_state(where[0], shades[0])
    worst = []
    for t in range(ticks):
        if t:
            engine.push(state, frames[t], earlier[t], where[t], shades[t])
        network = engine.logits(state, coming[t], known[t]) - state.theme_shift.T
        worst.append(np.abs(network - wanted[t]).max())
    assert max(worst) < TOLERANCE, f"first at frame {int(np.argmax(np.array(worst) >= TOLERANCE))}"


def sequential(
    engine: Engine, state: State, given: Frame, uniforms: np.ndarray, params: SamplingParams
) -> tuple[Frame, bool]:
    """The slow twin of `draw`: 88 passes from the lowest key up. Also whether any number fell on an edge."""
    frame, close = np.zeros(KEYS, np.uint8), False
    for key in range(KEYS):
        chances = slow_probabilities(np.asarray(engine.logits(state, frame, given)), state.frame, params)
        if given[key] != UNKNOWN:
            frame[key] = given[key]
            continue
        frame[key] = choose(chances, uniforms)[key]
        close |= bool(np.abs(np.cumsum(chances[key])[:2] - uniforms[key]).min() < 1e-5)
    return frame, close


POLICIES = [
    SamplingParams(),
    SamplingParams(temperature=1.4, min_p=0.05, onset_bias=0.7, off_bias=-0.5),
    SamplingParams(
        onset_bias=2.0, forbidden=np.arange(KEYS) % 3 == 0, key_bias=np.linspace(-2, 2, KEYS).astype(np.float32)
    ),
]


@pytest.mark.parametrize("params", POLICIES, ids=["plain", "hot", "forbidden"])
def test_the_guess_draws_what_88_passes_draw(engine: Engine, params: SamplingParams) -> None:
    """With the same numbers, given keys included; only a number on an edge may fall otherwise."""
    rng = np.random.default_rng(4)
    state, _ = played(engine, 3)
    edges = 0
    for seed in range(5):
        where = places(seed + 2)
        engine.push(state, random_frames(1, seed, 0.2)[0], where[-2], where[-1], Texture())
        truth = np.minimum(random_frames(1, seed + 50, 0.3)[0], np.where(state.frame == OFF, ONSET, HOLD)).astype(
            np.uint8
        )
        for given in (nothing(), random_given(truth[None], seed)[0], np.where(np.arange(KEYS) > 50, truth, UNKNOWN)):
            uniforms = rng.random(KEYS)
            known = np.asarray(given, np.uint8)
            wanted, close = sequential(engine, state, known, uniforms, params)
            drawn = engine.draw(state, known, uniforms, params)
            assert np.array_equal(drawn, wanted) or close
            assert (drawn[known != UNKNOWN] == known[known != UNKNOWN]).all()
            edges += close
    assert edges < 3


def test_what_is_drawn_is_legal(small: Engine) -> None:
    """No HOLD after OFF, no stroke of a forbidden key, for whatever numbers, the lowest and the highest too."""
    state, _ = played(small, 5)
    rng = np.random.default_rng(0)
    forbidden = rng.random(KEYS) < 0.5
    for uniforms in (np.zeros(KEYS), np.full(KEYS, np.nextafter(1.0, 0.0)), *rng.random((20, KEYS))):
        drawn = small.draw(state, nothing(), uniforms, SamplingParams(onset_bias=3.0, forbidden=forbidden))
        assert drawn.dtype == np.uint8
        assert drawn.shape == (KEYS,)
        assert not ((drawn == HOLD) & (state.frame == OFF)).any()
        assert not (drawn[forbidden] == ONSET).any()


def test_draws_are_as_likely_as_the_logits_say(small: Engine) -> None:
    """The lowest key, on which nothing else bears, falls in the shares of its probabilities."""
    state, _ = played(small, 5)
    chances = probabilities(np.asarray(small.logits(state, nothing() * 0, nothing())), state.frame, SamplingParams())[0]
    rng = np.random.default_rng(1)
    drawn = [small.draw(state, nothing(), rng.random(KEYS), SamplingParams())[0] for _ in range(400)]
    assert np.allclose(np.bincount(drawn, minlength=3) / 400, chances, atol=0.08)


def test_asking_changes_nothing(engine: Engine) -> None:
    """Draws and logits leave the state and what they were given; the same question has the same answer."""
    state, same = played(engine, 4)
    rng = np.random.default_rng(2)
    uniforms, given = rng.random(KEYS), random_given(random_frames(1, 3), 1)[0]
    kept = uniforms.copy(), given.copy()
    first = engine.draw(state, given, uniforms, SamplingParams(temperature=1.2))
    said = engine.logits(state, first, given)
    copies = first.copy(), said.copy()
    other, _ = played(engine, 2, seed=9)
    engine.draw(other, nothing(), rng.random(KEYS), SamplingParams(onset_bias=3.0))
    engine.logits(other, random_frames(1, 7, 0.5)[0], nothing())
    assert np.array_equal(first, copies[0])
    assert np.array_equal(said, copies[1]), "logits that were handed out are overwritten by the next"
    assert equal(state, same)
    assert np.array_equal(uniforms, kept[0])
    assert np.array_equal(given, kept[1])
    assert np.array_equal(engine.draw(state, given, uniforms, SamplingParams(temperature=1.2)), first)
    assert np.array_equal(engine.logits(state, first, given), copies[1])


def test_a_push_keeps_nothing_of_the_callers(small: Engine) -> None:
    """The frame may be used again by whoever pushed it."""
    state, same = played(small, 3)
    frame = random_frames(1, 5)[0]
    small.push(state, frame, (0, 4, 16), (1, 4, 16), Texture())
    small.push(same, frame.copy(), (0, 4, 16), (1, 4, 16), Texture())
    frame[:] = ONSET
    assert equal(state, same)


def test_saving_and_restoring_changes_nothing(engine: Engine) -> None:
    """A snapshot, and feeding again what came since, is the state of now, to the bit; also by `copy_from`."""
    state, snapshot = played(engine, 6)
    roll, where = random_frames(20, 8), places(21)
    for t in range(20):
        engine.push(state, roll[t], where[t], where[t + 1], Texture())
    assert not equal(state, snapshot)
    kept = snapshot.copy()
    other, _ = played(engine, 3, seed=4)
    rings = other.rings
    other.copy_from(snapshot)
    assert other.rings is rings
    for again in (snapshot, other):
        for t in range(20):
            engine.push(again, roll[t], where[t], where[t + 1], Texture())
        assert equal(again, state)
    assert kept.tick == snapshot.tick - 20


def test_a_sketch_takes_an_eighth_of_the_room_and_is_near_enough(engine: Engine) -> None:
    """Gone back to, all but the features is to the bit, and chances differ by hundredths; also of one used again."""
    state, same = played(engine, 30)
    frame, roll, where = random_frames(1, 5)[0], random_frames(20, 8), places(21)
    sketch = engine.new_state().sketch()
    sketch.copy_from(state)
    assert sketch.rings.nbytes * 8 == state.rings.nbytes
    assert np.array_equal(sketch.rings, state.sketch().rings)
    for t in range(20):
        engine.push(state, roll[t], where[t], where[t + 1], Texture())
    state.copy_from(sketch)
    assert (state.tick, state.frame.tolist()) == (same.tick, same.frame.tolist())
    assert np.array_equal(state.context, same.context)
    for again in (state, same):
        engine.push(again, roll[0], where[0], where[1], Texture())
    assert not np.array_equal(state.rings, same.rings)
    chances = [probabilities(engine.logits(of, frame, nothing()), of.frame, SamplingParams()) for of in (state, same)]
    assert np.abs(chances[0] - chances[1]).max() < 0.08


def test_states_do_not_touch(small: Engine) -> None:
    """Two states fed in turns remember what each would alone."""
    alone, _ = played(small, 12, seed=1)
    one, two = small.new_state(), small.new_state()
    rolls, where, shades = (random_frames(12, 1), random_frames(12, 2)), places(13), textures(12)
    for t in range(12):
        for state, roll in zip((one, two), rolls, strict=True):
            small.push(state, roll[t], where[t], where[t + 1], shades[t], adapt=t % 3 == 0)
            small.draw(state, nothing(), np.full(KEYS, 0.5), SamplingParams())
    assert equal(one, alone)


def test_a_new_state_can_be_asked_at_once(small: Engine) -> None:
    """It remembers one empty frame, before the tick that it is told."""
    a, b = small.new_state(), small.new_state((5, 2, 6), Texture(3, 3))
    assert a.tick == b.tick == 1
    assert not np.array_equal(a.context, b.context)
    assert small.draw(a, nothing(), np.full(KEYS, 0.5), SamplingParams()).shape == (KEYS,)


def test_playing_on_takes_no_more_memory(small: Engine) -> None:
    """A thousand ticks leave nothing behind."""
    state, spare = played(small, 4)
    roll, where, uniforms = random_frames(50, 3), places(51), np.random.default_rng(0).random(KEYS)

    def play(times: int) -> None:
        for t in (t for _ in range(times) for t in range(50)):
            small.push(state, roll[t], where[t], where[t + 1], Texture())
            small.draw(state, roll[t], uniforms, SamplingParams())
            small.draw(state, nothing(), uniforms, SamplingParams())
            spare.copy_from(state)

    play(2)
    gc.collect()
    tracemalloc.start()
    try:
        play(1)
        start, _ = tracemalloc.get_traced_memory()
        play(6)
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert end - start < 20_000


def test_nothing_of_the_checkpoint_is_kept() -> None:
    """Its weights are one block of memory, which goes as a whole."""
    shipped = _shipped()
    blocks = {id(weight.base): weight.base for weight in shipped.weights.values()}
    assert len(blocks) == 1
    block = weakref.ref(blocks.popitem()[1])
    engine = Engine(shipped)
    del shipped, blocks
    gc.collect()
    assert block() is None
    engine.new_state()


def test_the_condition_row() -> None:
    """Two metres and two levels, one bin each; unknown levels have a bin of their own."""
    row = condition_row((3, 4, 16), (4, 4, 16), Texture(None, 2))
    assert row.shape == (CONDITION_FEATURES,)
    assert row.sum() == 12
    assert row[-18:].nonzero()[0].tolist() == [8, 11]


@pytest.mark.parametrize(
    "name", ["embed.weight", "time_layers.3.past.weight", "given.layers.2.weight", "to_logits.bias"]
)
def test_weights_that_do_not_give_the_stored_output_are_refused(name: str) -> None:
    """One altered weight is enough, on every path through the network."""
    checkpoint = CHECKPOINTS["small"]()
    checkpoint.weights[name] = checkpoint.weights[name].copy()
    checkpoint.weights[name].flat[0] += 0.5
    with pytest.raises(CheckpointError, match=r"it is damaged$"):
        Engine(checkpoint)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
@pytest.mark.parametrize("where", ["weight", "stored output", "stored input"])
def test_what_is_not_finite_is_refused(where: str, value: float) -> None:
    """A comparison with nan says nothing, so it is no agreement."""
    checkpoint = CHECKPOINTS["small"]()
    arrays, name = {
        "weight": (checkpoint.weights, "from_context.weight"),
        "stored output": (checkpoint.pair, "pair.logits"),
        "stored input": (checkpoint.pair, "pair.condition"),
    }[where]
    arrays[name] = arrays[name].copy()
    arrays[name][:, 0] = value
    with pytest.raises(CheckpointError):
        Engine(checkpoint)


def test_small_networks_of_odd_shapes() -> None:
    """One layer on each axis, no mixing, nothing to give, no reach: still equal to the stored pair."""
    spec = NetworkSpec(
        time_channels=3,
        time_dilations=(5,),
        mixing_layers=(),
        mixing_heads=1,
        context_channels=1,
        condition_channels=1,
        key_channels=1,
        key_dilations=(90,),
        given_channels=1,
        given_dilations=(),
        reach=0,
    )
    assert Engine(to_checkpoint(network(spec), {})).spec == spec
    assert SMALL.receptive_field == 11
