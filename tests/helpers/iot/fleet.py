"""Fleet provisioning by claim: a certificate for a device's own key, and a thing for the certificate."""

import datetime
import secrets
import string
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from service import Refused, Service, check

TOKEN_S = 3600
# Until when AWS's own are good.
GOOD_UNTIL = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
# Some clocks are late.
GOOD_SINCE = datetime.timedelta(hours=1)
STATUS = {"AccessDenied": 403, "ResourceNotFound": 404, "InternalError": 500}


class Issuer:
    """The authority that signs what devices ask for."""

    def __init__(self, cert, key):
        self.cert = x509.load_pem_x509_certificate(open(cert, "rb").read())
        self.key = serialization.load_pem_private_key(open(key, "rb").read(), None)

    def sign(self, pem):
        """A certificate for a request in PEM; ValueError where it is none."""
        request = x509.load_pem_x509_csr(pem.encode())
        if not request.is_signature_valid:
            raise ValueError("the request's signature is not its key's")
        anybody = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
        no_use = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
        no_use += ["key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject if list(request.subject) else anybody)
            .issuer_name(self.cert.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime.now(datetime.timezone.utc) - GOOD_SINCE)
            .not_valid_after(min(GOOD_UNTIL, self.cert.not_valid_after_utc))
        )
        for extension, is_critical in (
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
            (x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(digital_signature=True, **dict.fromkeys(no_use, False)), True),
        ):
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, hashes.SHA256())


class Fleet(Service):
    FILTERS = {
        "$aws/certificates/create-from-csr/json": "create-from-csr",
        "$aws/provisioning-templates/+/provision/json": "register",
    }
    NOT_JSON = NOT_UTF8 = ("InvalidPayload", "The contents of the request are no JSON")

    def __init__(self, core, issuer, token_s=TOKEN_S):
        super().__init__(core)
        self.issuer, self.token_s = issuer, token_s
        self.templates = {}
        # Until when each token is good, and for which certificate; a token that was used is not here any more.
        self.tokens = {}
        self.is_expiring = False
        self.things = {}

    def create_from_csr(self, request):
        check(self.issuer, "AccessDenied", "nobody here signs certificates")
        pem = request.get("certificateSigningRequest")
        try:
            certificate = self.issuer.sign(pem if isinstance(pem, str) else "")
        except ValueError as error:
            raise Refused("InvalidCertificateSigningRequest", str(error)) from None
        # AWS's name of a certificate: the digest of all of it.
        id, token = certificate.fingerprint(hashes.SHA256()).hex(), secrets.token_urlsafe(48)
        self.tokens[token] = (time.monotonic() + self.token_s, id)
        self.core.say(event="certificate", id=id, subject=certificate.subject.rfc4514_string())
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return {"certificateId": id, "certificatePem": pem, "certificateOwnershipToken": token}, []

    def register(self, template, request):
        token, parameters = request.get("certificateOwnershipToken"), request.get("parameters", {})
        wrong_token = "InvalidCertificateOwnershipToken"
        check(token, wrong_token, "Certificate ownership token cannot be empty.")
        until, id = self.tokens.get(token, (0, None))
        is_good = time.monotonic() < until and not self.is_expiring
        check(is_good, wrong_token, "Certificate ownership token is unknown, used or expired.")
        check(template in self.templates, "ResourceNotFound", f"no template {template}")
        check(isinstance(parameters, dict), "InvalidParameters", "parameters is no object")
        name, configuration = self.templates[template]
        lacks = {field for _, field, _, _ in string.Formatter().parse(name) if field} - set(parameters)
        check(not lacks, "InvalidParameters", f"Missing required parameters: {', '.join(sorted(lacks))}")
        del self.tokens[token]
        thing = name.format_map(parameters)
        self.things[thing] = id
        self.core.say(event="provisioned", thing=thing, template=template, certificate=id, parameters=parameters)
        return {"deviceConfiguration": configuration, "thingName": thing}, []

    def refusal(self, refused, _request, _arguments):
        status = refused.code if isinstance(refused.code, int) else STATUS.get(refused.code, 400)
        return {"statusCode": status, "errorCode": str(refused.code), "errorMessage": refused.message}
