//! Manifest lines that the device signed: evidence for whoever has its public key, made and read by OpenSSL, too.

use super::*;

fn openssl(args: &[&str]) -> Output {
    let output = Command::new("openssl").args(args).output().expect("openssl is installed");
    assert!(output.status.success(), "{args:?}: {}", agent::stderr(&output));
    output
}

#[test]
fn an_auditor_with_the_devices_public_key_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, public, other) = (file("device.pem"), file("device.pub"), file("other.pub"));
    for (key, public) in [(&key, &public), (&file("other.pem"), &other)] {
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", key]);
        openssl(&["pkey", "-in", key, "-pubout", "-out", public]);
    }
    let lake = dir.path().join("lake");
    let preamble = agent::preamble(dir.path(), "100ms").replacen("id =", &format!("signing_key = \"{key}\"\nid ="), 1);
    let (mut agent, _port) = quiet(dir.path(), &preamble, &agent::file_sink("usb", &lake, "ndjson"));
    agent.terminate();
    let verify = |key: &str| agent.cli(&["--json", "lake", "verify", "usb", "--key", key]);
    let findings =
        |output: &Output, finding: &str| lines(output).iter().filter(|line| line["finding"] == finding).count();
    ends_with(&verify(&public), 0);
    let count = files(&lake, "/readings/").len();
    let foreign = verify(&other);
    ends_with(&foreign, exit::NOT_FINE);
    assert_eq!(findings(&foreign, "signature"), count);
    ends_with(&verify(&key), exit::USAGE);

    // Without tidegate: cut the last field out, and OpenSSL says whether the rest was signed.
    let manifest = files(&lake, "/manifests/").remove(0);
    let text = String::from_utf8(zstd(&["-dcq"], &manifest)).unwrap();
    for line in text.lines() {
        let (signed, rest) = line.rsplit_once(",\"sig\":\"").expect("every line is signed");
        let digits = rest.strip_suffix("\"}").expect("the last field");
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
        let signature: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        fs::write(file("line"), format!("{signed}}}")).unwrap();
        fs::write(file("sig"), signature).unwrap();
        let (line, sig) = (file("line"), file("sig"));
        openssl(&["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &line, "-sigfile", &sig]);
    }

    // Who alters the last line of all, which no later one names, is found out by the signature alone.
    edit(&manifest, |lines| {
        let last = lines.last_mut().unwrap();
        *last = last.replacen("\"config_revision\":null", "\"config_revision\":\"r9\"", 1);
    });
    ends_with(&agent.cli(&["lake", "verify", "usb"]), 0);
    let altered = verify(&public);
    ends_with(&altered, exit::NOT_FINE);
    assert_eq!(findings(&altered, "signature"), 1);
    // And who takes a signature off.
    edit(&manifest, |lines| {
        let last = lines.last_mut().unwrap();
        *last = last.rsplit_once(",\"sig\"").unwrap().0.to_owned() + "}";
    });
    assert_eq!(findings(&verify(&public), "unsigned"), 1);
}
