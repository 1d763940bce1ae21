"""The page in a real browser: headless Chromium plays on it, listens to it, and looks for faults.

The browser is Debian's (apt install chromium) or the one that LIVEBACH_CHROMIUM names; Playwright drives it. Where one
of them is missing these tests are skipped, unless LIVEBACH_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from livebach.sound.temperaments import TEMPERAMENTS, frequency
from tests.support.browser import Session, axe_faults, browser, listen, need_browser, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PHRASE = ("KeyA", "KeyD", "KeyG", "KeyK")
"""C E G C, by the places of the computer's keys."""
WAIT_MS = 30_000
SILENT_DB, HEARD_DB = -80, -55

START = Callable[..., Session]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start the browser."""
    need_browser()
    with browser() as started:
        yield started


@pytest.fixture
def start(chromium: Any, tmp_path: Path) -> Iterator[START]:
    """Start `livebach web` with arguments. In the end no error may have occurred in the browser."""
    sessions: list[Session] = []

    def started(*arguments: str) -> Session:
        sessions.append(Session(chromium, tmp_path, *arguments))
        return sessions[-1]

    yield started
    for session in sessions:
        session.close()
        assert session.faults == []


@pytest.fixture
def session(start: START) -> Session:
    """Start `livebach web` without arguments."""
    return start()


def play_phrase(page: Any, keys: tuple[str, ...] = PHRASE, ms: int = 180) -> None:
    """Type a phrase, key by key."""
    for key in keys:
        page.keyboard.down(key)
        page.wait_for_timeout(ms)
        page.keyboard.up(key)


def wait_for_state(page: Any, state: str) -> None:
    """Wait until the page shows this state."""
    page.wait_for_selector(f'#state[data-state="{state}"]', timeout=WAIT_MS)


def struck(page: Any, who: str) -> int:
    """Return how many notes a player has struck."""
    return int(page.evaluate(f"livebach.roll.struck.{who}"))


def test_a_typed_phrase_is_answered_and_both_are_heard(session: Session) -> None:
    """A phrase on the computer's keyboard sounds, livebach answers it, and the answer sounds."""
    page = session.open()
    session.begin(page)
    assert listen(page, 300)[0] < SILENT_DB
    page.keyboard.down("KeyA")
    assert "you" in page.get_attribute('.key[data-key="60"]', "class")
    assert listen(page, 400)[0] > HEARD_DB
    page.keyboard.up("KeyA")
    play_phrase(page)
    wait_for_state(page, "playing")
    wait_for(page, "livebach.roll.struck.own >= 4")
    assert struck(page, "you") == 1 + len(PHRASE)
    level, peak = listen(page, 2000)
    assert level > HEARD_DB
    assert peak <= 1
    page.wait_for_selector(".key.own")


# --- ways to play ----------------------------------------------------------------------------------------------------


def test_mouse_and_touch_play(start: START) -> None:
    """The mouse and a finger strike keys, louder near the front edge. A slide plays the keys on its way."""
    page = start().open(has_touch=True, viewport={"width": 1200, "height": 800})
    page.click("#begin")
    box = page.locator('.key[data-key="60"]').bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + box["height"] - 5)
    page.mouse.down()
    wait_for(page, "livebach.roll.struck.you === 1")
    page.mouse.move(box["x"] + box["width"] + 4, box["y"] + box["height"] - 5, steps=3)
    wait_for(page, "livebach.roll.struck.you === 2")
    page.mouse.up()
    wait_for(page, "document.querySelectorAll('.key.you').length === 0")
    page.touchscreen.tap(box["x"] + 4, box["y"] + 20)
    wait_for(page, "livebach.roll.struck.you === 3")
    loud, _, soft = page.evaluate("livebach.roll.velocities.you")
    assert loud > 100
    assert soft < 60


def test_all_of_it_works_by_keyboard_alone(session: Session) -> None:
    """Tab reaches the piano and every control. Arrows move along the keys, and Space strikes one."""
    page = session.open()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "begin"
    page.keyboard.press("Enter")
    assert page.is_hidden("#welcome")
    page.focus('.key[tabindex="0"]')
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.key") == "74"
    page.keyboard.down("Space")
    wait_for(page, "document.querySelector('.key[data-key=\"74\"]').classList.contains('you')")
    page.keyboard.up("Space")
    wait_for(page, "livebach.roll.struck.you === 1")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("(e => e.id || e.dataset.act || e.dataset.switch || e.dataset.dial)(document.activeElement)")
        )
    acts = {"takeover", "finish", "back", "reset", "mute", "hold", "panic", "tap"}
    dials = {"mode", "tempo", "metre", "key", "temperature", "density", "polyphony", "register", "register_margin"}
    assert acts | dials | {"instrument", "temperament", "pitch", "volume", "take", "pedal", "typing"} <= reached


def test_letters_in_a_list_choose_and_do_not_play(session: Session) -> None:
    """If a list has the focus, letters belong to the list. Elsewhere they play, unless typing is switched off."""
    page = session.open()
    page.click("#begin")
    page.focus("[data-dial=mode]")
    page.keyboard.press("d")
    page.focus("#takeover, [data-act=tap]")
    page.uncheck("#typing")
    page.keyboard.press("KeyA")
    page.check("#typing")
    page.keyboard.press("KeyD")
    wait_for(page, "livebach.roll.struck.you === 1")
    assert page.evaluate("livebach.roll.keys.you") == [64]


STAND_IN = """
window.keyboard = { id: "one", name: "Stand-in", state: "connected", onmidimessage: null };
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["one", window.keyboard]]), outputs: new Map() });
"""


def test_a_midi_keyboard_plays_by_web_midi(session: Session) -> None:
    """A MIDI keyboard is listed and heard, with its pedal. Messages that are not music are ignored."""
    page = session.open(script=STAND_IN)
    page.click("#begin")
    page.focus("#midi-input")
    page.keyboard.press("ArrowDown")
    wait_for(page, "window.keyboard.onmidimessage !== null")
    assert page.locator("#midi-input option").all_inner_texts() == ["none", "Stand-in"]
    for data in ([0xFE], [0xF8], [0xB0, 64, 127], [0x93, 67, 90], [0x83, 67, 0], [0xB0, 64, 0]):
        page.evaluate("data => keyboard.onmidimessage({ data: Uint8Array.from(data) })", data)
    wait_for(page, "livebach.roll.struck.you === 1")
    assert page.evaluate("livebach.roll.keys.you") == [67]
    wait_for_state(page, "listening")


# --- controls --------------------------------------------------------------------------------------------------------


def test_controls_act_and_show_what_is_set(session: Session) -> None:
    """Each control changes livebach's setting and shows it. A second page shows the same."""
    page = session.open()
    other = session.open()
    page.click("#begin")
    page.select_option("[data-dial=mode]", "duet")
    page.fill("[data-dial=tempo]", "120")
    page.fill("[data-dial=temperature]", "0.8")
    page.select_option("[data-dial=density]", "5")
    page.select_option("[data-dial=polyphony]", "2")
    page.select_option("[data-dial=register]", "48")
    page.fill("[data-dial=register_margin]", "7")
    page.select_option("[data-dial=key]", "D minor")
    page.click("[data-switch=mute]")
    shown = "d => document.querySelector(`[data-dial=${d}]`).value"
    for dial, value in {
        "mode": "duet",
        "tempo": "120",
        "temperature": "0.8",
        "density": "5",
        "polyphony": "2",
        "register": "48",
        "register_margin": "7",
        "key": "D minor",
    }.items():
        for window in (page, other):
            wait_for(window, f"({shown})('{dial}') === '{value}'")
    for window in (page, other):
        wait_for(window, "document.querySelector('[data-switch=mute]').getAttribute('aria-pressed') === 'true'")
        wait_for(window, "document.getElementById('bpm').textContent === '120'")


def test_another_metre_begins_on_the_next_bar_line(session: Session) -> None:
    """The new metre begins on the next bar line, in the same take. Both pages show it."""
    page = session.open()
    other = session.open()
    page.click("#begin")
    play_phrase(page)
    wait_for_state(page, "playing")
    page.select_option("[data-dial=metre]", "3/4")
    wait_for(page, "document.getElementById('metre-now').textContent === '3/4'")
    for window in (page, other):
        wait_for(window, "document.querySelector('[data-dial=metre]').value === '3/4'")
        wait_for(window, "document.getElementById('beats').childElementCount === 3")
    assert page.get_attribute("#state", "data-state") == "playing"
    assert struck(page, "you") == len(PHRASE)
    assert len(list(session.folder.glob("20*"))) == 1


def test_the_style_is_shown_whoever_chose_it(start: START) -> None:
    """Another page or a controller of the keyboard changes the style, and all pages show it, later ones too."""
    session = start("--set", "control.style=cc 21 = joplin")
    page = session.open(script=STAND_IN)
    other = session.open()
    page.click("#begin")
    style = "document.querySelector('[data-dial=style]').value"
    for window in (page, other):
        wait_for(window, f"{style} === 'bach'")
    other.select_option("[data-dial=style]", "scarlatti")
    for window in (page, other):
        wait_for(window, f"{style} === 'scarlatti'")
    page.focus("#midi-input")
    page.keyboard.press("ArrowDown")
    wait_for(page, "window.keyboard.onmidimessage !== null")
    page.evaluate("keyboard.onmidimessage({ data: Uint8Array.from([0xb0, 21, 127]) })")
    for window in (page, other):
        wait_for(window, f"{style} === 'joplin'")
    late = session.open()
    wait_for(late, f"{style} === 'joplin'")


def test_take_over_and_panic(session: Session) -> None:
    """«Take over» lets livebach play although a key is down. «Panic» silences it until the player begins."""
    page = session.open()
    session.begin(page)
    play_phrase(page)
    page.keyboard.down("KeyA")
    page.click("[data-act=takeover]")
    wait_for_state(page, "playing")
    wait_for(page, "livebach.roll.struck.own >= 2")
    page.keyboard.up("KeyA")
    page.click("[data-act=panic]")
    wait_for(page, "!['playing'].includes(document.getElementById('state').dataset.state)")
    page.wait_for_timeout(700)
    before = struck(page, "own")
    assert listen(page, 1500)[0] < HEARD_DB
    assert struck(page, "own") == before


def test_every_key_has_the_pitch_of_its_temperament(session: Session) -> None:
    """For every temperament and pitch, each key is played at the speed of its pitch, to a hundredth of a cent."""
    page = session.open()
    session.begin(page)
    for name in TEMPERAMENTS:
        for pitch in (440, 415):
            page.select_option("#temperament", name)
            page.select_option("#pitch", str(pitch))
            found = page.evaluate(
                """() => Array.from({length: 88}, (_, n) => {
                  const { synth, notes } = livebach.sound;
                  const cents = synth.temperament[(n + 21) % 12];
                  const { key, rate } = notes.find(synth.instrument, n + 21, synth.pitch, cents);
                  return 440 * 2 ** ((key - 69) / 12) * rate;
                })"""
            )
            wanted = [frequency(key, name, pitch) for key in range(21, 109)]
            assert found == pytest.approx(wanted, rel=5e-6)


def test_the_page_finds_the_servers_clock(session: Session) -> None:
    """The answer with the shortest round trip counts. Slower answers change nothing."""
    page = session.open()
    found = page.evaluate(
        """async () => {
          const { ServerClock } = await import("/clock.js");
          const clock = new ServerClock(), ahead = 5000; // the server's clock is 5 s behind this page's
          const before = clock.known;
          for (const [out, back] of [[30, 2], [1, 40], [1, 1], [2, 80], [90, 3]]) {
            clock.add(0, out + back, (out - ahead) / 1000);
          }
          return [before, clock.toPage(1), clock.uncertaintyMs];
        }"""
    )
    assert found == [False, pytest.approx(6000), 1]
    # On a busy machine the first answer is slow. The page asks again.
    wait_for(page, "livebach.clock.uncertaintyMs < 50")


def test_own_notes_sound_a_constant_time_after_they_are_due(session: Session) -> None:
    """The notes of livebach begin at their due time plus the delay, by the audio clock."""
    page = session.open()
    session.begin(page)
    delays = page.evaluate(
        """async () => {
          const { synth } = livebach.sound, begun = [];
          const usual = AudioBufferSourceNode.prototype.start;
          AudioBufferSourceNode.prototype.start = function (when) {
            begun.push(when - synth.context.currentTime);
            return usual.call(this, when);
          };
          for (let n = 0; n < 20; n++) {
            const now = performance.now();
            synth.play([0x91, 60 + n, 80], "own", now + 100);
            synth.play([0x81, 60 + n, 0], "own", now + 110);
            await new Promise((done) => setTimeout(done, 7));
          }
          AudioBufferSourceNode.prototype.start = usual;
          return begun;
        }"""
    )
    assert len(delays) == 40  # body and bright
    assert all(0.08 < delay < 0.115 for delay in delays)


@pytest.mark.parametrize("instrument", ["harpsichord", "organ"])
def test_other_instruments_are_heard(session: Session, instrument: str) -> None:
    """The page fetches another instrument when it is chosen. It sounds while the key is down."""
    page = session.open()
    page.click("#begin")
    page.select_option("#instrument", instrument)
    wait_for(page, "livebach.sound.notes?.complete(livebach.sound.synth.instrument)", 120_000)
    page.keyboard.down("KeyA")
    assert listen(page, 600)[0] > HEARD_DB
    page.keyboard.up("KeyA")
    page.wait_for_timeout(2500)
    assert (
        page.evaluate("livebach.sound.synth.sounding") == 0 or page.get_attribute("#state", "data-state") == "playing"
    )


def test_the_take_is_downloaded_as_a_midi_file(session: Session) -> None:
    """The unfinished take is downloaded as a MIDI file with both tracks."""
    page = session.open()
    page.click("#begin")
    play_phrase(page)
    wait_for(page, f"livebach.roll.struck.you === {len(PHRASE)}")
    page.wait_for_timeout(500)
    with page.expect_download() as started:
        page.click("#take")
    data = Path(started.value.path()).read_bytes()
    assert started.value.suggested_filename.startswith("livebach_")
    assert data.startswith(b"MThd")
    assert b"you" in data
    assert bytes((0x90, 60)) in data


# --- pages that come and go ------------------------------------------------------------------------------------------


def test_two_pages_one_plays(session: Session) -> None:
    """The first page plays, and the second one says that it watches. It takes over on request."""
    first = session.open()
    first.click("#begin")
    second = session.open()
    second.click("#begin")
    second.wait_for_selector("#notice:not([hidden])")
    second.keyboard.press("KeyA")
    first.keyboard.press("KeyD")
    for page in (first, second):
        wait_for(page, "livebach.roll.struck.you === 1")
        assert page.evaluate("livebach.roll.keys.you") == [64]
    second.click("#notice-act")
    first.wait_for_selector("#notice:not([hidden])")
    second.wait_for_selector("#notice", state="hidden")
    second.keyboard.press("KeyG")
    wait_for(first, "livebach.roll.struck.you === 2")


def test_closing_the_page_releases_and_pauses(session: Session) -> None:
    """When the page that plays closes, its keys are released and livebach stops. Another page can play."""
    watching = session.open()
    watching.close()
    page, other = session.open(), None
    page.click("#begin")
    play_phrase(page)
    page.click("[data-act=takeover]")
    wait_for(page, "livebach.roll.struck.own >= 1")
    page.keyboard.down("KeyS")
    other = session.open()
    page.close()
    wait_for(other, "document.querySelectorAll('.key.you, .key.own').length === 0")
    wait_for(other, "document.getElementById('state').dataset.state !== 'playing'")
    other.click("#begin")
    other.keyboard.press("KeyD")
    wait_for(other, "livebach.roll.keys.you.at(-1) === 64")


def test_the_page_finds_back_by_itself(session: Session) -> None:
    """When the server dies, the page says so, reconnects to the new server, and plays."""
    page = session.open()
    page.click("#begin")
    play_phrase(page)
    wait_for(page, f"livebach.roll.struck.you === {len(PHRASE)}")
    dead = session.server_pid()
    os.kill(dead, signal.SIGKILL)
    wait_for_state(page, "away")
    page.wait_for_selector("#state:not([data-state=away])", timeout=WAIT_MS)
    assert session.server_pid() != dead
    page.keyboard.press("KeyS")
    wait_for(page, "livebach.roll.keys.you.at(-1) === 62")
    expected = ("WebSocket", "net::ERR_")  # the browser says that it lost the server
    session.faults[:] = [fault for fault in session.faults if not any(word in fault for word in expected)]


def test_a_network_that_drops_is_noticed_and_found_again(session: Session) -> None:
    """When the connection breaks, the page's keys are released, and the page reconnects."""
    page = session.open()
    page.click("#begin")
    page.keyboard.down("KeyA")
    wait_for(page, "livebach.roll.struck.you === 1")
    page.evaluate("livebach.connection.drop()")
    wait_for_state(page, "away")
    page.wait_for_selector("#state:not([data-state=away])", timeout=WAIT_MS)
    wait_for(page, "document.querySelectorAll('.key.you').length === 0")
    page.keyboard.up("KeyA")
    page.keyboard.press("KeyD")
    wait_for(page, "livebach.roll.keys.you.at(-1) === 64")


# --- for everybody ---------------------------------------------------------------------------------------------------

SIZES = {
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "small phone": {"viewport": {"width": 320, "height": 568}, "is_mobile": True, "has_touch": True},
    "tablet": {"viewport": {"width": 820, "height": 1180}, "has_touch": True},
    "small window": {"viewport": {"width": 1000, "height": 700}},
    "wide": {"viewport": {"width": 1440, "height": 900}},
}
OVERLAPS = """(() => {
  const shown = [...document.querySelectorAll('button:not(.key), select, input, a.button, label, .piano-bar p')];
  const boxes = shown.filter(e => e.offsetParent).map(e => [e, e.getBoundingClientRect()]);
  const before = (from, to) => from <= to + 1;
  const apart = (a, b) => before(a.right, b.left) || before(b.right, a.left) || before(a.bottom, b.top)
    || before(b.bottom, a.top);
  return boxes.flatMap(([one, a], n) => boxes.slice(n + 1)
    .filter(([other, b]) => !one.contains(other) && !other.contains(one) && !apart(a, b))
    .map(([other]) => `${one.id || one.textContent.trim()} / ${other.id || other.textContent.trim()}`));
})()"""
"""Pairs of controls that overlap."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_no_fault_and_all_is_in_sight(session: Session, size: str, scheme: str) -> None:
    """At every size and in both colour schemes, axe finds no fault, and nothing crosses the edge of the window."""
    page = session.open(color_scheme=scheme, **SIZES[size])
    assert axe_faults(page) == []
    page.click("#begin")
    page.locator(".key").nth(4).click()
    wait_for(page, "livebach.roll.struck.you === 1")
    page.evaluate("document.getElementById('notice').hidden = false")
    assert axe_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    outside = "[...document.querySelectorAll('button, select, input, a.button')].filter(e => e.offsetParent)"
    assert (
        page.evaluate(f"{outside}.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id)") == []
    )
    assert page.evaluate(OVERLAPS) == []
