"""`livebach corpus`: reports on a folder, scores of music21, and downloads by URL and hash."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mido
import numpy as np
import pytest
import yaml

from livebach.cli import main
from livebach.errors import UserError
from livebach.music.roll import Note
from livebach.music.score_reader import piece_of, read_score
from livebach.training.corpus_report import FINE, grid_of, near_duplicates, survey
from livebach.training.licence_index import Collection, Origin, read_index
from tests.support.midi_files import write_midi
from tests.support.pieces import OPENINGS, transposed
from tests.support.small_network import melody


def midi(notes: list[Note]) -> bytes:
    """Notes as the bytes of a MIDI file."""
    out = io.BytesIO()
    track = mido.MidiTrack()
    for note in notes:
        track.append(mido.Message("note_on", note=note.key, velocity=64, time=0))
        track.append(mido.Message("note_off", note=note.key, time=(note.end - note.start) * 24))
    mido.MidiFile(type=0, ticks_per_beat=96, tracks=[track]).save(file=out)
    return out.getvalue()


# -- what is in a folder ----------------------------------------------------------------------------------------------


def test_a_report_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pieces, notes, metres, grids and licences; two editions of one piece; what cannot be read by name."""
    write_midi(tmp_path / "a.mid", melody(1))
    write_midi(tmp_path / "b.mid", transposed(melody(1), 3))
    write_midi(tmp_path / "c.mid", melody(2))
    (tmp_path / "d.mid").write_bytes(b"MThd")
    (tmp_path / "INDEX.csv").write_text("file,licence\na.mid,CC0-1.0\nb.mid,\n", encoding="utf-8")
    assert main(["corpus", "report", str(tmp_path), "--json", str(tmp_path / "report.json")]) == 0
    out = capsys.readouterr().out
    notes = sum(len(melody(n)) for n in (1, 1, 2))
    assert f"3 pieces, {notes} notes" in out
    assert "metres: 4/4 (3)" in out
    assert "grids: 2 to a quarter (3)" in out
    assert "licences: unstated (2), CC0-1.0 (1)" in out
    assert "near-duplicates: 1 pairs\n  a.mid and b.mid: 100% in common" in out
    assert "left out d.mid: " in out
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [e["name"] for e in found["entries"]] == ["a.mid", "b.mid", "c.mid"]


@pytest.mark.parametrize(
    ("ticks", "grid"), [(96, 1), (48, 2), (32, 3), (24, 4), (16, 6), (12, 8), (8, 12), (6, 16), (4, 24), (2, 0)]
)
def test_the_grid_of_a_piece(tmp_path: Path, ticks: int, grid: int) -> None:
    """The coarsest that its onsets lie on, or 0; of 96 MIDI ticks to a quarter."""
    track = mido.MidiTrack()
    for key in range(40, 70):
        track.append(mido.Message("note_on", note=key, velocity=64, time=0))
        track.append(mido.Message("note_off", note=key, time=ticks))
    mido.MidiFile(type=0, ticks_per_beat=96, tracks=[track]).save(tmp_path / "a.mid")
    assert grid_of(read_score(tmp_path / "a.mid", FINE)) == grid


def test_a_performance_is_on_no_grid(tmp_path: Path) -> None:
    """Where the times are a player's, it is said."""
    track = mido.MidiTrack()
    for time in np.random.default_rng(0).integers(200, 1000, 200).tolist():
        track.append(mido.Message("note_on", note=60, velocity=64, time=0))
        track.append(mido.Message("note_off", note=60, time=time))
    mido.MidiFile(type=0, ticks_per_beat=960, tracks=[track]).save(tmp_path / "a.mid")
    assert "grids: on no grid (1)" in survey(tmp_path).lines()


def test_near_duplicates_are_symmetric_pairs(tmp_path: Path) -> None:
    """A piece, the same in another key, and a part of it: three pairs; two others: none."""
    pieces = []
    for name, notes in {"a": melody(1), "b": transposed(melody(1), -2), "c": melody(1)[:40], "d": melody(2)}.items():
        write_midi(tmp_path / f"{name}.mid", list(notes))
        pieces.append(piece_of(name, read_score(tmp_path / f"{name}.mid")))
    assert {frozenset(pair[:2]) for pair in near_duplicates(pieces)} == {
        frozenset("ab"),
        frozenset("ac"),
        frozenset("bc"),
    }


@pytest.mark.parametrize("text", ["name,licence\na.mid,CC0\n", "", "\x00"])
def test_a_damaged_index(tmp_path: Path, text: str) -> None:
    """One line that names it."""
    (tmp_path / "INDEX.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"INDEX\.csv: "):
        read_index(tmp_path)


@pytest.mark.parametrize("name", ["../a.mid", "/a.mid", "", "x/../../a.mid"])
def test_a_collection_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """A name that leads out of it is refused, and nothing is written."""
    with pytest.raises(UserError, match="is not a valid file name"):
        Collection(tmp_path / "here").add(name, b"", Origin("CC0-1.0", ""))
    assert not list(tmp_path.rglob("*.mid"))


def test_a_collection_overwrites_nothing(tmp_path: Path) -> None:
    """The same file again is fine, another of its name is not; the index keeps what was there."""
    first = Collection(tmp_path)
    first.add("x/a.mid", b"1", Origin("CC0-1.0", "one"))
    first.save()
    second = Collection(tmp_path)
    second.add("x/a.mid", b"1", Origin("CC0-1.0", "one"))
    second.add("b.mid", b"2", Origin("unstated", ""))
    with pytest.raises(UserError, match="nothing is overwritten"):
        second.add("b.mid", b"3", Origin("unstated", ""))
    second.save()
    assert read_index(tmp_path) == {"x/a.mid": Origin("CC0-1.0", "one"), "b.mid": Origin("unstated", "")}


# -- sources by URL ---------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it is served under on this machine."""
    pytest.importorskip("pooch", reason="sources need the extra `corpus`")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def listed(path: Path, url: str, files: dict[str, bytes], folder: Path) -> Path:
    """A list of sources, one for each file, which is put into the served folder."""
    entries = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries.append({"name": name.split(".")[0], "url": f"{url}/{name}", "sha256": digest, "licence": "CC0-1.0"})
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """A compressed tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_sources_are_fetched_and_trainable(
    served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, a zip and a tar: their MIDI files and licences, and a second time nothing is asked of the network."""
    folder, url = served
    tunes = [midi(list(notes)) for notes in OPENINGS.values()][:4]
    files = {
        "one.mid": tunes[0],
        "two.zip": zipped({"a/x.mid": tunes[1], "a/read.txt": b"no music", "y.MID": tunes[2]}),
        "three.tgz": tarred({"./z.midi": tunes[3]}),
    }
    out, sources = tmp_path / "out", listed(tmp_path / "sources.yaml", url, files, folder)
    assert main(["corpus", "fetch", str(sources), "--out", str(out)]) == 0
    assert {k: v.licence for k, v in read_index(out).items()} == dict.fromkeys(
        ("one/one.mid", "two/a/x.mid", "two/y.MID", "three/z.midi"), "CC0-1.0"
    )
    assert (out / "three" / "z.midi").read_bytes() == tunes[3]
    for path in folder.iterdir():
        path.unlink()
    assert main(["corpus", "fetch", str(sources), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["corpus", "report", str(out)]) == 0
    assert capsys.readouterr().out.startswith("4 pieces, ")


def test_another_file_than_the_hash_says(
    served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, and nothing of it is kept."""
    folder, url = served
    sources = listed(tmp_path / "sources.yaml", url, {"one.mid": midi(melody(1))}, folder)
    (folder / "one.mid").write_bytes(midi(melody(2)))
    assert main(["corpus", "fetch", str(sources), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "has another SHA-256 hash" in error
    assert error.count("\n") == 1
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_a_source_that_is_not_there(
    served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file and a deaf server: one line each."""
    folder, url = served
    sources = listed(tmp_path / "sources.yaml", url, {"one.mid": midi(melody(1))}, folder)
    (folder / "one.mid").unlink()
    assert main(["corpus", "fetch", str(sources), "--out", str(tmp_path / "out")]) == 2
    assert "cannot be fetched: 404" in capsys.readouterr().err
    deaf = listed(tmp_path / "deaf.yaml", "http://127.0.0.1:9", {"one.mid": b"x"}, folder)
    assert main(["corpus", "fetch", str(deaf), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_archive(served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, in one line."""
    folder, url = served
    damaged = bytearray(zipped({"a.mid": midi(melody(1)) * 9}))
    damaged[60:90] = b"\xff" * 30
    sources = listed(tmp_path / "sources.yaml", url, {"two.zip": bytes(damaged)}, folder)
    assert main(["corpus", "fetch", str(sources), "--out", str(tmp_path / "out")]) == 2
    assert "two: " in (error := capsys.readouterr().err)
    assert error.count("\n") == 1


GOOD = {"name": "a", "url": "https://example.org/a.zip", "sha256": "0" * 64, "licence": "CC0-1.0"}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "must be a list of sources"),
        ({"a": 1}, "must be a list of sources"),
        ([GOOD | {"colour": "red"}], "source 1 must have name, url, sha256 and licence"),
        ([GOOD, {"name": "b"}], "source 2 must have"),
        ([GOOD | {"sha256": "12"}], "sha256 must be 64 hexadecimal digits, got '12'"),
        ([GOOD | {"url": "gopher://x"}], "url must begin with https://"),
        ([GOOD | {"name": "../a"}], "name must be a folder name"),
        ([GOOD | {"licence": ""}], "licence must be a non-empty text"),
        ([GOOD, GOOD], "two sources have the name 'a'"),
    ],
)
def test_a_bad_list(entries: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says which entry, exit 2, nothing written."""
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(entries), encoding="utf-8")
    assert main(["corpus", "fetch", str(tmp_path / "sources.yaml"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


# -- music21 ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_music21_has_bach(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its chorales are found without a network; an unknown composer gets one line."""
    pytest.importorskip("music21", reason="scores of music21 need the extra `corpus`")
    from livebach.training.music21_scores import works

    assert len(works("bach")) >= 410
    assert main(["corpus", "music21", "--composer", "nobody", "--out", str(tmp_path / "out")]) == 2
    assert "music21 has nothing of 'nobody'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_chorale_of_music21(tmp_path: Path) -> None:
    """BWV 66.6 begins with an upbeat of a quarter, after three of rests, in four parts; ties are one note."""
    pytest.importorskip("music21", reason="scores of music21 need the extra `corpus`")
    from livebach.training.music21_scores import scores, works

    (path,) = (p for p in works("bach") if p.stem == "bwv66.6")
    ((name, data, origin),) = scores(path)
    assert name == "bwv66.6.mid"
    assert "music21" in origin.source
    (tmp_path / name).write_bytes(data)
    score = read_score(tmp_path / name)
    assert [str(metre) for _, metre in score.metres] == ["4/4"]
    assert min(note.start for note in score.notes) == 12
    assert sorted(note.key for note in score.notes if note.start == 12) == [57, 57, 64, 73]
    assert score.length == 10 * 16 - 4
    assert 150 < len(score.notes) < 166
