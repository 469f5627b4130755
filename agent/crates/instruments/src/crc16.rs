//! CRC-16 with the reflected polynomial 0xA001, as Modbus (from 0xFFFF) and SDI-12 (from 0) use it.

/// MODBUS over Serial Line V1.02 §2.5.1.2: "preloading a 16-bit register to all 1's".
pub(crate) const MODBUS: u16 = 0xFFFF;

/// SDI-12 v1.4 §4.4.12.1: "initialize the CRC to zero".
pub(crate) const SDI12: u16 = 0;

/// The checksum of `bytes`, begun with `initial`.
pub(crate) fn crc16(initial: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(initial, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_catalogue() {
        assert_eq!(crc16(MODBUS, b"123456789"), 0x4B37, "CRC-16/MODBUS");
        assert_eq!(crc16(SDI12, b"123456789"), 0xBB3D, "CRC-16/ARC");
        assert_eq!(crc16(MODBUS, b"\x01\x03\x00\x00\x00\x02"), 0x0BC4, "on the wire as C4 0B");
    }
}
