"""One zstd frame, with whatever this Python has for it."""

import io

MAGIC = b"\x28\xb5\x2f\xfd"
# A message has at most 128 KiB; what is in it may be larger, but not without end.
SIZE_MAX = 64 << 20


def is_zstd(payload):
    return payload[:4] == MAGIC


def decompress(payload):
    reader = _reader(io.BytesIO(payload))
    content = reader.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise ValueError(f"more than {SIZE_MAX} bytes in one message")
    return content


def _reader(file):
    try:
        from compression import zstd  # Python 3.14

        return zstd.open(file)
    except ImportError:
        pass
    try:
        from backports import zstd

        return zstd.open(file)
    except ImportError:
        pass
    import zstandard

    return zstandard.ZstdDecompressor().stream_reader(file)
