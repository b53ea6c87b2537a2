"""Centrifugo beside Openline, where it is installed."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

import pytest

from loadtest.bench import centrifugo
from loadtest.bench.bench import Audience, join
from loadtest.bench.remote import Remote
from loadtest.bench.targets import AbsentError

installed = pytest.mark.skipif(not shutil.which("centrifugo"), reason="centrifugo is not installed")


def test_where_it_is_not_installed_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(centrifugo.shutil, "which", lambda _: None)
    with pytest.raises(AbsentError, match="version 6"):
        centrifugo.room(tmp_path)


@installed
@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "readers"), [(centrifugo.room, 20), (lambda folder: centrifugo.users(folder, 20), 1)]
)
def test_it_brings_each_message_to_its_readers_once_and_in_order(tmp_path, make, readers):
    with ExitStack() as stack:
        target = make(tmp_path)
        stack.callback(target.stop)
        audience = Audience(target, 20, stack, sample=1)
        values = audience.measure("steady", rate=50, seconds=1.0, readers=readers)
    assert (values["arrived"], values["gaps"], values["reorders"], values["lost"]) == (1, 0, 0, 0)


@installed
@pytest.mark.server
@pytest.mark.slow
def test_its_users_get_in_with_tokens(tmp_path):
    with ExitStack() as stack:
        for target in (centrifugo.nobody(tmp_path), centrifugo.rooms(tmp_path, 20, size=10)):
            stack.callback(target.stop)
            client = stack.enter_context(Remote("client"))
            assert join(client, {**target.subscribe, "count": 20}) == 20
