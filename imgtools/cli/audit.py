"""imgtools audit: may these images be trusted?

Exit status, the worst of all files: 0 nothing found, 1 a file could not be examined, 2 errors, 3 nothing worse than
warnings. A status of 1 wins over the others.
"""

from __future__ import annotations

from imgtools.cli import console
from imgtools.cli.arguments import FORCE_SHARE, FORMAT, QUIET, Choice
from imgtools.cli.getopt import Command, UsageError
from imgtools.cli.json_text import to_json
from imgtools.errors import BadOption, ImageError
from imgtools.operations.audit import ERROR, RULES, WARNING, audit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.operations.audit import AuditFinding, Verdict

ERRORS, WARNINGS = 2, 3
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


COMMAND = Command(
    "audit",
    "FILENAME...",
    "Tell whether images can be trusted, without opening anything that they name.",
    (
        FORMAT,
        Choice(
            "output",
            "",
            "output",
            "OFMT",
            "human (the default), json or sarif",
            ("human", "json", "sarif"),
            complaint="--output must be used with human, json or sarif as argument.",
        ),
        QUIET,
        FORCE_SHARE,
    ),
)


def run(arguments: Any) -> int:
    if not arguments.operands:
        raise UsageError("Expecting one or more image file names")
    verdicts: list[Verdict] = []
    failures: list[tuple[str, ImageError]] = []
    for path in arguments.operands:
        try:
            verdicts.append(audit(path, format=arguments.format, share=arguments.force_share))
        except BadOption:
            raise
        except ImageError as error:
            failures.append((path, error))
            console.complain(error.message)
    if arguments.output == "sarif":
        console.say(to_json(sarif(verdicts, failures)))
    elif arguments.output == "json":
        console.say(to_json([as_dict(verdict) for verdict in verdicts]))
    elif not arguments.quiet:
        for verdict in verdicts:
            for line in human(verdict):
                console.say(line)
    if failures:
        return 1
    found = {finding.severity for verdict in verdicts for finding in verdict.findings}
    return ERRORS if ERROR in found else WARNINGS if WARNING in found else 0


def human(verdict: Verdict) -> list[str]:
    """A line for each finding, and one for the file."""
    lines = []
    for finding in verdict.findings:
        place = "" if finding.offset is None else f" at {finding.offset:#x}"
        lines.append(f"{verdict.path}: {finding.severity}{place}: {finding.message} [{finding.rule}]")
    counts = [(severity, verdict.count(severity)) for severity in (ERROR, WARNING)]
    told = ", ".join(f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts if count)
    return [*lines, f"{verdict.path}: {verdict.format}: {told or 'nothing found'}"]


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """The outcome for a file under the names of the JSON output."""
    worst = ERROR if verdict.count(ERROR) else WARNING if verdict.findings else "clean"
    findings = [finding_as_dict(finding) for finding in verdict.findings]
    return {"filename": verdict.path, "format": verdict.format, "verdict": worst, "findings": findings}


def finding_as_dict(finding: AuditFinding) -> dict[str, Any]:
    fields = {"rule": finding.rule, "severity": finding.severity, "message": finding.message, "offset": finding.offset}
    return {name: value for name, value in fields.items() if value is not None}


def sarif(verdicts: list[Verdict], failures: list[tuple[str, ImageError]]) -> dict[str, Any]:
    """The outcome as a log in OASIS' SARIF 2.1.0, which code-scanning services take."""
    from imgtools import __version__

    rules = [
        {"id": name, "shortDescription": {"text": f"The image {what}."}, "defaultConfiguration": {"level": severity}}
        for name, (severity, what) in RULES.items()
    ]
    invocation = {
        "executionSuccessful": not failures,
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": error.message}, "locations": [sarif_location(path, None)]}
            for path, error in failures
        ],
    }
    results = [
        {
            "ruleId": finding.rule,
            "ruleIndex": list(RULES).index(finding.rule),
            "level": finding.severity,
            "message": {"text": finding.message},
            "locations": [sarif_location(verdict.path, finding.offset)],
        }
        for verdict in verdicts
        for finding in verdict.findings
    ]
    tool = {"driver": {"name": "imgtools", "version": __version__, "rules": rules}}
    run = {"tool": tool, "invocations": [invocation], "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_location(path: str, offset: int | None) -> dict[str, Any]:
    from urllib.parse import quote

    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path)}}
    if offset is not None:
        place["region"] = {"byteOffset": offset}
    return {"physicalLocation": place}
