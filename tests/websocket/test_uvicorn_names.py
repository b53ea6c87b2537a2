"""What the server uses of uvicorn beside its public interface is there, and its absence is said in one line."""

from __future__ import annotations

import importlib

import pytest
from uvicorn.middleware import proxy_headers
from uvicorn.protocols import utils

from services.gateway.websocket import uvicorn_names
from services.gateway.websocket.uvicorn_names import Config, client_address


def test_the_installed_uvicorn_has_every_name():
    uvicorn_names.check()


@pytest.mark.parametrize("name", ["trusted_hosts", "get_trusted_client_address"])
def test_a_name_that_is_missing_is_named(monkeypatch, name):
    class Other(proxy_headers.ProxyHeadersMiddleware):
        def __init__(self, app, trusted):
            super().__init__(app, trusted)
            if name == "trusted_hosts":
                del self.trusted_hosts
            else:
                self.trusted_hosts = frozenset()

    monkeypatch.setattr(uvicorn_names, "ProxyHeadersMiddleware", Other)
    with pytest.raises(
        RuntimeError, match=rf"uvicorn [0-9.]+ does not fit .* has no {name}; .*README"
    ):
        uvicorn_names.check()


def test_a_module_without_a_name_is_named_at_import(monkeypatch):
    monkeypatch.delattr(utils, "get_remote_addr")
    with pytest.raises(RuntimeError, match=r"does not fit .* 'get_remote_addr'"):
        importlib.reload(uvicorn_names)
    monkeypatch.undo()
    importlib.reload(uvicorn_names)


def test_another_outermost_application_is_noticed(monkeypatch):
    monkeypatch.setattr(
        uvicorn_names,
        "ProxyHeadersMiddleware",
        type("Other", (proxy_headers.ProxyHeadersMiddleware,), {}),
    )
    with pytest.raises(RuntimeError, match="is not the outermost application"):
        uvicorn_names.check()


class Transport:
    def __init__(self, host):
        self._host = host

    def get_extra_info(self, name):
        return {"socket": None, "peername": self._host and (self._host, 1)}.get(name)


@pytest.mark.parametrize(
    ("host", "forwarded", "address"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", b"9.9.9.9, 8.8.8.8", "8.8.8.8"),
        ("8.8.8.8", b"9.9.9.9", "8.8.8.8"),  # not a proxy of ours
        (None, None, ""),
    ],
)
@pytest.mark.parametrize("trusting", [True, False])
def test_the_address_is_believed_to_trusted_proxies_alone(host, forwarded, address, trusting):
    config = Config(
        None,
        proxy_headers=trusting,
        forwarded_allow_ips="127.0.0.1",
        log_config=None,
        lifespan="off",
    )
    config.load()
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded}
    expected = address if trusting else host or ""
    assert client_address(config, Transport(host), headers) == expected
