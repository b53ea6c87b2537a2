"""Openline in a Django project: a publisher, messages that leave with a transaction, an outbox, a view for tokens.

```
INSTALLED_APPS = [..., "openline.django"]
OPENLINE = {"URL": "https://rt.example.org", "CLIENT_ID": "shop", "CLIENT_SECRET": os.environ["OPENLINE_CLIENT_SECRET"]}
```

The app and its migration are needed for the outbox alone. More names of `OPENLINE`: `TTL` (seconds of a token, 900),
`SUBJECT`, `CHANNELS` and `INFO` (dotted paths of functions of the user, for the view), `OPTIONS` (further arguments of
`Publisher`). What is missing comes from the environment, as `Publisher` has it.
"""

from openline.django.publishing import publish_on_commit, publisher

__all__ = ["publish_on_commit", "publisher"]
