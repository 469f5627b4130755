//! A certification request (PKCS#10, RFC 2986) for a P-256 key, and PEM around bytes.
//!
//! A handful of DER (ITU-T X.690) that never changes but for the name, the key and the signature: what it would take to
//! pull in a crate for it is more than what is here. OpenSSL verifies the result in the tests.

/// SEQUENCE
const SEQUENCE: u8 = 0x30;
/// SET
const SET: u8 = 0x31;
/// INTEGER
const INTEGER: u8 = 0x02;
/// BIT STRING
const BITS: u8 = 0x03;
/// OBJECT IDENTIFIER
const OID: u8 = 0x06;
/// `UTF8String`
const TEXT: u8 = 0x0c;
/// `[0]`, constructed.
const ATTRIBUTES: u8 = 0xa0;

/// `id-at-commonName`, 2.5.4.3 (RFC 5280, appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ecPublicKey`, 1.2.840.10045.2.1 (RFC 5480, section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `secp256r1`, 1.2.840.10045.3.1.7 (RFC 5480, section 2.1.1.1).
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `ecdsa-with-SHA256`, 1.2.840.10045.4.3.2 (RFC 5758, section 3.2).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Characters a line (RFC 7468, section 2).
const PEM_COLUMNS: usize = 64;

/// RFC 2986, section 4.1: `CertificationRequestInfo`, what is signed. `point` is the public key, uncompressed.
pub fn info(common_name: &str, point: &[u8]) -> Vec<u8> {
    let name = der(SEQUENCE, &[&der(OID, &[COMMON_NAME]), &der(TEXT, &[common_name.as_bytes()])]);
    let subject = der(SEQUENCE, &[&der(SET, &[&name])]);
    let algorithm = der(SEQUENCE, &[&der(OID, &[EC_PUBLIC_KEY]), &der(OID, &[P256])]);
    let key = der(SEQUENCE, &[&algorithm, &bits(point)]);
    der(SEQUENCE, &[&der(INTEGER, &[&[0]]), &subject, &key, &der(ATTRIBUTES, &[])])
}

/// RFC 2986, section 4.2: the request, of what was signed and the signature (RFC 3279, section 2.2.3).
pub fn signed(info: &[u8], signature: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[info, &der(SEQUENCE, &[&der(OID, &[ECDSA_SHA256])]), &bits(signature)])
}

/// A BIT STRING of whole bytes.
fn bits(bytes: &[u8]) -> Vec<u8> {
    der(BITS, &[&[0], bytes])
}

/// Tag, length, contents.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut out = vec![tag];
    // X.690, section 8.1.3: up to 127 as it is, else the number of bytes that the length takes, and the length.
    match u8::try_from(contents.len()) {
        Ok(short @ ..=0x7f) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            let long = u16::try_from(contents.len()).expect("a name has at most 64 bytes, a key and a signature 72");
            out.push(0x82);
            out.extend(long.to_be_bytes());
        }
    }
    out.extend(contents);
    out
}

/// Bytes in PEM (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = base64(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out + "-----END " + label + "-----\n"
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let sextet = usize::try_from(word >> (18 - 6 * place) & 0x3f).expect("six bits");
            out.push(if place <= three.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in vectors.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), *text);
        }
    }

    #[test]
    fn lengths_have_the_shortest_form() {
        assert_eq!(der(OID, &[&[1; 127]])[..3], [OID, 127, 1]);
        assert_eq!(der(OID, &[&[1; 128]])[..4], [OID, 0x81, 128, 1]);
        assert_eq!(der(OID, &[&[1; 300]])[..5], [OID, 0x82, 1, 44, 1]);
    }
}
