"""Times as brainjar writes them, and as people say them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Optional, Union

Since = Union[None, str, datetime, timedelta]

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)"
)
_AGO = re.compile(r"-?\s*(\d+)\s*([a-z]+)(?:\s+ago)?")
_LAYOUTS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M")
_UNITS = {
    **dict.fromkeys(["s", "sec", "second"], 1),
    **dict.fromkeys(["m", "min", "minute"], 60),
    **dict.fromkeys(["h", "hr", "hour"], 3600),
    **dict.fromkeys(["d", "day"], 86400),
    **dict.fromkeys(["w", "week"], 604800),
}


def parse(text: str) -> Optional[datetime]:
    """Reads a time in RFC 3339; the year 1, which stands for no time, is None.

    Python knows microseconds: further digits are cut off.
    """
    found = _RFC3339.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no time in RFC 3339")
    date, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    time = datetime.fromisoformat(f"{date}T{clock}.{(fraction or '0')[:6]:0<6}{zone}")
    return None if time.year == 1 else time


def write(time: datetime) -> str:
    """Writes a time in RFC 3339. One without a zone is local time."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def since(said: Since, now: Optional[datetime] = None) -> Optional[str]:
    """Turns a time, how long ago one was, or what journalctl --since takes into RFC 3339.

    Text may be "1 hour ago", "-2h", "today", "yesterday", "now", "@1700000000",
    "2025-01-15", "2025-01-15 12:30" or RFC 3339; anything else is a ValueError.
    """
    now = now or datetime.now().astimezone()
    if said is None or isinstance(said, datetime):
        return None if said is None else write(said)
    if isinstance(said, timedelta):
        return write(now - abs(said))
    text = said.strip().lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in named:
        return write(named[text])
    if re.fullmatch(r"@\d{1,11}(\.\d+)?", text):
        return write(datetime.fromtimestamp(float(text[1:]), timezone.utc))
    found = _AGO.fullmatch(text)
    if found and (text.startswith("-") or text.endswith("ago")):
        unit = _UNITS.get(found[2]) or _UNITS.get(found[2].rstrip("s"))
        if unit and len(found[1]) <= 9:
            return write(now - timedelta(seconds=int(found[1]) * unit))
    for layout in _LAYOUTS:
        try:
            return write(datetime.strptime(text.upper(), layout))
        except ValueError:
            continue
    parsed = parse(said.strip())
    return write(parsed) if parsed else None
