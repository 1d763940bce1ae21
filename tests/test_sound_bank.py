"""Banks: saving, loading, checking, and rendering damaged parts again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livebach.sound.bank import RENDERING, Bank, Tuning, cache_folder, obtainable, stored
from livebach.sound.bank_keeper import BankKeeper
from livebach.sound.instruments import INSTRUMENTS
from livebach.sound.names import INSTRUMENT_NAMES
from livebach.sound.tone import KEYS, Layer
from tests.support.waiting import until


def test_what_was_rendered_is_found_again(tmp_path: Path) -> None:
    """Another opening of the same bank has the same samples, and nothing more."""
    first = Bank("harpsichord", folder=tmp_path)
    assert first.key(60) is None
    made = first.render(60)
    again = Bank("harpsichord", folder=tmp_path)
    found = again.key(60)
    assert found is not None
    assert found.keys() == made.keys()
    for name in made:
        np.testing.assert_array_equal(found[name].samples, made[name].samples)
        assert found[name].scale == made[name].scale
    assert again.missing() == [key for key in KEYS if key != 60]


def test_samples_are_as_fine_as_sixteen_bits_allow() -> None:
    """A stored layer differs from the rendered one by half a step of its own loudest sample / 32,000 at most."""
    sound = (1e-3 * np.random.default_rng(1).standard_normal(1000)).astype(np.float32)
    kept = stored(Layer(sound))
    assert np.abs(kept.samples * kept.scale - sound).max() <= 0.51 * np.abs(sound).max() / 32_000


def test_each_tuning_has_a_bank_of_its_own(tmp_path: Path) -> None:
    """Temperament, pitch and version of the rendering are in the name: no bank is taken for another."""
    paths = {
        Bank("organ", tuning, tmp_path).path.name
        for tuning in (Tuning(), Tuning("vallotti"), Tuning("equal", 415.0), Tuning("equal", 415.5))
    }
    assert len(paths) == 4
    assert all(f"-{RENDERING}." in name for name in paths)


@pytest.mark.parametrize("where", ["samples", "record", "head", "cut", "longer", "text"])
def test_a_damaged_bank_is_rendered_again(where: str, tmp_path: Path) -> None:
    """Whatever happened to the file, what is played afterwards is right."""
    bank = Bank("organ", folder=tmp_path)
    right = {name: layer.samples.copy() for name, layer in bank.render(50).items()}
    place = bank._places[50]["body"]
    bank.close()
    data = bytearray(bank.path.read_bytes())
    match where:
        case "samples":
            data[place.start + 5000] ^= 0x40
        case "record":
            data[place.record : place.record + 16] = b"\xff" * 16
        case "head":
            data[3:9] = b"ruined"
        case "cut":
            del data[len(data) // 2 :]
        case "longer":
            data += bytes(4096)
        case "text":
            data = bytearray(b"this is no bank")
    bank.path.write_bytes(data)
    again = Bank("organ", folder=tmp_path)
    assert again.key(50) is None
    np.testing.assert_array_equal(again.obtain(50)["body"].samples, right["body"])


def test_without_a_place_to_keep_it_a_bank_is_temporary(tmp_path: Path) -> None:
    """Where the cache folder cannot be made, notes are rendered all the same."""
    (tmp_path / "file").write_bytes(b"")
    bank = obtainable("organ", Tuning(), tmp_path / "file" / "below")
    assert bank.obtain(60)["body"].scale > 0
    assert tmp_path not in bank.path.parents


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME is heeded, as programs on Linux do."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "livebach" / "sound"


def test_the_names_in_the_settings_are_those_of_the_table() -> None:
    """What `sound.instrument` allows is what there is."""
    assert tuple(INSTRUMENTS) == INSTRUMENT_NAMES


def test_a_keeper_renders_the_wanted_key_first(tmp_path: Path) -> None:
    """A process beside renders the bank: a key that is asked for is there long before its turn."""
    keeper = BankKeeper(Tuning(), tmp_path)
    try:
        keeper.prepare("organ", 108)
        bank = keeper.bank("organ")
        assert bank is not None
        until(lambda: bank.key(108) is not None, "rendered", 60)
        assert bank.missing(range(100, 108))
        until(lambda: not keeper.waits_for("organ", KEYS), "the whole bank", 120)
        assert not bank.missing()
    finally:
        keeper.close()


def test_a_keeper_renders_a_damaged_key_again(tmp_path: Path) -> None:
    """A key whose samples were damaged is rendered again when it is first played."""
    whole = Bank("organ", folder=tmp_path)
    for key in KEYS:
        whole.render(key)
    place = whole._places[70]["body"]
    whole._map[place.start : place.start + 100] = bytes(100)
    keeper = BankKeeper(Tuning(), tmp_path)
    try:
        bank = keeper.open("organ")
        assert not bank.missing()
        assert bank.key(70) is None
        keeper.prepare("organ", 70)
        until(lambda: bank.key(70) is not None, "rendered", 60)
    finally:
        keeper.close()


def test_memory_of_what_was_not_played_lately_is_given_back(tmp_path: Path) -> None:
    """A keeper that has prepared every key keeps no more than its limit in mind, and the keys still sound right."""
    keeper = BankKeeper(Tuning(), tmp_path)
    whole = Bank("organ", folder=tmp_path)
    for key in KEYS:
        whole.render(key)
    try:
        for key in KEYS:
            keeper.prepare("organ", key)
        assert sum(keeper._in_memory.values()) <= 12 << 20
        bank = keeper.open("organ")
        for key in (21, 60):
            found = bank.key(key)
            assert found is not None
            np.testing.assert_array_equal(found["body"].samples, whole.obtain(key)["body"].samples)
    finally:
        keeper.close()
