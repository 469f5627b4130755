//! A tar archive (POSIX.1-1988, ustar) of plain files: forty lines, and nothing that the device reads back.

const BLOCK: usize = 512;
/// A name that is longer is cut: those here are ours.
const NAME_BYTES_MAX: usize = 99;

/// The files below one folder, each for its owner alone, all of this second.
pub fn tar(folder: &str, files: &[(&str, &[u8])], at_s: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        out.extend_from_slice(&header(&format!("{folder}/{name}"), bytes.len(), at_s));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    // Two blocks of nothing are the end.
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn header(name: &str, bytes: usize, at_s: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.floor_char_boundary(NAME_BYTES_MAX)]);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, &format!("{:011o}\0", at_s.min((1 << 33) - 1)));
    // The sum is taken with spaces in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_in_whole_blocks_behind_a_header_that_sums_up() {
        let made = tar("x", &[("a", b"hello"), ("b", &[7; 512])], 1);
        assert_eq!(made.len(), BLOCK * (2 + 2 + 2));
        assert_eq!(
            (&made[..3], &made[124..135], &made[BLOCK..BLOCK + 5]),
            (&b"x/a"[..], &b"00000000005"[..], &b"hello"[..])
        );
        let stated = u32::from_str_radix(std::str::from_utf8(&made[148..154]).unwrap(), 8).unwrap();
        let summed: u32 = made[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = made[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(stated, summed - own + 8 * u32::from(b' '));
    }
}
