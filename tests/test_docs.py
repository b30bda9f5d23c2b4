"""What the documents say is what the code does: every refusal, metric, setting and command is named, and nothing that does not exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gateway import __version__
from gateway.cli.later import Later
from gateway.cli.main import app
from gateway.errors import REFUSALS
from gateway.metrics import Metrics

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DECISIONS = ROOT / "gateway" / "decisions"
PAGES = sorted(p for p in ROOT.rglob("*.md") if ".venv" not in p.parts)
COMMENTED = [
    *PAGES,
    ROOT / "gateway.toml",
    ROOT / "Makefile",
    *sorted((ROOT / "tools").rglob("*.yaml")),
    *sorted((ROOT / "identities").rglob("*.toml")),
]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rows(heading: str) -> list[list[str]]:
    """The body rows of the first table below a heading."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def commands(text: str) -> list[str]:
    """Every command line of ours in a page: lines of code blocks (with what goes on after a backslash), and code spans within a line."""
    joined = text.replace("\\\n", " ")
    blocks = [line.removeprefix("$ ") for block in re.findall(r"^```\w*\n(.*?)^```", joined, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", joined, flags=re.MULTILINE | re.DOTALL))
    found = [re.search(r"(?:^|[\s(])(portreeve [a-z-].*)", line) for line in (*blocks, *spans)]
    return [match[1] for match in found if match]


def opened(command: TyperCommand | TyperGroup) -> TyperCommand | TyperGroup:
    return command.load() if isinstance(command, Later) else command


def fault_of(line: str) -> str | None:
    """Why a command line cannot be meant: no such command, or no such option of it. A `$(...)` around it ends it."""
    words = shlex.split(re.split(r"\)|\s#\s|\s\|\s", line)[0].replace("'", " ").replace('"', " "), comments=True)[1:]
    command = get_command(app)
    while words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
        name = words.pop(0)
        if name == "COMMAND":
            return None
        if name not in command.commands and hasattr(command, "default"):  # `token AGENT` is `token mint AGENT`
            words, name = [name, *words], command.default
        if name not in command.commands:
            return f"`{line}`: there is no {command.name} {name}"
        command = opened(command.commands[name])
    if "--" in words:
        words = words[: words.index("--")]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version", "--install-completion"}
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"`{line}`: {command.name} has no {unknown[0]}" if unknown else None


def test_the_table_of_refusals_is_the_code_s_own():
    documented = {row[0].strip("`"): (int(row[1]), row[2], row[3]) for row in rows("Refusals")}
    assert documented == {code: (kind.status, kind.title, kind.hint) for code, kind in REFUSALS.items()}


def test_every_metric_is_documented():
    families = {
        line.split()[2] for line in Metrics().text().decode().splitlines() if line.startswith("# HELP") and not line.split()[2].endswith("_created")
    }
    documented = {row[0].strip("`") for row in rows("Metrics")}
    assert documented == families


@pytest.mark.parametrize("page", COMMENTED, ids=named)
def test_every_command_that_a_page_names_exists_with_its_options(page):
    text = page.read_text()
    lines = commands(text) if page.suffix == ".md" else re.findall(r"`(portreeve [^`\n]+)`", text)
    assert [fault for line in lines if (fault := fault_of(line))] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("portreeve polcy check", "there is no portreeve polcy"),
        ("portreeve policy chekc", "there is no policy chekc"),
        ("portreeve log verify --pinn seen.note", "verify has no --pinn"),
        ("portreeve check --strict", None),
        ("portreeve run --as support-bot -- curl --silent http://127.0.0.1", None),
        ('portreeve token support-bot)" "http://127.0.0.1:8080/tools/tickets/tickets"', None),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line, fault):
    found = fault_of(line)
    assert found is None if fault is None else fault in (found or "")


def test_commands_are_found_in_blocks_behind_other_commands_and_in_running_text():
    text = 'Run `portreeve check`:\n```console\n$ eval "$(portreeve env support-bot)"   # all\n$ portreeve log \\\n  tail\n```\n'
    assert [line.split()[1] for line in commands(text)] == ["env", "log", "check"]
    assert commands(text)[1].split() == ["portreeve", "log", "tail"]


def leaves() -> dict[str, TyperCommand]:
    """Every command that does something, by its words after `portreeve`."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    found = {}
    for name, command in group.commands.items():
        there = opened(command)
        if isinstance(there, TyperGroup):
            found |= {f"{name} {below}": opened(leaf) for below, leaf in there.commands.items()}
        else:
            found[name] = there
    return found


def test_every_command_is_named_in_a_page():
    whole = "\n".join(page.read_text() for page in PAGES)
    assert [path for path in leaves() if not re.search(rf"portreeve {path}\b", whole)] == []


@pytest.mark.parametrize("path", sorted(leaves()))
def test_help_of_an_option_names_only_options_of_its_command(path):
    command = leaves()[path]
    known = {option for parameter in command.params for option in parameter.opts}
    told = {option for parameter in command.params for option in re.findall(r"--[a-z-]+", getattr(parameter, "help", None) or "")}
    assert told <= known


@pytest.mark.parametrize("path", sorted(leaves()))
def test_examples_in_help_exist_with_their_options(path):
    examples = re.findall(r"Example: .*?(portreeve .*)", leaves()[path].help or "")
    assert [fault for line in examples if (fault := fault_of(line))] == []


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {name for page in PAGES for name in re.findall(r"(?:`|^\$ )make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE)}
    assert mentioned <= targets


def test_every_decision_is_listed_once_and_in_order():
    listed = re.findall(r"^\| \[(\d{4})\]\((\d{4}-[a-z0-9-]+\.md)\) \| \S.* \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    assert listed == [(name[:4], name) for name in files]
    assert len({number for number, _ in listed}) == len(files)


def test_the_picture_of_a_call_has_straight_sides():
    picture = README.split("## The path of a call\n```\n", 1)[1].split("\n```", 1)[0].splitlines()
    left, right = picture[0].index("┌"), picture[0].index("┐")
    assert {(line[left], line[right]) for line in picture} == {("┌", "┐"), ("│", "│"), ("└", "┘")}


def test_one_version_is_told_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_architecture_stays_on_its_pages():
    lines = (ROOT / "gateway" / "ARCHITECTURE.md").read_text().splitlines()
    assert len(lines) < 200


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_a_page_links_to_exists(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_code_map_names_only_what_exists():
    text = (ROOT / "gateway" / "ARCHITECTURE.md").read_text()
    names = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", text))
    missing = [n for n in names if not any((base / n).exists() for base in (ROOT, ROOT / "gateway"))]
    assert missing == []
