//! Authorities and the certificates that they issue: good ones, and ones with exactly one thing wrong with them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate and the key to it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// PEM file of the certificate.
    pub cert: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `serverAuth`.
    Server,
    /// `clientAuth`.
    Client,
}

/// How a key is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `BEGIN PRIVATE KEY`, P-256.
    Pkcs8,
    /// `BEGIN EC PRIVATE KEY`, P-256.
    Sec1,
    /// `BEGIN RSA PRIVATE KEY`, 2048 bits.
    Pkcs1,
}

/// A certificate to be issued.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    /// Its file's name, and its subject's.
    pub name: &'a str,
    /// What for.
    pub purpose: Use,
    /// The host names it is for, as `subjectAltName` has them.
    pub hosts: &'a str,
    /// From when on, as date(1) understands it.
    pub from: &'a str,
    /// Until when.
    pub until: &'a str,
    /// How its key is written down.
    pub form: Form,
}

impl<'a> Leaf<'a> {
    /// A broker's, good for a year, for `localhost`.
    pub fn server(name: &'a str) -> Self {
        Self { purpose: Use::Server, hosts: "DNS:localhost", ..Self::client(name) }
    }

    /// A device's, good for a year.
    pub fn client(name: &'a str) -> Self {
        let (from, until) = ("-1 day", "+365 days");
        Self { name, purpose: Use::Client, hosts: "DNS:device.invalid", from, until, form: Form::Pkcs8 }
    }
}

/// An authority.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// An authority that keeps its files in the new folder `dir`.
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("issued")).expect("make a folder in the story's folder");
        let text = "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = issued\ncertificate = ca.pem\n\
                    private_key = ca.key\nrand_serial = yes\ndefault_md = sha256\npolicy = p\nunique_subject = no\n\
                    default_crl_days = 30\n[p]\ncommonName = supplied\n";
        fs::write(dir.join("ca.cnf"), text).expect("write into the story's folder");
        fs::write(dir.join("index.txt"), "").expect("write into the story's folder");
        let authority = Self { dir: dir.to_owned() };
        authority.generate("ca.key", Form::Pkcs8);
        let subject = format!("/CN=authority {}", dir.file_name().and_then(|name| name.to_str()).unwrap_or_default());
        let extensions =
            ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
        let request = ["req", "-x509", "-new", "-key", "ca.key", "-days", "3650", "-subj", &subject, "-out", "ca.pem"];
        authority.openssl(&[&request[..], &extensions].concat());
        authority
    }

    /// Its certificate: what those who trust it have.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// What it signs with: for who issues certificates in its name.
    pub fn pair(&self) -> Pair {
        Pair { cert: self.certificate(), key: self.dir.join("ca.key") }
    }

    /// Issues a certificate.
    pub fn issue(&self, leaf: &Leaf) -> Pair {
        let [key, request] = ["key", "csr"].map(|extension| format!("{}.{extension}", leaf.name));
        self.generate(&key, leaf.form);
        self.openssl(&["req", "-new", "-key", &key, "-subj", &format!("/CN={}", leaf.name), "-out", &request]);
        let cert = self.sign(leaf, &request);
        Pair { cert, key: self.dir.join(key) }
    }

    /// Signs what somebody else asks for; `request` is a file of its.
    pub fn sign(&self, leaf: &Leaf, request: &str) -> PathBuf {
        let [cert, extensions] = ["pem", "ext"].map(|extension| format!("{}.{extension}", leaf.name));
        let usage = if leaf.purpose == Use::Server { "serverAuth" } else { "clientAuth" };
        let text = format!(
            "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n\
             extendedKeyUsage = {usage}\nsubjectAltName = {}\nauthorityKeyIdentifier = keyid\n",
            leaf.hosts
        );
        fs::write(self.dir.join(&extensions), text).expect("write into the story's folder");
        let [from, until] = [leaf.from, leaf.until].map(date);
        let dates = ["-startdate", &from, "-enddate", &until];
        let files = ["-in", request, "-out", &cert, "-extfile", &extensions];
        self.openssl(&[&["ca", "-config", "ca.cnf", "-batch", "-notext"], &dates[..], &files].concat());
        self.dir.join(cert)
    }

    /// Takes a certificate back; gives the list of all that were.
    pub fn revoke(&self, pair: &Pair) -> PathBuf {
        let cert = pair.cert.to_str().expect("a path of our own");
        self.openssl(&["ca", "-config", "ca.cnf", "-revoke", cert]);
        self.openssl(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "ca.crl"]);
        self.dir.join("ca.crl")
    }

    /// The key of a pair, behind a password.
    pub fn encrypted(&self, pair: &Pair) -> PathBuf {
        let key = pair.key.to_str().expect("a path of our own");
        self.openssl(&["pkey", "-in", key, "-aes128", "-passout", "pass:sesame", "-out", "encrypted.key"]);
        self.dir.join("encrypted.key")
    }

    fn generate(&self, key: &str, form: Form) {
        let p256 = "ec_paramgen_curve:P-256";
        let args: &[&str] = match form {
            Form::Pkcs8 => &["genpkey", "-algorithm", "EC", "-pkeyopt", p256, "-out", key],
            Form::Sec1 => &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key],
            Form::Pkcs1 => &["genrsa", "-traditional", "-out", key, "2048"],
        };
        self.openssl(args);
        fs::set_permissions(self.dir.join(key), fs::Permissions::from_mode(0o600)).expect("our own file");
    }

    #[track_caller]
    fn openssl(&self, args: &[&str]) {
        let output =
            Command::new("openssl").args(args).current_dir(&self.dir).output().expect("tests/run installs openssl");
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A date as `openssl ca` wants it.
fn date(when: &str) -> String {
    let output = Command::new("date").args(["-u", "-d", when, "+%Y%m%d%H%M%SZ"]).output().expect("coreutils has date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
