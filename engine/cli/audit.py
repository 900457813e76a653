"""The command that checks the audit chain."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from engine.cli.door import DONE, FAILED, CommandLineError, show
from engine.services.audit import verify
from engine.settings import get_settings
from engine.store.database import Database
from engine.store.schema import upgrade


def verify_audit(options: argparse.Namespace) -> int:
    """Recompute the chain over risk events and activity; name the first link that does not hold."""
    database = Database(get_settings().database_url)
    if database.path is not None and not database.path.exists():
        raise CommandLineError(
            f"there is no database {database.path}: DATABASE_URL names another one than the engine's"
        )
    upgrade(database)
    report = verify(database, head=None if options.head is None else options.head.strip().lower())
    lines = []
    if (one := report.broken) is not None:
        row = "" if one.row_id is None else f" of {one.source} {one.row_id}"
        lines.append(f"BROKEN at link {one.link}{row}: {one.why}" if one.link else f"BROKEN{row}: {one.why}")
        lines.append(f"{report.links:,} links before it hold")
    else:
        lines.append(f"{report.links:,} links hold; head {report.head}")
    if report.seen_head is False:
        lines.append(f"the chain does not contain {options.head}: its end was cut off, or it is another chain")
    if report.unchained:
        lines.append(f"{report.unchained:,} newer rows wait to be chained (a running engine does it within a second)")
    show(options, asdict(report) | {"holds": report.holds}, lines)
    return DONE if report.holds else FAILED


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("verify-audit", help="check the hash chain over risk events and activity")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--head", help="a digest noted earlier that the chain must still contain")
    parser.set_defaults(do=verify_audit)
