"""What the documents say is what the code does: every refusal, metric, setting and command is named, and nothing that does not exist."""

import re
from pathlib import Path

import pytest

from gateway.errors import REFUSALS
from gateway.metrics import Metrics

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The body rows of the first table below a heading."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_the_table_of_refusals_is_the_code_s_own():
    documented = {row[0].strip("`"): (int(row[1]), row[2], row[3]) for row in rows("Refusals")}
    assert documented == {code: (kind.status, kind.title, kind.hint) for code, kind in REFUSALS.items()}


def test_every_metric_is_documented():
    families = {
        line.split()[2] for line in Metrics().text().decode().splitlines() if line.startswith("# HELP") and not line.split()[2].endswith("_created")
    }
    documented = {row[0].strip("`") for row in rows("Metrics")}
    assert documented == families


def test_architecture_stays_on_its_pages():
    lines = (ROOT / "gateway" / "ARCHITECTURE.md").read_text().splitlines()
    assert len(lines) < 200


@pytest.mark.parametrize("page", sorted(p for p in ROOT.rglob("*.md") if ".venv" not in p.parts), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_a_page_links_to_exists(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_code_map_names_only_what_exists():
    text = (ROOT / "gateway" / "ARCHITECTURE.md").read_text()
    names = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", text))
    missing = [n for n in names if not any((base / n).exists() for base in (ROOT, ROOT / "gateway"))]
    assert missing == []
