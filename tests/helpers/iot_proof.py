"""AWS's own device SDK against the far side in `iot`: iot_proof.py

Starts a mosquitto with mutual TLS and the far side as a client of it, and is a device with AWS's clients for Device
Shadow, Jobs and fleet provisioning. Python's SDK has none for Commands: what they are in other languages, topics around
the SDK's engine of requests and responses, is here. Prints a line for each claim that holds, `ok`, and `DIFFERS` where
one does not: then it ends with 1.
"""

import collections
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading

from awscrt import mqtt5, mqtt_request_response as rr
from awsiot import ServiceStreamOptions, V2ServiceException, iotidentity, iotjobs, iotshadow, mqtt5_client_builder

HERE = os.path.dirname(os.path.abspath(__file__))
# Everything but a time-out of ours takes milliseconds; a machine that builds beside it takes longer.
LIMIT_S = 60
THING, TEMPLATE = "gw-1", "pond"
# What is started here ends with this, however that ends.
LEASH = ["setpriv", "--pdeathsig", "KILL", "--"]
DEEP = {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}

folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
# Debian keeps daemons out of a user's PATH.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"


class Difference(Exception):
    pass


def same(what, found, wanted):
    if found != wanted:
        raise Difference(f"{what}: {found!r}, not {wanted!r}")


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def make_key(name):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")


def make_request(name):
    make_key(name)
    openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    return open(f"{name}.csr").read()


def make_certificates():
    make_key("ca")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-days", "30", "-subj", "/CN=proof", "-out", "ca.pem")
    open("ext", "w").write("subjectAltName = DNS:localhost\n")
    for name in ("broker", "core", THING):
        make_request(name)
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "ext")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Lines:
    """What a process says, a line at a time."""

    def __init__(self, stream):
        self.lines = queue.Queue()
        threading.Thread(target=self.read, args=[stream], daemon=True).start()

    def read(self, stream):
        for line in stream:
            self.lines.put(line)

    def next(self, what):
        try:
            return self.lines.get(timeout=LIMIT_S)
        except queue.Empty:
            raise Difference(f"waited {LIMIT_S} s for {what}") from None


class Broker:
    def __init__(self):
        self.plain_port, self.tls_port = free_port(), free_port()
        text = f"listener {self.plain_port} 127.0.0.1\nlistener {self.tls_port} 127.0.0.1\ncafile ca.pem\n"
        text += "certfile broker.pem\nkeyfile broker.key\nrequire_certificate true\n"
        # Half of all its time it would wait for packets to become larger.
        text += "set_tcp_nodelay true\nallow_anonymous true\nuser root\n"
        open("mosquitto.conf", "w").write(text)
        command = ["mosquitto", "-v", "-c", "mosquitto.conf"]
        self.process = subprocess.Popen(LEASH + command, stderr=subprocess.PIPE, text=True)
        lines = Lines(self.process.stderr)
        while "running" not in lines.next("mosquitto"):
            pass


class FarSide:
    """The helper under proof."""

    def __init__(self, **config):
        config["issuer"] = {"cert": "ca.pem", "key": "ca.key"}
        command = [sys.executable, "-B", os.path.join(HERE, "iot"), json.dumps(config)]
        self.process = subprocess.Popen(LEASH + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said, self.lines = [], Lines(self.process.stdout)
        self.event("ready")

    def find(self, what, is_it):
        """The next line that is it; what comes before it is kept."""
        for at, line in enumerate(self.said):
            if is_it(line):
                return self.said.pop(at)
        while not is_it(line := json.loads(self.lines.next(what))):
            self.said.append(line)
        return line

    def event(self, name, /, **fields):
        def is_it(line):
            return line.get("event") == name and fields.items() <= line.items()

        return self.find(f"the event {name} {fields}", is_it)

    def do(self, what, /, **fields):
        self.process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self.process.stdin.flush()
        answer = self.find(f"an answer to {what}", lambda line: "answer" in line)
        if "error" in answer:
            raise Difference(f"{what}: {answer['error']}")
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait(LIMIT_S)


class Device:
    """AWS's clients, over one connection."""

    def __init__(self, port, name=THING, cert=None):
        self.commands = queue.Queue()
        connected = queue.Queue()
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint="localhost",
            port=port,
            ca_filepath="ca.pem",
            cert_filepath=cert or f"{name}.pem",
            pri_key_filepath=f"{name}.key",
            client_id=name,
            on_publish_received=lambda data: self.heard(data.publish_packet),
            on_lifecycle_connection_success=lambda _: connected.put(None),
            on_lifecycle_connection_failure=lambda failure: connected.put(failure.exception),
        )
        self.client.start()
        failure = connected.get(timeout=LIMIT_S)
        if failure:
            raise Difference(f"{name} is not let in: {failure}")
        options = rr.ClientOptions(20, 20, LIMIT_S)
        self.shadows = iotshadow.IotShadowClientV2(self.client, options)
        self.jobs = iotjobs.IotJobsClientV2(self.client, options)
        self.identity = iotidentity.IotIdentityClientV2(self.client, options)
        self.engine = rr.Client(self.client, options)

    def heard(self, packet):
        # Here comes all, also what AWS's clients have asked for themselves.
        if packet.topic.startswith("$aws/commands/") and "/request/" in packet.topic:
            self.commands.put(packet)

    def subscribe(self, topic):
        subscription = mqtt5.Subscription(topic_filter=topic, qos=mqtt5.QoS.AT_LEAST_ONCE)
        self.client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription])).result(LIMIT_S)

    def ask(self, topic, body, replies):
        """A request that none of AWS's clients would send, with their engine: which reply, and what it says."""
        paths = [rr.ResponsePath(reply) for reply in replies]
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        options = rr.RequestOptions(replies, paths, topic, payload)
        response = self.engine.make_request(options).result(LIMIT_S)
        return replies.index(response.topic) == 0, json.loads(response.payload)

    def stream(self, create, request):
        """The events of one of AWS's streams, as a queue; subscribed when this returns."""
        events, established = queue.Queue(), queue.Queue()
        stream = create(request, ServiceStreamOptions(events.put, established.put))
        stream.open()
        same("the subscription", established.get(timeout=LIMIT_S).type, rr.SubscriptionStatusEventType(0))
        streams.append(stream)
        return events


def next_of(events):
    try:
        return events.get(timeout=LIMIT_S)
    except queue.Empty:
        raise Difference(f"waited {LIMIT_S} s for an event") from None


def refused(future, **fields):
    """The modeled error that a request ends with."""
    try:
        answer = future.result(LIMIT_S)
    except V2ServiceException as error:
        if error.modeled_error is None:
            raise Difference(f"no answer: {error.inner_error}") from None
        for name, wanted in fields.items():
            same(name, getattr(error.modeled_error, name), wanted)
        return error.modeled_error
    raise Difference(f"accepted: {vars_of(answer)}")


def vars_of(model):
    return {name: getattr(model, name) for name in model.__slots__ if getattr(model, name) is not None}


class Shadow:
    """A shadow of the thing, by AWS's client; without a name the classic one."""

    def __init__(self, name=None):
        self.name, self.named = name, {"shadow_name": name} if name else {}
        self.kind = "NamedShadow" if name else "Shadow"
        self.topic = f"$aws/things/{THING}/shadow" + (f"/name/{name}" if name else "")
        prefix = "create_named_shadow" if name else "create_shadow"
        self.deltas, self.documents = (
            device.stream(getattr(device.shadows, f"{prefix}_{stream}"), self.request(shape, "Subscription"))
            for stream, shape in (("delta_updated_stream", "DeltaUpdated"), ("updated_stream", "Updated"))
        )

    def request(self, shape, suffix="", **fields):
        model = getattr(iotshadow, f"{self.kind}{shape}SubscriptionRequest" if suffix else f"{shape}{self.kind}Request")
        return model(thing_name=THING, **self.named, **fields)

    def call(self, verb, **fields):
        noun = "named_shadow" if self.name else "shadow"
        return getattr(device.shadows, f"{verb}_{noun}")(self.request(verb.capitalize(), **fields))

    def get(self):
        return self.call("get")

    def update(self, version=None, **state):
        return self.call("update", version=version, state=iotshadow.ShadowState(**state))

    def desire(self, change):
        named = {"name": self.name} if self.name else {}
        return core.do("shadow-update", thing=THING, state={"desired": change}, **named)["version"]


def shadow_claims(shadow):
    kind = f"{'a named' if shadow.name else 'the classic'} shadow"

    refused(shadow.get(), code=404, message=f"No shadow exists with name: '{shadow.name or THING}'")
    claim(f"{kind} that was never written is not found")

    accepted = shadow.update(reported={"rev": 1, "net": {"mtu": 1300}, "taps": [1, 2]}).result(LIMIT_S)
    same("version", accepted.version, 1)
    same("state", accepted.state.reported, {"rev": 1, "net": {"mtu": 1300}, "taps": [1, 2]})
    same("metadata", list(accepted.metadata.reported["rev"]), ["timestamp"])
    event = core.event("reported", thing=THING, **({"name": shadow.name} if shadow.name else {}))
    same("event", (event["version"], event["state"]["rev"]), (1, 1))
    claim(f"{kind} takes a report, with the state, the metadata and the version in its answer")

    same("version", shadow.desire({"rev": 2, "net": {"mtu": 1300, "dns": "one"}, "taps": [1, 2]}), 2)
    wanted = next_of(shadow.deltas)
    same("delta", (wanted.version, wanted.state), (2, {"rev": 2, "net": {"dns": "one"}}))
    same("its metadata", wanted.metadata["net"]["dns"].keys(), {"timestamp"})
    first, second = next_of(shadow.documents), next_of(shadow.documents)
    same("versions", (first.previous.version, first.current.version, second.previous.version), (0, 1, 1))
    same("current", second.current.state.desired["rev"], 2)
    claim(f"{kind} says what differs, only that, and what was before and is now")

    whole = shadow.get().result(LIMIT_S)
    same("delta", whole.state.delta, {"rev": 2, "net": {"dns": "one"}})
    same("rest", (whole.version, whole.state.reported["rev"], whole.state.desired["rev"]), (2, 1, 2))
    claim(f"{kind} is given whole, with what differs")

    refused(shadow.update(version=1, reported={"rev": 2}), code=409, message="Version conflict")
    same("version", shadow.update(version=2, reported={"rev": 2}).result(LIMIT_S).version, 3)
    same("delta", next_of(shadow.deltas).state, {"net": {"dns": "one"}})
    claim(f"{kind} of another version is not changed, of this one it is")

    change = {"rev": 2, "net": {"dns": "one", "mtu": None}, "taps": [3], "void": {}}
    shadow.update(reported=change).result(LIMIT_S)
    same("delta", next_of(shadow.deltas).state, {"net": {"mtu": 1300}, "taps": [1, 2]})
    same("reported", shadow.get().result(LIMIT_S).state.reported, {"rev": 2, "net": {"dns": "one"}, "taps": [3]})
    shadow.update(reported={"net": {"dns": None}}).result(LIMIT_S)
    same("reported", shadow.get().result(LIMIT_S).state.reported, {"rev": 2, "taps": [3]})
    same("delta", next_of(shadow.deltas).state, {"net": {"dns": "one", "mtu": 1300}, "taps": [1, 2]})
    claim(f"{kind} loses what is set to null and objects without content, and keeps arrays whole")

    alike = {"rev": 2, "net": {"dns": "one", "mtu": 1300}, "taps": [1, 2]}
    same("version", shadow.update(reported=alike).result(LIMIT_S).version, 6)
    same("delta", "delta" in vars_of(shadow.get().result(LIMIT_S).state), False)
    shadow.desire({"rev": 3})
    same("the next delta", next_of(shadow.deltas).version, 7)
    claim(f"{kind} says nothing of a difference where there is none")

    too_large = "The payload exceeds the maximum size allowed"
    refused(shadow.update(reported={"log": "x" * 8192}), code=413, message=too_large)
    shadow.update(reported={"log": "x" * 5000}).result(LIMIT_S)
    refused(shadow.update(reported={"more": "x" * 5000}), code=413)
    claim(f"{kind} holds 8 KiB and not more, by one update or by several")

    shadow.update(reported=None, reported_is_nullable=True).result(LIMIT_S)
    same("reported", shadow.get().result(LIMIT_S).state.reported, None)
    claim(f"{kind} loses a section that is set to null")

    shadow.update(reported=DEEP).result(LIMIT_S)
    too_deep = "JSON contains too many levels of nesting; maximum is 6"
    refused(shadow.update(reported={"z": DEEP}), code=400, message=too_deep)
    refused(shadow.call("update"), code=400, message="Missing required node: state")
    replies = [f"{shadow.topic}/update/{verdict}" for verdict in ("accepted", "rejected")]
    for body, code, message in (
        (b"{", 400, "Invalid JSON"),
        (b'"\xff"', 415, "Unsupported documented encoding; supported encoding is UTF-8"),
        ({"state": 1}, 400, "State node must be an object"),
        ({"state": {"desired": 1}}, 400, "Desired node must be an object"),
        ({"state": {"reported": []}}, 400, "Reported node must be an object"),
        ({"state": {"wanted": {}}}, 400, "State contains an invalid node"),
        ({"state": {}, "version": "1"}, 400, "Invalid version"),
        ({"state": {}, "clientToken": "x" * 65}, 400, "Invalid clientToken"),
    ):
        is_accepted, answer = device.ask(f"{shadow.topic}/update", body, replies)
        same(f"{body}", (is_accepted, answer["code"], answer["message"]), (False, code, message))
    claim(f"{kind} says what is wrong with a request")

    version = shadow.get().result(LIMIT_S).version
    same("version", shadow.call("delete").result(LIMIT_S).version, version)
    refused(shadow.get(), code=404)
    refused(shadow.call("delete"), code=404)
    same("version", shadow.update(reported={"rev": 1}).result(LIMIT_S).version, version + 1)
    claim(f"{kind} that is deleted is gone, and goes on with its versions")


def shadow_fault_claims(shadow):
    core.do("fault", hold=True)
    core.said.clear()
    held = [shadow.get() for _ in range(10)]
    for _ in held:
        core.event("asked", op="shadow-get")
    refused(shadow.get(), code=429)
    core.do("fault", hold=False)
    for future in held:
        future.result(LIMIT_S)
    claim("the eleventh request before an answer to the first is one too many")

    core.do("fault", reject_next=["shadow-update", 500, "Internal service failure"])
    refused(shadow.update(reported={"rev": 1}), code=500, message="Internal service failure")
    shadow.update(reported={"rev": 1}).result(LIMIT_S)
    core.do("fault", drop_next=1, op="shadow-get")
    unanswered.append(shadow.get())
    core.event("dropped", op="shadow-get")
    shadow.get().result(LIMIT_S)
    claim("a fault hits the next request that it is for, and no other")

    while not shadow.deltas.empty():
        shadow.deltas.get()
    core.do("fault", duplicate=True)
    version = shadow.desire({"rev": 10})
    same("versions", [next_of(shadow.deltas).version for _ in range(2)], [version, version])
    core.do("fault", duplicate=False, delta_out_of_order=True)
    versions = [shadow.desire({"rev": 11}), shadow.desire({"rev": 12})]
    same("versions", [next_of(shadow.deltas).version for _ in range(2)], versions[::-1])
    core.do("fault", delta_out_of_order=False)
    claim("a delta comes twice, or behind the one after it, when it is told to")


def job_claims():
    jobs, thing = device.jobs, {"thing_name": THING}
    all_changes = iotjobs.JobExecutionsChangedSubscriptionRequest(**thing)
    lists = device.stream(jobs.create_job_executions_changed_stream, all_changes)
    next_changes = iotjobs.NextJobExecutionChangedSubscriptionRequest(**thing)
    nexts = device.stream(jobs.create_next_job_execution_changed_stream, next_changes)

    def start(**fields):
        return jobs.start_next_pending_job_execution(iotjobs.StartNextPendingJobExecutionRequest(**thing, **fields))

    def describe(job, **fields):
        return jobs.describe_job_execution(iotjobs.DescribeJobExecutionRequest(**thing, job_id=job, **fields))

    def update(job, status, **fields):
        request = iotjobs.UpdateJobExecutionRequest(**thing, job_id=job, status=status, **fields)
        return jobs.update_job_execution(request)

    same("execution", start().result(LIMIT_S).execution, None)
    same("execution", describe("$next").result(LIMIT_S).execution, None)
    refused(describe("one"), code="ResourceNotFound")
    claim("a thing without a job has none to start, none next and none by name")

    core.do("job", thing=THING, id="one", document={"do": "update", "to": "0.9.0"})
    first, found = next_of(nexts), next_of(lists)
    same("next", (first.execution.job_id, first.execution.status), ("one", "QUEUED"))
    same("document", first.execution.job_document, {"do": "update", "to": "0.9.0"})
    same("list", [summary.job_id for summary in found.jobs["QUEUED"]], ["one"])
    core.do("job", thing=THING, id="two", document={"do": "logs"})
    same("list", [summary.job_id for summary in next_of(lists).jobs["QUEUED"]], ["one", "two"])
    pending = jobs.get_pending_job_executions(iotjobs.GetPendingJobExecutionsRequest(**thing)).result(LIMIT_S)
    same("queued", [summary.job_id for summary in pending.queued_jobs], ["one", "two"])
    same("in progress", pending.in_progress_jobs, [])
    claim("a job is told of, in the list and as the next, and waits behind the one before it")

    begun = start(status_details={"step": "fetch"}).result(LIMIT_S).execution
    same("begun", (begun.job_id, begun.status, begun.version_number), ("one", "IN_PROGRESS", 2))
    same("details", (begun.status_details, begun.execution_number), ({"step": "fetch"}, 1))
    core.event("execution", thing=THING, id="one", status="IN_PROGRESS")
    again = start(status_details={"step": "other"}).result(LIMIT_S).execution
    same("again", (again.job_id, again.version_number, again.status_details), ("one", 2, {"step": "fetch"}))
    whole = describe("$next", include_job_document=False).result(LIMIT_S).execution
    same("described", (whole.job_id, whole.job_document), ("one", None))
    claim("the next job is started, once, and stays the next")

    error = refused(update("one", "IN_PROGRESS", expected_version=1), code="VersionMismatch")
    same("state", (error.execution_state.version_number, error.execution_state.status), (2, "IN_PROGRESS"))
    moved = {"expected_version": 2, "status_details": {"step": "check"}, "include_job_execution_state": True}
    answer = update("one", "IN_PROGRESS", **moved, include_job_document=True).result(LIMIT_S)
    state = answer.execution_state
    same("state", (state.version_number, state.status_details), (3, {"step": "check"}))
    same("document", answer.job_document["to"], "0.9.0")
    refused(update("one", "QUEUED"), code="InvalidRequest")
    refused(update("one", "FAILED", status_details={"log": "x" * 1025}), code="InvalidRequest")
    claim("an execution is moved on from the version that it has, and from no other")

    same("answer", update("one", "SUCCEEDED", expected_version=3).result(LIMIT_S).execution_state, None)
    event = core.event("execution", id="one", status="SUCCEEDED")
    same("event", (event["versionNumber"], event["statusDetails"]), (4, {"step": "check"}))
    same("next", next_of(nexts).execution.job_id, "two")
    same("list", [summary.job_id for summary in next_of(lists).jobs["QUEUED"]], ["two"])
    error = refused(update("one", "FAILED"), code="InvalidStateTransition")
    same("state", error.execution_state.status, "SUCCEEDED")
    refused(describe("one"), code="TerminalStateReached")
    claim("an execution that has succeeded is over, and the next one is told of")

    core.do("job-end", thing=THING, id="two", status="CANCELED")
    same("next", next_of(nexts).execution, None)
    same("list", next_of(lists).jobs, {})
    refused(update("two", "SUCCEEDED"), code="InvalidStateTransition")
    claim("an execution that the service takes back is over too")

    core.do("job", thing=THING, id="three", document={})
    core.do("fault", lose_next=1, op="job-update")
    unanswered.append(update("three", "REJECTED", expected_version=1))
    core.event("lost", op="job-update")
    refused(update("three", "REJECTED", expected_version=1), code="VersionMismatch")
    same("status", core.do("show", what="jobs", thing=THING)["jobs"][2]["status"], "REJECTED")
    claim("an update whose answer was lost was made")


def command_claims():
    prefix = f"$aws/commands/things/{THING}/executions"
    device.subscribe(f"{prefix}/+/request/json")

    def respond(id, body):
        replies = [f"{prefix}/{id}/response/{verdict}/json" for verdict in ("accepted", "rejected")]
        return device.ask(f"{prefix}/{id}/response/json", body, replies)

    id = core.do("command", thing=THING, payload={"do": "flush"})["id"]
    request = next_of(device.commands)
    same("topic", request.topic, f"{prefix}/{id}/request/json")
    same("request", (json.loads(request.payload), request.content_type), ({"do": "flush"}, "application/json"))
    same("in time", 0 < request.message_expiry_interval_sec <= 10, True)
    same("answer", respond(id, {"status": "IN_PROGRESS"}), (True, {"executionId": id}))
    result = {"result": {"flushed": {"s": "12"}, "whole": {"b": True}}}
    same("answer", respond(id, {"status": "SUCCEEDED", **result}), (True, {"executionId": id}))
    core.event("command", id=id, status="IN_PROGRESS")
    same("result", core.event("command", id=id, status="SUCCEEDED")["result"], result["result"])
    claim("a command arrives with the time that it has, and its result goes back")

    for whose, body, code in (
        (id, {"status": "FAILED"}, "InvalidStateTransition"),
        ("nobody", {"status": "FAILED"}, "ResourceNotFound"),
        (id, {"status": "DONE"}, "InvalidRequest"),
        (id, {"status": "FAILED", "statusReason": {"reasonCode": "too busy"}}, "InvalidRequest"),
        (id, b"{", "InvalidJson"),
    ):
        is_accepted, answer = respond(whose, body)
        same(f"{body}", (is_accepted, answer["error"], answer["executionId"]), (False, code, whose))
    claim("a response that does not fit is rejected, with why")

    id = core.do("command", thing=THING, payload={}, timeout_s=1)["id"]
    core.event("command", id=id, status="TIMED_OUT")
    reason = {"statusReason": {"reasonCode": "BUSY", "reasonDescription": "was away"}}
    same("answer", respond(id, {"status": "FAILED", **reason})[0], True)
    same("event", core.event("command", id=id, status="FAILED")["statusReason"], reason["statusReason"])
    same("answer", respond(id, {"status": "SUCCEEDED"})[1]["error"], "InvalidStateTransition")
    claim("a command that is not answered in time has timed out, until the device says how it ended")


def fleet_claims():
    identity, token = device.identity, "certificate_ownership_token"

    def sign(pem):
        request = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=pem)
        return identity.create_certificate_from_csr(request)

    def register(token, template=TEMPLATE, **parameters):
        request = {"template_name": template, "certificate_ownership_token": token, "parameters": parameters}
        return identity.register_thing(iotidentity.RegisterThingRequest(**request))

    wrong = {"status_code": 400, "error_code": "InvalidCertificateOwnershipToken"}
    core.do("template", name=TEMPLATE, thing="gw-{SerialNumber}", configuration={"bucket": "pond"})
    refused(sign("no request"), status_code=400)
    signed = sign(make_request("fresh")).result(LIMIT_S)
    open("fresh.pem", "w").write(signed.certificate_pem)
    same("verified", openssl("verify", "-CAfile", "ca.pem", "fresh.pem").strip(), "fresh.pem: OK")
    digest = openssl("x509", "-in", "fresh.pem", "-noout", "-fingerprint", "-sha256").split("=")[1]
    same("certificate id", signed.certificate_id, digest.strip().replace(":", "").lower())
    Device(broker.tls_port, "fresh").client.stop()
    core.event("certificate", id=signed.certificate_id)
    claim("a certificate is signed for the device's key, and the broker lets it in")

    refused(register("", SerialNumber="2"), **wrong)
    refused(register("made up", SerialNumber="2"), **wrong)
    refused(register(getattr(signed, token), Serial="2"), status_code=400, error_code="InvalidParameters")
    refused(register(getattr(signed, token), template="lake", SerialNumber="2"), error_code="ResourceNotFound")
    thing = register(getattr(signed, token), SerialNumber="2").result(LIMIT_S)
    same("thing", (thing.thing_name, thing.device_configuration), ("gw-2", {"bucket": "pond"}))
    core.event("provisioned", thing="gw-2", certificate=signed.certificate_id)
    same("things", core.do("show", what="things")["things"], {"gw-2": signed.certificate_id})
    claim("a thing is registered with the token of its certificate")

    refused(register(getattr(signed, token), SerialNumber="2"), **wrong)
    claim("a token that was used is refused")

    late = getattr(sign(make_request("late")).result(LIMIT_S), token)
    core.do("fault", expire_token=True)
    refused(register(late, SerialNumber="3"), **wrong)
    denied = {"error_code": "AccessDenied", "error_message": "not on the list"}
    core.do("fault", expire_token=False, reject_next=["register", *denied.values()])
    refused(register(late, SerialNumber="3"), status_code=403, **denied)
    same("thing", register(late, SerialNumber="3").result(LIMIT_S).thing_name, "gw-3")
    claim("a token that has expired is refused, and so is a device that is not wanted")


def plain_claim():
    """Another far side, which knows nothing yet."""
    global core
    core.end()
    core = FarSide(port=broker.plain_port)
    refused(Shadow("other").get(), code=404)
    claim("it speaks in plain too")


def claim(words):
    claims["ok"] += 1
    print(f"ok {words}", flush=True)


def prove(part, *arguments):
    try:
        part(*arguments)
    except Exception as difference:
        claims["DIFFERS"] += 1
        said = str(difference) if isinstance(difference, Difference) else repr(difference)
        print(f"DIFFERS after {claims['ok']} claims, in {part.__name__}: {said}", flush=True)


claims, streams, unanswered = collections.Counter(), [], []
make_certificates()
broker = Broker()
try:
    core = FarSide(port=broker.tls_port, tls={"ca": "ca.pem", "cert": "core.pem", "key": "core.key"})
    device = Device(broker.tls_port)
    named = Shadow("config")
    prove(shadow_claims, Shadow())
    prove(shadow_claims, named)
    prove(shadow_fault_claims, named)
    prove(job_claims)
    prove(command_claims)
    prove(fleet_claims)
    prove(plain_claim)
    core.end()
finally:
    broker.process.kill()
print(f"{claims['ok']} claims hold, {claims['DIFFERS']} parts differ", flush=True)
folder.cleanup()
# What was never answered is not waited for.
os._exit(1 if claims["DIFFERS"] else 0)
