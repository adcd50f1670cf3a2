"""What a preflight finds: problems that end a run before it begins, and warnings."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from synthgen.errors import ConfigError, SynthgenError


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for the user.

    Attributes:
        severity: `problem`: the run cannot be made like this; `warning`: it may go wrong.
        text: what, where, the value, what is allowed.
        kind: the error that a problem becomes.
    """

    severity: Literal["problem", "warning"]
    text: str
    kind: type[SynthgenError] = ConfigError


def problem(text: str, kind: type[SynthgenError] = ConfigError) -> Finding:
    """Return a finding that ends the run before it begins."""
    return Finding("problem", text, kind)


def warning(text: str) -> Finding:
    """Return a finding that the user should know of."""
    return Finding("warning", text)


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that end a run before it begins."""
    return [finding for finding in findings if finding.severity == "problem"]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that a run is begun with."""
    return [finding for finding in findings if finding.severity == "warning"]


def once(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, in order: nodes find the same things."""
    return list(dict.fromkeys(findings))


def raise_problems(findings: Iterable[Finding]) -> None:
    """Raise what ends the run before it begins.

    Raises:
        SynthgenError: of the problem's own kind, `ConfigError` where kinds differ; the sentences
            of several problems are joined.
    """
    found = problems(findings)
    if not found:
        return
    kinds = {finding.kind for finding in found}
    kind = kinds.pop() if len(kinds) == 1 else ConfigError
    raise kind("; ".join(finding.text for finding in found))
