"""The list of all MIDI ports, back-end by back-end, for `livebach ports` and `livebach doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livebach.midi.backends import BackendRow, open_backend, rows_here
from livebach.midi.port_names import PortError


@dataclass(frozen=True, slots=True)
class BackendReport:
    """What one back-end has now.

    Attributes:
        row: The back-end's row in the table.
        inputs: The names of the ports that can be heard (`--in`).
        outputs: The names of the ports that can be sent to (`--out`).
        trouble: Why it cannot be used, with what helps; "" where it can.

    """

    row: BackendRow
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    trouble: str = ""


def reports(api: str | None = None) -> list[BackendReport]:
    """Return what each back-end of this operating system has, or the one of that name."""
    return [_report(row) for row in rows_here(api)]


def _report(row: BackendRow) -> BackendReport:
    try:
        backend = open_backend(row)
        return BackendReport(row, tuple(backend.input_names()), tuple(backend.output_names()))
    except PortError as trouble:
        return BackendReport(row, trouble=str(trouble))


def listing(api: str | None = None) -> str:
    """Return the ports as text for people, and the reason of each back-end that cannot be used.

    Raises:
        PortError: There is no back-end of that name, or it cannot be used.

    """
    found = reports(api)
    if api is not None and found[0].trouble:
        raise PortError(found[0].trouble)
    return "\n".join(line for report in found for line in _lines(report))


def _lines(report: BackendReport) -> list[str]:
    title = f"{report.row.name}: {report.row.title}"
    if report.trouble:
        return [title, f"  not available: {report.trouble}"]
    return [title, *part("inputs (--in)", report.inputs), *part("outputs (--out)", report.outputs)]


def part(title: str, names: Sequence[str]) -> list[str]:
    """Return the lines of a back-end's inputs or outputs."""
    return [f"  {title}:", *(f"    {name}" for name in names or ("none",))]
