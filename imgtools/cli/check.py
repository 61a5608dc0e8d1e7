"""imgtools check: is an image's own metadata sound?

Exit status: 0 sound, 1 not checked, 2 corrupt, 3 clusters leaked, 63 nothing to check in this format.
"""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.arguments import (
    FORCE_SHARE,
    FORMAT,
    OPENING,
    OUTPUT,
    QUIET,
    SOURCE_CACHE,
    Choice,
    cache_mode,
    output_format,
)
from imgtools.cli.getopt import Command, Option, UsageError
from imgtools.cli.json_text import to_json
from imgtools.cli.opening import named, open_named
from imgtools.errors import ImageError
from imgtools.operations.check import NotCheckable, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from imgtools.block.format import CheckResult, Finding
    from imgtools.cli.opening import Target

CORRUPT, LEAKED, NOT_SUPPORTED = 2, 3, 63
NOTES = 200
"""Findings that are written at once."""


COMMAND = Command(
    "check",
    "FILENAME",
    "Check that an image's metadata is sound, and mend it if asked.",
    (
        FORMAT,
        OUTPUT,
        Choice(
            "repair",
            "r",
            "repair",
            "WHAT",
            "mend what is found: leaks (harmless), or all",
            ("leaks", "all"),
            complaint="Unknown option value for -r (expecting 'leaks' or 'all'): {}",
            error=UsageError,
        ),
        Option(
            "plan",
            "",
            "plan",
            "",
            "only list what is wrong and what -r would do about it; nothing is written",
            own=True,
        ),
        QUIET,
        SOURCE_CACHE,
        FORCE_SHARE,
        *OPENING,
    ),
)


def run(arguments: Any) -> int:
    if len(arguments.operands) != 1:
        raise UsageError("Expecting one image file name")
    style = output_format(arguments)
    cache = cache_mode(arguments.source_cache, "writeback", "source cache option")
    target = named(arguments.operands[0], arguments.format, arguments.image_opts)
    if arguments.plan:
        return show_plan(arguments, target, style)
    with open_named(
        target, arguments, writable=arguments.repair is not None, backing=False, cache=cache, checking=True
    ) as node:
        try:
            with Notes() as notes:
                result = check(node, repair=arguments.repair, report=notes)
            if result.corruptions_fixed or result.leaks_fixed:
                if style == "human" and not arguments.quiet:
                    console.say("The following inconsistencies were found and repaired:\n")
                    console.say(
                        f"    {result.leaks_fixed} leaked clusters\n    {result.corruptions_fixed} corruptions\n"
                    )
                    console.say("Double checking the fixed image now...")
                fixed = result
                with Notes() as notes:
                    result = check(node, report=notes)
                result.leaks_fixed, result.corruptions_fixed = fixed.leaks_fixed, fixed.corruptions_fixed
        except NotCheckable as error:
            console.complain(error.message)
            return NOT_SUPPORTED
        except ImageError as error:
            error.message = f"Check failed: {error.message}"
            raise
        format = node.driver
    if not arguments.quiet:
        console.say(to_json(as_dict(result, target.shown, format)) if style == "json" else "\n".join(human(result)))
    if result.check_errors:
        console.complain("Check failed")
        return 1
    return status_of(result)


class Notes:
    """Tells findings on standard error, many at once: a broken image can have a hundred thousand."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, finding: Finding) -> None:
        self.lines.append(finding.message)
        if len(self.lines) >= NOTES:
            self.tell()

    def tell(self) -> None:
        if self.lines:
            console.note("\n".join(self.lines))
            self.lines.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tell()


def status_of(result: CheckResult) -> int:
    return CORRUPT if result.corruptions else LEAKED if result.leaks else 0


def show_plan(arguments: Any, target: Target, style: str) -> int:
    """List each finding with what a repair (of all, if nothing else is said) would do about it."""
    findings: list[Finding] = []
    with open_named(target, arguments, backing=False, checking=True) as node:
        try:
            result = check(node, report=findings.append)
        except NotCheckable as error:
            console.complain(error.message)
            return NOT_SUPPORTED
        format = node.driver
    if style == "json":
        plan = [finding.as_dict() | {"mended": is_mended(finding, arguments.repair)} for finding in findings]
        console.say(to_json({"filename": target.shown, "format": format, "plan": plan}))
    else:
        for finding in findings:
            place = "" if finding.offset is None else f" at offset {finding.offset:#x}"
            word = "mend" if is_mended(finding, arguments.repair) else "leave"
            console.say(f"{word:<6}{finding.message} ({finding.structure}{place})")
        mended = sum(is_mended(finding, arguments.repair) for finding in findings)
        console.say(f"{mended} of {len(findings)} findings would be mended by -r {arguments.repair or 'all'}.")
    return status_of(result)


def is_mended(finding: Finding, repair: str | None) -> bool:
    """Whether a repair ("leaks", "all", or None for the most there is) mends a finding."""
    return finding.repair == "leaks" or (finding.repair == "all" and repair != "leaks")


def as_dict(result: CheckResult, filename: str, format: str) -> dict[str, Any]:
    """The outcome under the names that JSON output gives it; counts of zero are left out."""
    counts = {
        "image-end-offset": result.image_end_offset,
        "corruptions": result.corruptions,
        "leaks": result.leaks,
        "corruptions-fixed": result.corruptions_fixed,
        "leaks-fixed": result.leaks_fixed,
        "total-clusters": result.total_clusters,
        "allocated-clusters": result.allocated_clusters,
        "fragmented-clusters": result.fragmented_clusters,
        "compressed-clusters": result.compressed_clusters,
    }
    known = {name: count for name, count in counts.items() if count}
    return {"filename": filename, "format": format, "check-errors": result.check_errors, **known}


def human(result: CheckResult) -> list[str]:
    """The lines that tell the outcome to people."""
    lines = []
    if not (result.corruptions or result.leaks or result.check_errors):
        lines.append("No errors were found on the image.")
    if result.corruptions:
        lines.append(f"\n{result.corruptions} errors were found on the image.")
        lines.append("Data may be corrupted, or further writes to the image may corrupt it.")
    if result.leaks:
        lines.append(f"\n{result.leaks} leaked clusters were found on the image.")
        lines.append("This means waste of disk space, but no harm to data.")
    if result.check_errors:
        lines.append(f"\n{result.check_errors} internal errors have occurred during the check.")
    total, allocated = result.total_clusters, result.allocated_clusters
    if total and allocated:
        lines.append(
            f"{allocated}/{total} = {allocated * 100 / total:.2f}% allocated, "
            f"{result.fragmented_clusters * 100 / allocated:.2f}% fragmented, "
            f"{result.compressed_clusters * 100 / allocated:.2f}% compressed clusters"
        )
    if result.image_end_offset:
        lines.append(f"Image end offset: {result.image_end_offset}")
    return lines
