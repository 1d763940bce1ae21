"""The list of all MIDI ports, back-end by back-end, for `livebach ports` and `livebach doctor`."""

from __future__ import annotations

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
    """Return the ports as text for people.

    Raises:
        PortError: No back-end can be used; the line has the reason of each.

    """
    found = reports(api)
    if all(report.trouble for report in found):
        raise PortError("; ".join(dict.fromkeys(report.trouble for report in found)))
    return "\n".join(line for report in found for line in _lines(report))


def _lines(report: BackendReport) -> list[str]:
    title = f"{report.row.name}: {report.row.title}"
    if report.trouble:
        return [title, f"  not available: {report.trouble}"]
    parts = (("inputs (--in)", report.inputs), ("outputs (--out)", report.outputs))
    return [title, *(line for part, names in parts for line in _part(part, names))]


def _part(title: str, names: tuple[str, ...]) -> list[str]:
    return [f"  {title}:", *(f"    {name}" for name in names or ("none",))]
