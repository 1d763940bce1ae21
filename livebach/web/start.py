"""The first line that the player sends to the page's server on stdin. Other users could read a command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from livebach.web.access import Keys


@dataclass(frozen=True, slots=True)
class Start:
    """The server's first input. Port 0 is any free port."""

    keys: Keys
    port: int
    hello: dict[str, Any]

    @classmethod
    def read(cls, line: str) -> Start:
        """Parse the line that `line` returns."""
        data = json.loads(line)
        return cls(Keys(**data["keys"]), data["port"], data["hello"])

    def line(self) -> str:
        """Return this as a line of JSON, without its end."""
        return json.dumps({"keys": asdict(self.keys), "port": self.port, "hello": self.hello})
