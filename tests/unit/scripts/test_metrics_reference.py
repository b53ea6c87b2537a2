"""The metrics reference says what the code counts."""

from __future__ import annotations

from scripts import metrics_reference


def test_the_file_in_the_repository_is_not_stale():
    assert metrics_reference.TARGET.read_text("utf-8") == metrics_reference.text()


def test_every_metric_is_named_after_its_service_and_says_what_it_is():
    for service, rows in metrics_reference.rows().items():
        assert rows
        for row in rows:
            assert row.name.startswith(f"openline_{service.lower()}_"), row
            assert row.what, row


def test_no_label_holds_a_user_or_a_channel():
    labels = {
        label for rows in metrics_reference.rows().values() for row in rows for label in row.labels
    }
    assert not labels & {"user", "channel", "sub", "connection", "topic", "address"}
