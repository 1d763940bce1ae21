"""The cache of frames: equal to drawn frames, memory-mapped, and rebuilt if damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livebach.music.metre import Metre, metre_track
from livebach.music.score_reader import CorpusError
from livebach.training import corpus
from livebach.training.corpus import Corpus, load_corpus
from livebach.training.frame_cache import FrameCache
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS
from tests.support.small_network import random_frames


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of MIDI files, one of them broken."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, notes in enumerate(OPENINGS.values()):
        write_midi(folder / f"{number}.mid", list(notes))
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


def same(a: Corpus, b: Corpus) -> bool:
    """Whether two corpora have the same pieces in the same splits, and left out the same."""
    found = [[(p.name, p.frames.tobytes(), p.places.tobytes()) for s in c.splits.values() for p in s] for c in (a, b)]
    return found[0] == found[1] and a.left_out == b.left_out


def mapped(array: np.ndarray) -> bool:
    """Whether an array is a view into a file."""
    base: object = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def test_what_is_kept_is_what_was_drawn(tmp_path: Path) -> None:
    """Frames and places come back to the bit, from the file and read-only, in another process's cache too."""
    cache, pieces = FrameCache(tmp_path), {}
    for seed, length in enumerate((1, 50, 200)):
        pieces[f"piece {seed}"] = random_frames(length, seed), metre_track(length, [(0, Metre(3, 4))], 4)
        cache.add(f"piece {seed}", *pieces[f"piece {seed}"])
    cache.finish()
    for kept in (cache, FrameCache(tmp_path)):
        for key, (frames, places) in pieces.items():
            assert key in kept
            found = kept.arrays(key)
            assert np.array_equal(found[0], frames)
            assert np.array_equal(found[1], places)
            assert all(mapped(a) and not a.flags.writeable for a in found)


def test_a_cached_corpus_is_the_corpus(data: Path, tmp_path: Path) -> None:
    """Splits, frames, places and what was left out are as without a cache, the first time and the next."""
    plain = load_corpus(data)
    for _ in range(2):
        cached = load_corpus(data, cache=tmp_path / "cache")
        assert same(cached, plain)
        assert all(mapped(p.frames) for split in cached.splits.values() for p in split)


def test_only_what_is_new_is_drawn(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is drawn once for its contents, its grid and the way of drawing; a copy under another name not at all."""
    drawn: list[str] = []
    real = corpus.piece_of
    monkeypatch.setattr(corpus, "piece_of", lambda name, score: drawn.append(name) or real(name, score))

    def load(steps: int = 4) -> list[str]:
        drawn.clear()
        load_corpus(data, steps, cache=tmp_path / "cache")
        return sorted(drawn)

    names = sorted(f"{number}.mid" for number in range(len(OPENINGS)))
    assert load() == names
    (data / "copy.mid").write_bytes((data / "0.mid").read_bytes())
    assert load() == []
    write_midi(data / "1.mid", list(next(iter(OPENINGS.values())))[:5])
    assert load() == ["1.mid"]
    assert len(load(steps=2)) == len(names)
    monkeypatch.setattr(corpus, "DRAWING", corpus.DRAWING + 1)
    assert len(load()) == len(names)


@pytest.mark.parametrize("damage", ["a bit", "cut", "longer"])
def test_a_damaged_shard_is_never_trusted(data: Path, tmp_path: Path, damage: str) -> None:
    """It is deleted and its pieces are drawn anew: the corpus is as it was."""
    plain, cache = load_corpus(data), tmp_path / "cache"
    load_corpus(data, cache=cache)
    (shard,) = cache.glob("*.frames")
    good = bytearray(shard.read_bytes())
    middle = len(good) // 3
    bad = {
        "a bit": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "cut": good[: len(good) // 2],
        "longer": good + b"\0",
    }
    shard.write_bytes(bad[damage])
    assert FrameCache(cache).damaged == 1
    shard.write_bytes(bad[damage])
    assert same(load_corpus(data, cache=cache), plain)
    assert not shard.exists()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("name", ["holiday.frames", "0123456789abcdef0123456789abcdef.frames"])
@pytest.mark.parametrize("contents", [b"", b"no frames\n" * 99])
def test_files_of_others_are_left_alone(data: Path, tmp_path: Path, name: str, contents: bytes) -> None:
    """A file that no cache has written stays as it is, whatever its name, and is not read."""
    (tmp_path / name).write_bytes(contents)
    for _ in range(2):
        assert same(load_corpus(data, cache=tmp_path), load_corpus(data))
    assert (tmp_path / name).read_bytes() == contents


def test_a_cache_that_cannot_be_written(data: Path, tmp_path: Path) -> None:
    """One line that names it, and no half of a shard is left."""
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="file"):
        load_corpus(data, cache=tmp_path / "file")


def test_what_fails_leaves_no_part(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, what was written of the shard is gone again."""

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("livebach.training.frame_cache.os.fsync", fail)
    with pytest.raises(CorpusError, match="No space left"):
        load_corpus(data, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
