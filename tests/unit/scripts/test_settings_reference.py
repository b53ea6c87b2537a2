"""The settings reference says what the code reads."""

from __future__ import annotations

import re

from scripts import settings_reference


def test_the_file_in_the_repository_is_not_stale():
    assert settings_reference.TARGET.read_text("utf-8") == settings_reference.text()


def test_every_setting_says_what_it_is_for():
    for _, _, settings, _ in settings_reference.SECTIONS:
        for name, field in settings.model_fields.items():
            assert field.description, name


def test_every_variable_of_the_compose_files_is_explained_and_used():
    texts = [
        (settings_reference.ROOT / "deploy" / name).read_text("utf-8")
        for name in settings_reference.COMPOSE_FILES
    ]
    used = set(re.findall(r"\$\{(OPENLINE_\w+)[:}]", "".join(texts)))
    images = {name for name in used if name.endswith("_IMAGE")}
    settings = {"OPENLINE_JWKS_URLS", "OPENLINE_LIMITS"}
    assert used - images - settings == set(settings_reference.compose_variables())
