"""Modbus's checksum (Modbus over Serial Line V1.02, section 6.2.2), for the doubles of units."""


def crc(data):
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")
