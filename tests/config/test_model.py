"""Settings are values: frozen, with defaults that are safe by themselves."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.config import model

CLASSES = [model.Listener, model.LogSettings, model.Limits, model.InlineOperation, model.ToolSettings, model.CredentialSettings, model.Settings]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_settings_are_frozen_and_slotted(cls):
    assert cls.__dataclass_params__.frozen
    assert not hasattr(cls, "__dict__") or "__slots__" in vars(cls)


def test_nothing_is_opened_by_leaving_a_setting_out():
    tool = model.ToolSettings(name="t", url="https://t.example")
    assert not any((tool.plain_http, tool.path_encoded_slash, tool.path_semicolon, tool.request_headers, tool.response_headers, tool.token_header))
    assert all(
        value for name, value in ((f.name, getattr(model.Limits(), f.name)) for f in dataclasses.fields(model.Limits)) if name != "drain_delay_s"
    )
