"""`livebach corpus`: prepare training data, and report on its content."""

from __future__ import annotations

import argparse
import json

from livebach.commands.flags import user_path
from livebach.errors import UserError
from livebach.files import check_folder, check_replaceable, replace_file
from livebach.music.score_reader import CorpusError
from livebach.training.licence_index import Collection

ERRORS = (CorpusError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    ways = parser.add_subparsers(dest="way", required=True, metavar="WAY")
    report = ways.add_parser("report", help="report pieces, metres, grids, near-duplicates and licences of a folder")
    report.add_argument("folder", type=user_path, metavar="DIR")
    report.add_argument("--json", type=user_path, metavar="FILE", help="write the report piece by piece to this file")
    engraved = ways.add_parser("music21", help="write the scores of music21 as MIDI files (needs the extra corpus)")
    engraved.add_argument("--composer", default="bach", help="the composer, as music21 spells the name (default: bach)")
    engraved.add_argument("--out", type=user_path, required=True, metavar="DIR")
    fetch = ways.add_parser("fetch", help="download public sources, checked by hash (needs the extra corpus)")
    fetch.add_argument(
        "sources",
        type=user_path,
        metavar="SOURCES.yaml",
        help="the list of sources, each with name, url, sha256 and licence",
    )
    fetch.add_argument("--out", type=user_path, required=True, metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand; return 0."""
    {"report": _report, "music21": _music21, "fetch": _fetch}[args.way](args)
    return 0


def _report(args: argparse.Namespace) -> None:
    from livebach.training.corpus_report import survey

    if args.json is not None:
        check_replaceable(args.json)
    found = survey(args.folder)
    print("\n".join(found.lines()))
    if args.json is not None:
        replace_file(args.json, (json.dumps(found.to_dict(), indent=1) + "\n").encode())


def _music21(args: argparse.Namespace) -> None:
    from livebach.training.music21_scores import scores, works

    check_folder(args.out)
    files, collection = works(args.composer), Collection(args.out)
    for path in files:
        try:
            for name, data, origin in scores(path):
                collection.add(name, data, origin)
        except CorpusError as error:
            print(f"left out {error}")
    _saved(collection)


def _fetch(args: argparse.Namespace) -> None:
    from livebach.training.fetch import fetch, midi_files, read_sources

    check_folder(args.out)
    collection = Collection(args.out)
    for source in read_sources(args.sources):
        for name, data, origin in midi_files(source, fetch(source, args.out / ".fetched")):
            collection.add(name, data, origin)
    _saved(collection)


def _saved(collection: Collection) -> None:
    if not collection.origins:
        raise UserError(f"{collection.folder}: no MIDI file was found")
    collection.save()
    print(f"{collection.folder}: {len(collection.origins)} MIDI files; `livebach corpus report` describes them")
