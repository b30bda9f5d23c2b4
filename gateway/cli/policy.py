"""`portreeve policy`: check, test and look at the policies of a deployment without starting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import Bundle
from gateway.authorize.cases import Case, Finding, read_cases, run_cases
from gateway.authorize.policy import Policy
from gateway.cli.conformance import conformance
from gateway.cli.json_errors import JsonErrors
from gateway.cli.output import plural, print_json, print_problems, print_table, print_ticks, problem_json
from gateway.cli.policy_completion import policies
from gateway.cli.policy_confuse import confuse_forbids
from gateway.cli.policy_coverage import coverage
from gateway.cli.policy_deployment import AsJson, Deployment, Folder, Instead
from gateway.cli.policy_diff import diff
from gateway.cli.policy_explain import explain
from gateway.cli.policy_fmt import fmt
from gateway.cli.policy_lint import Strict, lint, look
from gateway.cli.policy_replay import replay
from gateway.cli.policy_schema import schema
from gateway.cli.policy_shadow import shadow
from gateway.cli.policy_suggest import suggest_permits
from gateway.cli.policy_who_can import who_can
from gateway.cli.progress import progress
from gateway.errors import Problem, Problems

app = typer.Typer(name="policy", help="Check, test and look at the policies of a deployment.", no_args_is_help=True, rich_markup_mode=None)
for _command in (conformance, explain, coverage, replay, shadow, schema, lint, fmt, diff):
    app.command(cls=JsonErrors)(_command)
app.command("suggest", cls=JsonErrors)(suggest_permits)
app.command("who-can", cls=JsonErrors)(who_can)
app.command("confuse", cls=JsonErrors)(confuse_forbids)

Names = Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="Only what has one of these words in its name.")]
Policies = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORD]...", autocompletion=policies, help="Only policies that have one of these words in their name."),
]


@app.command(cls=JsonErrors)
def check(folder: Folder = Path(), candidate: Instead = None, as_json: AsJson = False, strict: Strict = False) -> None:
    """Parse, validate and lint every policy, then run the cases. Exits with 1 when something is wrong.

    Example: portreeve policy check
    """
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    summary = ""
    try:
        deployment = Deployment.read(folder, candidate)
        linted = look(deployment, strict=strict)
        problems, warnings, bundle = linted.problems, linted.warnings, linted.bundle
        findings = _run(bundle, read_cases(deployment.settings.policies)) if bundle else []
        problems += tuple(f.problem for f in findings if f.wrong)
        summary = (
            ""
            if bundle is None
            else f"{plural(bundle.policy_count, 'policy')}, {plural(len(findings), 'case')}, {plural(len(bundle.plans), 'operation')}"
        )
    except Problems as found:
        problems = tuple(found.problems)
    except Problem as found:
        problems = (found,)
    passed = not problems and not (strict and warnings)
    if as_json:
        print_json(
            {"ok": passed, "summary": summary, "problems": [problem_json(p) for p in problems], "warnings": [problem_json(w) for w in warnings]}
        )
    else:
        print_problems(warnings, style="yellow")
        print_problems(problems)
        counts = ", ".join(plural(len(found), noun) for found, noun in ((problems, "problem"), (warnings, "warning")) if found)
        print_ticks([(passed, "policies", ": ".join(part for part in (counts, summary) if part))])
    if not passed:
        raise typer.Exit(1)


@app.command("test", cls=JsonErrors)
def run_tests(words: Names = None, folder: Folder = Path(), candidate: Instead = None, as_json: AsJson = False) -> None:
    """Run the cases in `cases/` of the policies folder and show each with its decision. Exits with 1 when one is not as expected.

    Example: portreeve policy test refund
    """
    deployment = Deployment.read(folder, candidate)
    cases = [case for case in read_cases(deployment.settings.policies) if not words or any(word in case.name for word in words)]
    if words and not cases:
        raise Problem("no_such_case", f"no case has {' or '.join(words)} in its name", remedy="see `portreeve policy test`")
    findings = _run(deployment.bundle(), cases)
    failed = [finding for finding in findings if finding.wrong]
    if as_json:
        print_json({"ok": not failed, "cases": [_case_json(finding) for finding in findings]})
    else:
        rows = [("FAILED" if f.wrong else "ok", f.case.name, f.decision or "-", ", ".join(f.reasons) or "-") for f in findings]
        print_table(("", "case", "decision", "because of"), rows)
        print()
        print_problems(finding.problem for finding in failed)
        print(f"{plural(len(findings), 'case')}, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _run(bundle: Bundle, cases: list[Case]) -> list[Finding]:
    with progress("running cases", len(cases)) as show:
        findings = []
        for finding in run_cases(bundle, cases):
            findings.append(finding)
            show(len(findings))
    return findings


def _case_json(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.case.name,
        "file": finding.case.file,
        "line": finding.case.line,
        "ok": not finding.wrong,
        "wrong": finding.wrong,
        "decision": finding.decision,
        "reasons": finding.reasons,
        "code": finding.code,
    }


@app.command("list", cls=JsonErrors)
def list_policies(words: Policies = None, folder: Folder = Path(), as_json: AsJson = False) -> None:
    """List the policies with effect, scope and place.

    Example: portreeve policy list refund
    """
    bundle = Deployment.read(folder).bundle()
    found = [policy for policy in bundle.library.policies if not words or any(word in policy.id for word in words)]
    if as_json:
        print_json({"ok": True, "digest": bundle.digest, "engine": bundle.engine, "policies": [_policy_json(policy) for policy in found]})
        return
    rows = [(policy.id, _effect(policy), *_scope(policy), _place(policy)) for policy in found]
    print_table(("policy", "effect", "who", "what", "where", "file"), rows)
    print(f"\n{plural(len(found), 'policy')}, bundle {bundle.digest}")


def _effect(policy: Policy) -> str:
    held = " after approval" if "require_approval" in policy.annotations else ""
    return f"{policy.effect}{held}{' (shadow)' if policy.shadow else ''}"


def _scope(policy: Policy) -> tuple[str, str, str]:
    def words(key: tuple[str, str, str] | None) -> str:
        return "any" if key is None else f"any {key[1]}" if key[0] == "is" else key[2] if key[0] == "==" else f"in {key[2]}"

    return words(policy.principal), ", ".join(key[2] if key else "any" for key in policy.actions), words(policy.resource)


def _place(policy: Policy) -> str:
    return f"{Path(policy.piece.file).name}:{policy.piece.line}"


def _policy_json(policy: Policy) -> dict[str, object]:
    return {
        "id": policy.id,
        "effect": policy.effect,
        "shadow": policy.shadow,
        "annotations": dict(policy.annotations),
        "file": policy.piece.file,
        "line": policy.piece.line,
        "text": policy.piece.text,
    }
