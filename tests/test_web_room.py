"""The messages that a page may send, and the room: one page plays, and the others watch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livebach.controls import CONTROLS
from livebach.web import messages
from livebach.web.messages import COMMANDS, LONGEST, MessageError
from livebach.web.room import (
    BURST,
    MOST_PAGES,
    POLICY,
    SILENCE_S,
    Action,
    Close,
    Room,
    ToPage,
    ToPlayer,
)

HELLO = {"type": "hello"}
STRIKE = '{"type":"midi","data":[144,60,64]}'


def kinds(actions: list[Action], page: int) -> list[str]:
    """Return the types of the messages that a page gets."""
    return [action.message["type"] for action in actions if isinstance(action, ToPage) and action.page == page]


def to_player(actions: list[Action]) -> list[dict[str, Any]]:
    """Return the messages that the player gets."""
    return [action.message for action in actions if isinstance(action, ToPlayer)]


def entered(room: Room, now_s: float = 0.0) -> int:
    """Let a page in."""
    page, _ = room.join(now_s)
    assert page is not None
    return page


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"type": "midi", "data": [0x90, 60, 64]},
        {"type": "midi", "data": [0x80, 60, 0]},
        {"type": "midi", "data": [0xB0, 64, 127]},
        {"type": "command", "name": "tempo", "value": "96"},
        {"type": "command", "name": "panic", "value": ""},
        {"type": "clock", "sent": 1234.5},
        {"type": "play"},
    ],
)
def test_good_messages_are_read(message: dict[str, Any]) -> None:
    """A message of each form is read as it is."""
    assert messages.read(json.dumps(message)) == message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[" * LONGEST, "JSON"),
        ("[]", "object"),
        ("{}", "type"),
        ('{"type":["midi"]}', "type"),
        ('{"type":"swap"}', "type"),
        ('{"type":"midi"}', "data"),
        ('{"type":"midi","data":[144,60,64],"more":1}', "data"),
        ('{"type":"midi","data":[]}', "midi.data"),
        ('{"type":"midi","data":"abc"}', "midi.data"),
        ('{"type":"midi","data":[144,60]}', "midi.data"),
        ('{"type":"midi","data":[144,60,128]}', "midi.data"),
        ('{"type":"midi","data":[144,60,true]}', "midi.data"),
        ('{"type":"midi","data":[144,60,1.5]}', "midi.data"),
        ('{"type":"midi","data":[240,1,247]}', "midi.data"),
        ('{"type":"midi","data":[144,-1,64]}', "midi.data"),
        ('{"type":"command","name":"swap","value":"/etc/passwd"}', "command.name"),
        ('{"type":"command","name":"tempo","value":96}', "command.value"),
        ('{"type":"command","name":"style","value":"../x.safetensors"}', "command.value"),
        ('{"type":"command","name":"back","value":"1000"}', "command.value"),
        ('{"type":"command","name":"mute","value":"perhaps"}', "command.value"),
        ('{"type":"command","name":"tempo","value":"' + "9" * 25 + '"}', "command.value"),
        ('{"type":"command","name":"tempo","value":"\\n"}', "command.value"),
        ('{"type":"clock","sent":NaN}', "clock.sent"),
        ('{"type":"clock","sent":1e999}', "clock.sent"),
        ('{"type":"clock","sent":-1}', "clock.sent"),
    ],
)
def test_bad_messages_are_refused_by_name(text: str, named: str) -> None:
    """A message that breaks the schemas is refused in one short line that names the fault."""
    with pytest.raises(MessageError, match=named) as refusal:
        messages.read(text)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_bytes_are_refused() -> None:
    """A binary message is refused."""
    with pytest.raises(MessageError, match="bytes"):
        messages.read(b"\x90\x3c\x40")


def test_every_control_but_one_can_be_reached() -> None:
    """A page may use all controls, except for loading a file by its name."""
    assert {*CONTROLS, "metre"} - {"swap"} == COMMANDS


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "data", "name", "value"]), inner)
    ),
    max_leaves=8,
)


@given(st.text() | _JSON.map(json.dumps))
def test_garbage_is_refused_and_nothing_else_happens(text: str) -> None:
    """Any text is a message of the table or a `MessageError`."""
    try:
        message = messages.read(text)
    except MessageError:
        return
    assert message["type"] in messages.SCHEMAS


# --- the room --------------------------------------------------------------------------------------------------------


def test_first_page_plays_and_the_second_watches() -> None:
    """The first page plays. A second one controls livebach, but its keys are ignored."""
    room = Room(HELLO)
    first, second = entered(room), entered(room)
    assert room.plays == first
    assert to_player(room.receive(first, STRIKE, 0)) == [{"type": "midi", "data": [144, 60, 64]}]
    assert room.receive(second, STRIKE, 0) == []
    command = {"type": "command", "name": "tempo", "value": "up"}
    assert to_player(room.receive(second, json.dumps(command), 0)) == [command]


def test_second_page_takes_over_and_the_first_ones_keys_are_released() -> None:
    """A page that asks for it plays from then on. The keys of the page before are released, and the music continues."""
    room = Room(HELLO)
    first, second = entered(room), entered(room)
    actions = room.receive(second, '{"type":"play"}', 0)
    assert to_player(actions) == [{"type": "release"}]
    roles = {action.page: action.message["plays"] for action in actions if isinstance(action, ToPage)}
    assert roles == {first: False, second: True}
    assert room.receive(second, '{"type":"play"}', 0) == []


def test_leaving_releases_and_pauses_only_where_the_page_played() -> None:
    """When the page that plays closes, its keys are released and the music pauses. Other pages have no such effect."""
    room = Room(HELLO)
    first, second = entered(room), entered(room)
    assert room.leave(second) == []
    assert to_player(room.leave(first)) == [{"type": "release"}, {"type": "pause"}]
    assert room.leave(first) == []


def test_where_nobody_plays_the_first_key_does() -> None:
    """After that, the page that strikes a key plays."""
    room = Room(HELLO)
    first, second = entered(room), entered(room)
    room.leave(first)
    assert room.plays is None
    assert to_player(room.receive(second, STRIKE, 0)) == [{"type": "midi", "data": [144, 60, 64]}]
    assert room.plays == second


def test_a_late_page_is_told_how_things_stand() -> None:
    """A late page gets the greeting, the newest state of each kind, and the last messages."""
    room = Room(HELLO)
    room.tell({"type": "turn", "bar": 1})
    room.tell({"type": "turn", "bar": 2})
    room.tell({"type": "text", "text": "hello"})
    room.tell({"type": "midi", "data": [144, 60, 1]})
    page, actions = room.join(0.0)
    assert page is not None
    assert kinds(actions, page) == ["hello", "turn", "text", "role"]
    assert actions[1] == ToPage(page, {"type": "turn", "bar": 2})


def test_too_many_pages_are_not_let_in() -> None:
    """The number of pages is limited, until one leaves."""
    room = Room(HELLO)
    pages = [entered(room) for _ in range(MOST_PAGES)]
    assert room.join(0.0) == (None, [])
    room.leave(pages[-1])
    assert room.join(0.0)[0] is not None


def test_a_flood_closes_its_page() -> None:
    """A page that sends more messages than hands can is closed. The allowed rate can go on for ever."""
    room = Room(HELLO)
    fast, slow = entered(room), entered(room)
    assert not any(isinstance(a, Close) for n in range(2000) for a in room.receive(slow, STRIKE, n / 250))
    sent = [a for _ in range(int(BURST) + 1) for a in room.receive(fast, STRIKE, 0.0)]
    assert [a for a in sent if isinstance(a, Close)] == [Close(fast, POLICY, "more than 300 messages a second")]


def test_garbage_closes_its_page() -> None:
    """A message that no schema allows closes the page with the reason. The player gets nothing of it."""
    room = Room(HELLO)
    page = entered(room)
    (action,) = room.receive(page, '{"type":"midi","data":[1]}', 0)
    assert isinstance(action, Close)
    assert action.code == POLICY
    assert "midi.data" in action.reason


def test_a_page_that_answers_no_ping_is_dropped() -> None:
    """A page that does not answer pings is closed."""
    room = Room(HELLO)
    stalled, alive = entered(room), entered(room)
    for second in range(int(SILENCE_S) + 2):
        actions = room.ping(float(second))
        room.receive(alive, '{"type":"clock","sent":1}', float(second))
    assert [action for action in actions if isinstance(action, Close)] == [Close(stalled, 1013, "no answer")]


def test_the_clock_is_told() -> None:
    """A page that asks for the time gets its own time back, and the server's."""
    room = Room(HELLO)
    page = entered(room)
    assert room.receive(page, '{"type":"clock","sent":5}', 7.5) == [
        ToPage(page, {"type": "clock", "sent": 5, "now": 7.5})
    ]


def test_a_page_that_is_gone_says_nothing() -> None:
    """Messages of a page that has left are ignored."""
    room = Room(HELLO)
    page = entered(room)
    room.leave(page)
    assert room.receive(page, STRIKE, 0) == []
