"""The feedback filter: without a loop all messages pass; a loop is broken within a second, in silence."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livebach.live.signals import Stage
from livebach.midi.active_notes import ActiveNotes, is_channel_message, is_note_off, is_note_on
from livebach.midi.feedback_filter import PROBE_WAIT_S, QUIET_S, FeedbackFilter, Verdict
from livebach.midi.ports import InputPort
from tests.support.daemon_rig import Rig as DaemonRig

ON, OFF = b"\x90\x3c\x40", b"\x80\x3c\x00"
OWN_CHANNEL = 1
Message = tuple[float, bytes]
Lag = Callable[[], float]


class Rig:
    """A player, thru, notes of the musician's own, and cables from the output back to the input; all by hand."""

    def __init__(self, *lags: Lag, thru: bool = True, on: bool = True) -> None:
        self.filter = FeedbackFilter(OWN_CHANNEL, Random(1), on)
        self.lags = lags
        self.plugged_in = (0.0, float("inf"))
        self.thru = thru
        self.passed: list[Message] = []  # what was taken for the player's
        self.sent: list[Message] = []
        self.probes: list[Message] = []
        self.found_s: list[float] = []
        self.synth, self._held = ActiveNotes(), ActiveNotes()
        self._due: list[tuple[float, int, str, bytes]] = []
        self._number = count()

    def run(self, played: Iterable[Message], own: Iterable[Message] = (), until_s: float = 1e9) -> Rig:
        """Play it all, and let come back what comes back; the watcher looks twice a second."""
        for time_s, data in played:
            self._later(time_s, "play", data)
        for time_s, data in own:
            self._later(time_s, "own", data)
        end_s = max((due[0] for due in self._due), default=0.0) + 4.0
        for number in range(int(2 * end_s)):
            self._later(number / 2, "watch", b"")
        while self._due and self._due[0][0] < until_s and len(self.sent) < 20_000:
            time_s, _, what, data = heapq.heappop(self._due)
            if what == "own":
                self._send(data, time_s)
            elif what != "watch":
                self._hear(data, time_s)
            for probe in self.filter.probe(time_s):
                self.probes.append((time_s, probe))
                self._send(probe, time_s)
        return self

    @property
    def music(self) -> list[bytes]:
        """What was taken for the player's, without the times."""
        return [data for _, data in self.passed]

    def echoes(self, played: Sequence[Message]) -> list[Message]:
        """What passed although it was not played, the later copies of each."""
        left = [data for _, data in played]
        found = []
        for time_s, data in self.passed:
            if data in left:
                left.remove(data)
            else:
                found.append((time_s, data))
        return found

    def _later(self, time_s: float, what: str, data: bytes) -> None:
        heapq.heappush(self._due, (time_s, next(self._number), what, data))

    def _hear(self, data: bytes, time_s: float) -> None:
        verdict = self.filter.judge(data, time_s)
        if verdict is Verdict.PLAYER:
            self.passed.append((time_s, data))
            self._held.update(data)
            if self.thru and is_channel_message(data):
                self._send(data, time_s)
        elif verdict is Verdict.LOOP_FOUND:
            self.found_s.append(time_s)
            for ending in self._held.release():
                self._send(ending, time_s)

    def _send(self, data: bytes, time_s: float) -> None:
        self.filter.sent(data, time_s)
        self.synth.update(data)
        self.sent.append((time_s, data))
        if self.plugged_in[0] <= time_s < self.plugged_in[1]:
            for lag in self.lags:
                self._later(time_s + lag(), "return", data)


def timed(*parts: tuple[float, bytes], start_s: float = 1.0) -> list[Message]:
    """Messages from (seconds after the one before, message)."""
    found = []
    for after_s, data in parts:
        start_s += after_s
        found.append((start_s, data))
    return found


def repeated(data: Sequence[bytes], every_s: float, times: int) -> list[Message]:
    """Messages again and again, one after another at equal distances."""
    return timed(*((every_s, data[number % len(data)]) for number in range(times)))


def even(lag_s: float) -> Lag:
    """A way back that always takes as long."""
    return lambda: lag_s


# --- no loop ---------------------------------------------------------------------------------------------------------

WHEEL = b"\xb0\x01\x40"
PEDAL_DOWN, PEDAL_UP = b"\xb0\x40\x7f", b"\xb0\x40\x00"
STREAMS: dict[str, list[Message]] = {
    "a pedal that bounces": timed((0.1, PEDAL_DOWN), (0.3, PEDAL_UP), (0.006, PEDAL_DOWN), (0.006, PEDAL_UP)),
    "a pedal that bounces ten times": repeated([PEDAL_DOWN, PEDAL_UP], 0.006, 20),
    "on, off, on within 8 ms": timed((0.1, ON), (0.004, OFF), (0.004, ON), (0.5, OFF)),
    "programs 5, 6, 5": timed((0.1, b"\xc0\x05"), (0.01, b"\xc0\x06"), (0.01, b"\xc0\x05")),
    "an RPN set-up": repeated([b"\xb0\x65\x00", b"\xb0\x64\x00", b"\xb0\x06\x02", b"\xb0\x26\x00"], 0.001, 40),
    "an NRPN set-up": repeated([b"\xb0\x63\x01", b"\xb0\x62\x08", b"\xb0\x06\x40", b"\xb0\x06\x40"], 0.002, 40),
    "an organ's repeated notes": repeated([ON, OFF], 0.0625, 288),
    "fast repeated notes": repeated([ON, OFF], 0.02, 400),
    "a steady arpeggio": repeated(
        [bytes((status, key, 64)) for key in (60, 64, 67, 72) for status in (0x90, 0x80)], 0.0625, 960
    ),
    "pressure that stays, every 10 ms": repeated([b"\xd0\x40"], 0.01, 1000),
    "a controller that says the same every 5 ms": repeated([b"\xb0\x0b\x7f"], 0.005, 1000),
    "a note-on every 120 ms": repeated([ON], 0.12, 200),
    "on the musician's channel": repeated([b"\x91\x3c\x40", b"\x81\x3c\x00"], 0.05, 400),
    "low note-offs on the musician's channel": repeated([bytes((0x81, key, 0)) for key in range(21)], 0.003, 2000),
}


@pytest.mark.parametrize("name", STREAMS)
def test_what_looks_like_a_loop_passes(name: str) -> None:
    """Playing that repeats itself as a loop would passes as it came, and nothing is told."""
    played = STREAMS[name]
    rig = Rig().run(played)
    assert rig.passed == played
    assert rig.filter.news() == []


@pytest.mark.parametrize("name", STREAMS)
def test_the_synth_gets_what_was_played(name: str) -> None:
    """Through input port, filter, thru and output port: each message of the player's channel in order, and no other."""
    rig, stage = DaemonRig(), Stage()
    stage.daemon = rig.daemon
    rig.synth.before = lambda data: stage.feedback.sent(data, rig.clock.now())
    stage.send_probe = rig.synth.send_bytes
    port = InputPort("keyboard", stage.receive, now=rig.clock.now)
    played = [(time_s, data) for time_s, data in STREAMS[name] if data[0] & 0x0F != OWN_CHANNEL]
    for time_s, data in played:
        rig.clock.sleep_until(time_s)
        port.receive(data)
        rig.daemon.turn()
    assert [data for _, data in rig.synth.sent if data[0] & 0x0F != OWN_CHANNEL] == [data for _, data in played]
    assert stage.feedback.news() == []


MESSAGES = st.one_of(
    st.tuples(st.sampled_from([0x80, 0x90, 0x81, 0x91]), st.integers(59, 62), st.sampled_from([0, 1, 64])).map(bytes),
    st.tuples(st.just(0xB0), st.sampled_from([64, 98, 99, 100, 101, 6, 38]), st.sampled_from([0, 127])).map(bytes),
    st.tuples(st.sampled_from([0xC0, 0xD0]), st.integers(5, 6)).map(bytes),
    st.tuples(st.just(0xE0), st.just(0), st.integers(63, 65)).map(bytes),
    st.tuples(st.just(0x80 | OWN_CHANNEL), st.sampled_from([0, 1, 20, 109, 127]), st.just(0)).map(bytes),
    st.binary(min_size=1, max_size=3),
)
STREAM = st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.004, 0.008, 0.03, 0.12, 0.3]), MESSAGES), max_size=120)


@settings(max_examples=150)
@given(STREAM, STREAM)
def test_without_a_loop_all_passes(played: list[tuple[float, bytes]], own: list[tuple[float, bytes]]) -> None:
    """Whatever is played, and whatever the musician plays beside it: message for message, and nothing is told."""
    played_s = timed(*played)
    rig = Rig().run(played_s, timed(*own))
    assert rig.passed == played_s
    assert rig.filter.news() == []
    assert not rig.filter.looping


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0.004, 0.03, 0.12]), MESSAGES), min_size=1, max_size=8), st.integers(2, 40))
def test_a_pattern_again_and_again_passes(pattern: list[tuple[float, bytes]], times: int) -> None:
    """A pattern that is repeated exactly is as near to a loop as playing comes: it passes."""
    played = timed(*(pattern * times))
    assert Rig().run(played).passed == played


@given(STREAM)
def test_switched_off_it_drops_nothing(played: list[tuple[float, bytes]]) -> None:
    """Switched off, all that comes in is the player's, a loop or not, and no probe is sent."""
    rig = Rig(even(0.2), thru=False, on=False).run(timed(*played), until_s=5.0)
    assert all(verdict in rig.passed for verdict in timed(*played) if verdict[0] < 5.0)
    assert not rig.probes


def test_probes_are_rare_and_silent() -> None:
    """Playing that is suspected costs two probes a second, each of note-offs of keys that nobody holds."""
    held = [(0.5, bytes((0x90 | OWN_CHANNEL, key, 64))) for key in range(0, 21, 2)]
    rig = Rig().run([*held, *STREAMS["an organ's repeated notes"]])
    assert 0 < len(rig.probes) <= 4 * 2 * (288 * 0.0625 + 1)
    assert all(data[0] == 0x80 | OWN_CHANNEL and (data[1] > 108 or data[1] % 2) for _, data in rig.probes)
    assert {key for channel, key in rig.synth.keys if channel == OWN_CHANNEL} == set(range(0, 21, 2))


def test_ordinary_playing_is_not_probed() -> None:
    """Notes that differ arouse no suspicion: nothing is sent but what is played."""
    rng = Random(2)
    notes = [bytes((0x90, rng.randrange(40, 80), rng.randrange(1, 128))) for _ in range(500)]
    assert Rig().run(timed(*((rng.uniform(0.02, 0.3), note) for note in notes))).probes == []


# --- a loop ----------------------------------------------------------------------------------------------------------

LAGS = (0.001, 0.005, 0.010, 0.031, 0.060, 0.120, 0.200)
NOTE = timed((0.0, ON), (0.35, OFF))
PLAYED: dict[str, list[Message]] = {
    "one note": NOTE,
    "a key that is held": NOTE[:1],
    "the pedal": timed((0.0, PEDAL_DOWN), (0.1, PEDAL_UP)),
    "a chord": [(1.0 + up / 2, bytes((0x90 - 16 * up, key, 64))) for up in (0, 1) for key in (48, 60, 64)],
    "a scale": timed(*((0.05, bytes((status, key, 64))) for key in range(60, 72) for status in (0x90, 0x80))),
}


def check_broken(rig: Rig, played: Sequence[Message]) -> None:
    """It was found within a second, and told once; nothing went round later, and nothing sounds any more."""
    first_s = next(time_s for time_s, data in played if data != WHEEL)
    assert rig.found_s[0] - first_s <= 1.0
    assert all(time_s - first_s <= 1.0 for time_s, _ in rig.echoes(played))
    assert not rig.synth
    assert len(rig.filter.news()) == 1


@pytest.mark.parametrize("name", PLAYED)
@pytest.mark.parametrize("lag_s", LAGS)
def test_a_loop_is_broken_within_a_second(lag_s: float, name: str) -> None:
    """Whatever goes round first, at any lag: broken within a second, told once, and nothing is left sounding."""
    check_broken(Rig(even(lag_s)).run(PLAYED[name]), PLAYED[name])


@given(st.floats(0.001, 0.2), st.floats(0.0, 1.0), STREAM.filter(bool), st.integers(0, 99))
@settings(max_examples=100)
def test_any_playing_into_any_loop_ends_in_silence(
    lag_s: float, unevenness: float, played: list[tuple[float, bytes]], seed: int
) -> None:
    """Even, uneven, in order: when the player has let go, nothing sounds, and nothing goes round."""
    rng, last_s = Random(seed), [0.0]

    def lag() -> float:
        return lag_s * (1 + unevenness * rng.random())

    music = [(time_s, data) for time_s, data in timed(*played) if is_channel_message(data)]
    held = ActiveNotes()
    for _, data in music:
        held.update(data)
    rig = Rig(lag)
    later = rig._later

    def in_order(time_s: float, what: str, data: bytes) -> None:
        """A cable does not change the order."""
        if what == "return":
            time_s = last_s[0] = max(time_s, last_s[0] + 1e-6)
        later(time_s, what, data)

    rig._later = in_order  # type: ignore[method-assign]
    end_s = (music[-1][0] if music else 1.0) + 2.0
    rig.run([*music, *((end_s + number / 1000, data) for number, data in enumerate(held.endings()))], until_s=1000.0)
    assert len(rig.sent) < 20_000
    assert not rig.synth
    assert all(time_s < end_s + 3.0 for time_s, _ in rig.sent)


def test_an_uneven_loop_is_broken_too() -> None:
    """On a busy machine a loop takes now 10, now 200 ms."""
    for seed in range(20):
        rng = Random(seed)
        check_broken(Rig(lambda rng=rng: rng.uniform(0.01, 0.2)).run(NOTE), NOTE)  # type: ignore[misc]


def test_two_ways_back_are_broken_too() -> None:
    """A cable and a synth that echoes: what comes back twice doubles at each round, and is broken as one loop is."""
    for lags in ((0.002, 0.003), (0.010, 0.030), (0.05, 0.12)):
        check_broken(Rig(*map(even, lags)).run(NOTE), NOTE)


def test_a_known_loop_lets_the_player_through_once() -> None:
    """Once it is known, each key that is struck passes once, however often one key is struck; the musician's never."""
    for lag_s in LAGS:
        rig = Rig(even(lag_s))
        later = repeated([ON, OFF, b"\x90\x40\x40", b"\x80\x40\x00"], 0.11, 80)
        later = [(time_s + 3.0, data) for time_s, data in later]
        own = [(time_s + 0.013, bytes((data[0] | OWN_CHANNEL, data[1], 80))) for time_s, data in later]
        rig.run([*NOTE, *later], own)
        assert [data for time_s, data in rig.passed if time_s > 3.0] == [data for _, data in later]


def test_a_loop_without_thru_is_found_by_the_musicians_notes() -> None:
    """With thru off nothing goes round, but the musician hears itself: that is found and told too."""
    own = [(1 + number / 8, bytes((0x90 | OWN_CHANNEL, 60 + number % 7, 80))) for number in range(40)]
    rig = Rig(even(0.03), thru=False).run([], own)
    assert len(rig.found_s) == 1
    assert max(time_s for time_s, _ in rig.passed) < 2.0


@pytest.mark.parametrize("respelled", [b"\x90\x3c\x00", b"\x80\x3c\x40"])
def test_a_note_off_may_change_its_spelling(respelled: bytes) -> None:
    """A device on the way may send a note-off as a note-on of velocity 0, or with another velocity."""
    filter_ = FeedbackFilter(OWN_CHANNEL, Random(1))
    find(filter_)
    filter_.sent(OFF, 5.0)
    assert filter_.judge(respelled, 5.01) is Verdict.ECHO


def find(filter_: FeedbackFilter, start_s: float = 1.0) -> None:
    """Have a loop of 10 ms found."""
    due = [(start_s, ON)]
    while not filter_.looping:
        time_s, data = due.pop(0)
        if filter_.judge(data, time_s) is Verdict.PLAYER:
            due.append((time_s + 0.01, data))
            filter_.sent(data, time_s)
        for probe in filter_.probe(time_s):
            filter_.sent(probe, time_s)
            due.append((time_s + 0.01, probe))


def test_a_cable_that_is_pulled() -> None:
    """Nothing comes back any more: a probe shows it, and from then on all passes as ever."""
    rig = Rig(even(0.01))
    rig.plugged_in = (0.0, 5.0)
    later = [(time_s + 6 + QUIET_S + PROBE_WAIT_S, data) for time_s, data in STREAMS["on, off, on within 8 ms"]]
    rig.run([*NOTE, (5.1, ON), (5.2, OFF), *later])
    assert [message for message in rig.passed if message[0] > 5.0] == [(5.1, ON), (5.2, OFF), *later]
    assert not rig.filter.looping


def test_a_cable_that_is_plugged_in_while_a_key_is_down() -> None:
    """The note-off goes round and is found; nothing is left sounding."""
    rig = Rig(even(0.01))
    rig.plugged_in = (1.2, 100.0)
    rig.run(NOTE)
    assert len(rig.found_s) == 1
    assert not rig.synth


def test_a_second_loop_is_found_as_the_first_was() -> None:
    """Pulled and plugged in again: found and told again."""
    rig = Rig(even(0.01))
    rig.run(NOTE)
    rig.plugged_in = (0.0, 0.0)
    rig.run([(10.0, ON), (10.1, OFF)])
    rig.plugged_in = (0.0, 100.0)
    rig.run([(20.0, ON), (20.1, OFF)])
    assert len(rig.found_s) == len(rig.filter.news()) == 2


def test_a_loop_that_carries_notes_only() -> None:
    """A synth that echoes notes and no controllers, while a controller moves all the time."""
    rig = Rig(even(0.02))
    later = rig._later

    def notes_only(time_s: float, what: str, data: bytes) -> None:
        if what != "return" or is_note_on(data) or is_note_off(data):
            later(time_s, what, data)

    rig._later = notes_only  # type: ignore[method-assign]
    wheel = [(0.9 + number / 100, WHEEL) for number in range(300)]
    played = sorted([*NOTE, *wheel])
    check_broken(rig.run(played), played)


def test_memory_is_bounded() -> None:
    """Minutes of dense playing leave no more behind than a second of it."""
    filter_ = FeedbackFilter(OWN_CHANNEL, Random(1))
    for number in range(20_000):
        data = bytes((0x90 | number % 16, number * 7 % 128, 1 + number * 11 % 127))
        filter_.sent(data, number * 0.01)
        filter_.judge(data, number * 0.01 + 0.4)
    assert all(len(sent) <= 110 and len(sent._by_key) <= 110 for sent in filter_._sent.values())
