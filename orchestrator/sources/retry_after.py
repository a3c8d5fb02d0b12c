"""How long servers ask to be left alone, from the headers of their answers; pure.

``Retry-After`` is that of RFC 9110 (10.2.3): seconds, or a date. ``RateLimit`` is the field of
the IETF draft "RateLimit header fields for HTTP", as the Hub sends it (``"api";r=0;t=55``: no
request left for 55 seconds); ``RateLimit-Remaining`` with ``RateLimit-Reset`` (seconds) are its
earlier form, and ``X-RateLimit-Remaining`` with ``X-RateLimit-Reset`` (seconds since the epoch)
are GitHub's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime

# HTTP codes after which asking again can help.
RETRIED_STATUS = (408, 429, 500, 502, 503, 504)

_EPOCH = 10**9  # larger numbers are moments, not waits
_USED_UP = re.compile(r";\s*r=0(?=\s*(?:;|,|$))")
_RESET = re.compile(r";\s*t=([0-9]{1,12})")
_SECONDS = re.compile(r"[0-9]{1,12}")


def asked(headers: Mapping[str, str]) -> float | None:
    """Seconds until a server wants to be asked again; None when it does not say.

    Args:
        headers: Of its answer; names in any case.
    """
    found = {name.lower(): value for name, value in headers.items()}
    for read in (_retry_after, _rate_limit, _counted):
        seconds = read(found)
        if seconds is not None:
            return max(0.0, seconds)
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return moment.timestamp() - time.time()
    except (ValueError, TypeError, LookupError, OverflowError):  # it raises all of these
        return None


def _rate_limit(headers: Mapping[str, str]) -> float | None:
    """The longest wait of the policies that are used up."""
    items = headers.get("ratelimit", "").split(",")
    waits = [_RESET.search(item) for item in items if _USED_UP.search(item)]
    seconds = [float(found[1]) for found in waits if found]
    return max(seconds, default=None)


def _counted(headers: Mapping[str, str]) -> float | None:
    for prefix in ("ratelimit", "x-ratelimit"):
        if headers.get(f"{prefix}-remaining", "").strip() == "0":
            value = headers.get(f"{prefix}-reset", "").strip()
            if _SECONDS.fullmatch(value):
                reset = float(value)
                return reset - time.time() if reset > _EPOCH else reset
    return None
