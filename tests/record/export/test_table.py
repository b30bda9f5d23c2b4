"""CSV that a spreadsheet reads as text and nothing else."""

import csv
import io

import pytest
from hypothesis import given, settings

from gateway.record.export.table import COLUMNS, csv_rows
from tests.record.export.records import ALL, CALL, ORIGIN, WHO, record, records


def rows(found) -> list[dict[str, str]]:
    text = b"".join(csv_rows(found, ORIGIN)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_a_record_with_names_in_the_first():
    found = rows(ALL)
    assert tuple(found[0]) == COLUMNS
    assert [row["n"] for row in found] == [str(one.n) for one in ALL]
    call, result = found[1], found[3]
    assert (call["agent"], call["operation"], call["reasons"], call["leaf"]) == ("billing", "refund", "small; night", CALL.leaf)
    assert (result["call"], result["status"], result["http"], result["ms"]) == ("1", "ok", "201", "12")
    assert rows([]) == []


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_begins_as_a_formula(lead):
    found = rows([record(1, "call", who=WHO | {"agent": f'{lead}cmd|" /c calc"!A0'})])
    assert found[0]["agent"] == f'\'{lead}cmd|" /c calc"!A0'


def test_line_breaks_and_quotes_stay_in_their_cell():
    found = rows([record(1, "call", who=WHO | {"agent": 'a"b,c\r\nd'}), CALL])
    assert [row["agent"] for row in found] == ['a"b,c\r\nd', "billing"]


@settings(max_examples=60, deadline=None)
@given(records)
def test_whatever_a_record_holds_it_is_one_row_without_formulas(found):
    read = rows(found)
    assert len(read) == len(found)
    for row in read:
        assert len(row) == len(COLUMNS)
        assert not any(cell.lstrip(" ")[:1] in {"=", "+", "-", "@", "\t", "\r"} for cell in row.values() if cell.lstrip(" "))
