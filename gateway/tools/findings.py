"""What reading a contract brought to light: problems that stop the start, and notes on what was left out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import Problem
from gateway.tools.document import Document, Place, pointer


class Unsupported(Exception):  # noqa: N818 - an expected answer of the reader, caught where the operation is read
    """The contract is right, but this gateway cannot hold calls to it exactly; whatever depends on it is left out."""

    def __init__(self, message: str, place: Place, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy


@dataclass(slots=True)
class Findings:
    """Collects the problems and notes of one contract, each with its file, line and place."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def problem(self, code: str, message: str, place: Place, remedy: str) -> Problem:
        """Make a problem that knows where it is, to be raised or added."""
        return Problem(code, message, file=self.document.file, line=self.document.line(place), key=pointer(place), remedy=remedy)

    def add(self, code: str, message: str, place: Place, remedy: str) -> None:
        self.keep(self.problem(code, message, place, remedy))

    def keep(self, problem: Problem) -> None:
        """Add a problem once, however many operations refer to the schema that has it."""
        if str(problem) not in map(str, self.problems):
            self.problems.append(problem)

    def leave_out(self, what: str, why: Unsupported) -> None:
        """Note that `what` is not part of the contract as the gateway holds it."""
        self.notes.append(self.problem("contract_left_out", f"{what} is left out: {why.message}", why.place, why.remedy))
