"""The settings reference says what the code reads."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from scripts import settings_reference
from services.kernel.ops import variables

PLACES = (".github", "Makefile", "deploy", "k8s", "loadtest", "nginx", "scripts", "services")
PLACES += ("tests/chaos", "tests/deploy", "tests/e2e", "tests/integration", "tests/support")
MADE_UP = {"OPENLINE_X", "OPENLINE_X_FILE", "OPENLINE_PING_SECOND"}


def test_the_files_in_the_repository_are_not_stale():
    assert settings_reference.TARGET.read_text("utf-8") == settings_reference.text()
    assert settings_reference.NAMES.read_text("utf-8") == settings_reference.names()


@pytest.mark.parametrize("place", PLACES)
def test_each_variable_that_is_named_somewhere_is_known(place):
    found = subprocess.run(
        ["git", "grep", "-hoE", r"\bOPENLINE_[A-Z0-9]+(_[A-Z0-9]+)*\b", "--", place],
        cwd=settings_reference.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = {*variables.OTHERS, *variables.SETTINGS}
    known |= {f"{name}_FILE" for name in variables.SETTINGS}
    assert set(found.stdout.split()) - MADE_UP <= known


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
    settings = {"OPENLINE_JWKS_URLS", "OPENLINE_LIMITS", "OPENLINE_PARTITIONS"}
    assert used - images - settings == set(settings_reference.compose_variables())


BY_COMPOSE = {"redis_url", "redis_servers", "namespaces", "log_format", "node", "var"}
BY_COMPOSE |= {"database_url", "auth_keys"}
"""What compose, its files or the images decide, beside hosts and ports."""
SECRET_OR_ELSEWHERE = {"hs256_secret"}


@pytest.mark.parametrize("service", ["auth", "gateway", "publisher"])
def test_compose_passes_each_setting_of_a_service_on(service):
    composed = yaml.safe_load(
        (settings_reference.ROOT / "deploy" / "compose.yaml").read_text("utf-8")
    )
    passed = composed["services"][service]["environment"]
    (fields,) = (
        cls.model_fields
        for _, note, cls, _ in settings_reference.SECTIONS
        if note == f"`python -m services.{service}`"
    )
    own = {name for name in fields if not name.endswith(("_host", "_port"))}
    wanted = {f"OPENLINE_{name.upper()}" for name in own - BY_COMPOSE - SECRET_OR_ELSEWHERE}
    assert wanted <= passed.keys()
