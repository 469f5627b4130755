"""Milliseconds since 1970 as RFC 3339, and back."""

from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def text(ms):
    time = EPOCH + timedelta(milliseconds=ms)
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def millis(text):
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (time - EPOCH) // timedelta(milliseconds=1)
