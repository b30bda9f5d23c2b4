"""The tool catalogue: every tool of a deployment, read once from the settings and contracts and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.call import Blob, Operation
from gateway.canonical import dumps
from gateway.config.model import Settings, ToolSettings
from gateway.errors import Problem, Problems
from gateway.tools.document import read_document
from gateway.tools.findings import Findings
from gateway.tools.inline import inline_document
from gateway.tools.logged import undeclared_rules
from gateway.tools.narrowing import unnarrowable
from gateway.tools.openapi import OperationReader
from gateway.tools.plan import EFFECTS
from gateway.tools.signable import unsignable, unsigned_bodies
from gateway.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All tools of a deployment by name. `index` names the contract of each, and the effect classes that the settings override."""

    tools: Mapping[str, Tool]
    index: Blob

    @classmethod
    def load(cls, settings: Settings) -> Catalogue:
        """Read every contract. Raises Problems with all that is wrong in any of them."""
        problems: list[Problem] = []
        tools: dict[str, Tool] = {}
        for name, tool in settings.tools.items():
            try:
                tools[name] = _load(tool, settings)
            except Problems as found:
                problems += found.problems
            except Problem as problem:
                problems.append(problem)
        if problems:
            raise Problems(problems)
        content = {n: [t.contract.digest if t.contract else None, dict(t.settings.effects)] for n, t in tools.items()}
        return cls(tools, Blob.of(dumps(content)))

    @property
    def digest(self) -> str:
        return self.index.digest

    def tool(self, name: str) -> Tool | None:
        return self.tools.get(name)

    def operations(self) -> Iterator[Operation]:
        """Every operation of every tool, `unmapped` and the generic ones included."""
        for tool in self.tools.values():
            yield from tool.operations()

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What was left out of the contracts; nothing that stops the start."""
        return tuple(note for tool in self.tools.values() for note in tool.notes)


def _load(tool: ToolSettings, settings: Settings) -> Tool:
    """Read one tool. Raises Problem or Problems."""
    credential = settings.credentials.get(tool.credential) if tool.credential else None
    if tool.contract is None and not tool.operations:
        if tool.effects:
            raise _problem(tool, "contract_effect", "effects", "effects need a contract", "name a contract, or remove them")
        return Tool(tool, notes=(*unsignable(tool, credential, {}), *unnarrowable(tool, credential, {})))
    if tool.contract is not None and tool.operations:
        raise _problem(tool, "contract_operation", "contract", "a contract file and inline operations exclude each other", "keep one of the two")
    document = inline_document(tool) if tool.contract is None else read_document(settings.folder / tool.contract)
    findings = Findings(document)
    taken = (credential.written if credential else frozenset()) | ({tool.token_header.lower()} if tool.token_header else set())
    reader = OperationReader(tool.name, findings, taken)
    reader.read({name: effect for name, effect in tool.effects.items() if effect in EFFECTS})
    for name, effect in tool.effects.items():
        key = f"effects.{name}"
        if effect not in EFFECTS:
            findings.problems.append(
                _problem(tool, "contract_effect", key, f"{effect[:64]!r} is no effect class", f"write one of {', '.join(EFFECTS)}")
            )
        elif name not in reader.plans and not findings.problems:
            message = "is left out of the contract" if name in reader.left_out else "is no operation of the contract"
            findings.problems.append(_problem(tool, "contract_effect", key, f"{name[:64]!r} {message}", "correct the name, or remove it"))
    findings.problems += unsigned_bodies(tool, credential, reader.plans)
    if findings.problems:
        raise Problems(findings.problems)
    return Tool(
        tool,
        Blob.of(dumps(document.value)),
        reader.plans,
        reader.routes,
        (*findings.notes, *unsignable(tool, credential, reader.plans), *unnarrowable(tool, credential, reader.plans)),
        undeclared_rules(plan.operation for plan in reader.plans.values()),
    )


def _problem(tool: ToolSettings, code: str, key: str, message: str, remedy: str) -> Problem:
    return Problem(code, message, file=tool.file, line=tool.line, key=f"tool.{tool.name}.{key}", remedy=remedy)
