"""What is logged, and what is not."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from services.kernel.ops import logs


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).filters.clear()
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_time_level_event_and_service(capsys):
    logs.configure("gateway", format="json", level="info")
    structlog.get_logger().info("connected", connection="c1")
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "info", "event": "connected", "service": "gateway", "connection": "c1"}


def test_bound_fields_are_in_every_line(capsys):
    logs.configure("gateway")
    logs.bind(request_id="r1")
    structlog.get_logger().info("one")
    logging.getLogger("somebody.else").warning("two %s", 2)
    assert [(line["event"], line["request_id"]) for line in lines(capsys)] == [
        ("one", "r1"),
        ("two 2", "r1"),
    ]


def test_secrets_are_masked_in_events_fields_and_tracebacks(capsys):
    logs.configure("gateway")
    log = structlog.get_logger()
    log.info("GET /ws?token=sesame", token="sesame", nested={"ticket": "sesame"})
    try:
        int("password=sesame")
    except ValueError:
        log.exception("failed")
    text = capsys.readouterr().out
    assert "sesame" not in text
    assert "Traceback" in text


def test_the_level_holds(capsys):
    logs.configure("gateway", level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_console_lines_are_for_people(capsys):
    logs.configure("gateway", format="console")
    structlog.get_logger().info("connected", connection="c1", token="sesame")
    text = capsys.readouterr().out
    assert "connected" in text
    assert "connection=c1" in text
    assert "sesame" not in text


def test_handshakes_and_strangers_rubbish_are_no_errors(capsys):
    logs.configure("gateway")
    server = logging.getLogger("uvicorn.error")
    server.info('%s - "WebSocket %s" 403', "127.0.0.1", "/ws?token=abc")
    server.warning("Invalid HTTP request received.")
    server.error("Exception in ASGI application")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [(line["level"], line["event"]) for line in lines(capsys)] == [
        ("info", "Invalid HTTP request received."),
        ("error", "Exception in ASGI application"),
    ]


def test_what_cannot_be_written_as_json_is_written_as_text(capsys):
    logs.configure("gateway")
    structlog.get_logger().info("odd", thing=object)
    assert "object" in lines(capsys)[0]["thing"]
