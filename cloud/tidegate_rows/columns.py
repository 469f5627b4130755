"""The columns of docs/FORMAT.md: whole numbers, numbers, texts."""

import struct

FRAME_VALUES = 64
PLANES = 0x20


class Input:
    """Bytes, read from the front, never past their end."""

    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise ValueError("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number without end")

    def signed(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def size(self, most):
        size = self.varint()
        if size > most:
            raise ValueError(f"{size} where at most {most} can be")
        return size


def wrap(value):
    """As 64 bits wrap."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def ints(source, count):
    if count == 0:
        return []
    mode = source.byte()
    if mode == 0x00:
        cycle = [source.signed() for _ in range(source.size(count))]
        if not cycle:
            raise ValueError("a cycle of nothing")
        return [cycle[at % len(cycle)] for at in range(count)]
    if mode == 0x01:
        values = []
        while len(values) < count:
            value, length = source.signed(), source.size(count - len(values))
            if length == 0:
                raise ValueError("a run of nothing")
            values += [value] * length
        return values
    shape, order = mode & 0xF0, mode & 0x0F
    if shape not in (0x10, 0x20) or order > min(2, count):
        raise ValueError(f"a column of shape {mode:02x}")
    starts = [source.signed() for _ in range(order)]
    rest = count - order
    values = [source.signed() for _ in range(rest)] if shape == 0x10 else frames(source, rest)
    for start in reversed(starts):
        summed = [start]
        for value in values:
            summed.append(wrap(summed[-1] + value))
        values = summed
    return values


def frames(source, count):
    values, base = [], 0
    while len(values) < count:
        here = min(FRAME_VALUES, count - len(values))
        base = wrap(base + source.signed())
        width = source.byte()
        if width > 64:
            raise ValueError(f"{width} bits a value")
        bits = int.from_bytes(source.take((here * width + 7) // 8), "little")
        mask = (1 << width) - 1
        values += [wrap(base + (bits >> at * width & mask)) for at in range(here)]
    return values


def numbers(source, count):
    if count == 0:
        return []
    mode = source.byte()
    if mode == PLANES:
        return planes(source, count)
    if mode > 9:
        raise ValueError(f"numbers of mode {mode:02x}")
    exceptions, at = {}, 0
    for _ in range(source.size(count)):
        at += source.varint()
        exceptions[at] = struct.unpack(">d", source.take(8))[0]
        at += 1
    power = 10.0**mode
    values = [whole / power for whole in ints(source, count)]
    for at, value in exceptions.items():
        values[at] = value
    return values


def planes(source, count):
    columns = [ints(source, count) for _ in range(8)]
    values, before = [], 0
    for octets in zip(*columns):
        before ^= int.from_bytes(bytes(octets), "big")
        values.append(struct.unpack(">d", before.to_bytes(8, "big"))[0])
    return values


def texts(source, count):
    if count == 0:
        return []
    distinct = [str(source.take(source.varint()), "utf-8") for _ in range(source.varint())]
    return [distinct[which] for which in ints(source, count)]
