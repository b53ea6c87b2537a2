"""The view that a page asks for a token: `path("realtime-token", realtime_token)`."""

from __future__ import annotations

import math

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from openline.django.configuration import function, option
from openline.django.publishing import publisher
from openline.errors import OpenlineError

TTL = 900


@never_cache
@require_POST
def realtime_token(request: HttpRequest) -> HttpResponse:
    """`{"token", "expires_in"}` for whoever is signed in; 401 for others, 503 while the server is away.

    `SUBJECT` makes the `sub` of the user (by default the primary key), `CHANNELS` what the token allows, `INFO` what
    others see in presence. As any POST with a session it needs Django's CSRF token.
    """
    user = request.user
    if not user.is_authenticated:
        return JsonResponse({"detail": "nobody is signed in"}, status=401)
    subject, channels, info = (function(name) for name in ("SUBJECT", "CHANNELS", "INFO"))
    ttl = option("TTL", TTL)
    try:
        token = publisher().token(
            subject(user) if subject else str(user.pk),
            channels=channels(user) if channels else None,
            info=info(user) if info else None,
            ttl=ttl,
        )
    except OpenlineError as error:
        if not error.temporary:
            raise
        seconds = str(max(1, math.ceil(error.retry_after or 1)))
        answer = {"detail": "no token just now; try again"}
        return JsonResponse(answer, status=503, headers={"Retry-After": seconds})
    return JsonResponse({"token": token, "expires_in": ttl})
