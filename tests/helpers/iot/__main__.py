"""The far side of AWS IoT Core, as a client of a broker: iot CONFIG

CONFIG: {"port", "tls": {"ca", "cert", "key"}, "issuer": {"cert", "key"}, "token_s"}

Without `tls` the broker is asked in plain; without `issuer` nobody gets a certificate. Device Shadow, Jobs, Commands
and fleet provisioning are as AWS documents them. What a client of a broker can not know (who published, who alone may
hear an answer, whether a certificate was activated) is not kept. A line on stdin is something to do, as JSON:

    {"do": "shadow-update", "thing", "name", "state": {"desired": {}}, "version"}   as an application would
    {"do": "shadow-delete", "thing", "name"}           `name` left out: the classic shadow
    {"do": "job", "thing", "id", "document": {}}       queues an execution
    {"do": "job-end", "thing", "id", "status"}         CANCELED, REMOVED or TIMED_OUT, by the service
    {"do": "command", "thing", "payload": {}, "id", "timeout_s"}
    {"do": "template", "name", "thing": "gw-{SerialNumber}", "configuration": {}}
    {"do": "show", "what": "shadow", "jobs", "command" or "things", "thing", "name", "id"}
    {"do": "fault"} with any of
        "reject_next": [OPERATION, CODE, MESSAGE]      the next request that asks for it
        "drop_next": N, "lose_next": N                 so many requests are not heard, or done and not answered:
        "op": OPERATION                                those of this one, or any
        "hold": bool                                   requests wait unanswered; `false` answers them
        "duplicate": bool                              all is published twice
        "delta_out_of_order": bool                     every other delta comes behind the one after it
        "expire_token": bool                           no certificate ownership token is good

OPERATION: shadow-get, shadow-update, shadow-delete, jobs-get, jobs-start-next, job-get, job-update, command-response,
create-from-csr or register. Each line is answered by one, {"answer": DO, "ref", ...}: with the `ref` that came with
it, and with `error` where it was not done. What happens is said when it does, {"event": ...}: ready, denied, asked,
dropped, lost, rejected, reported, deleted, execution, command, certificate, provisioned. The end of stdin ends it.
"""

import collections
import json
import math
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from commands import TIMEOUT_S, Commands
from fleet import TOKEN_S, Fleet, Issuer
from jobs import Jobs
from service import Refused
from shadow import Shadows

SESSION_S = 3600
Request = collections.namedtuple("Request", "service operation arguments topic body")


class Faults:
    """What goes wrong next."""

    def __init__(self):
        self.refusals = []
        self.left = collections.Counter()
        self.is_holding = self.is_double = self.is_crossed = False

    def takes(self, kind, operation):
        """Whether the next fault of a kind is this operation's."""
        for which in (operation, None):
            if self.left[kind, which]:
                self.left[kind, which] -= 1
                return True
        return False

    def refuse(self, operation):
        for at, (wanted, code, message) in enumerate(self.refusals):
            if wanted == operation:
                del self.refusals[at]
                raise Refused(code, message)


class Core:
    def __init__(self, config):
        # The broker's thread, that of stdin, and those that wait for a command's end.
        self.lock = threading.RLock()
        self.faults = Faults()
        self.held, self.kept = [], {}
        issuer = Issuer(**config["issuer"]) if "issuer" in config else None
        self.shadows, self.jobs, self.commands = Shadows(self), Jobs(self), Commands(self)
        self.fleet = Fleet(self, issuer, config.get("token_s", TOKEN_S))
        self.services = [self.shadows, self.jobs, self.commands, self.fleet]
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="iot-core", protocol=mqtt.MQTTv5)
        if "tls" in config:
            tls = config["tls"]
            self.client.tls_set(tls["ca"], tls["cert"], tls["key"])
        self.client.on_connect, self.client.on_message = self.connected, self.heard
        self.client.on_subscribe = self.subscribed
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        # The service is never away: what is asked while this is not connected waits at the broker.
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = SESSION_S
        self.client.connect("localhost", config["port"], keepalive=60, clean_start=False, properties=session)
        self.client.loop_start()

    def say(self, **line):
        with self.lock:
            print(json.dumps({name: value for name, value in line.items() if value is not None}), flush=True)

    def connected(self, client, _userdata, _flags, reason, _properties):
        if not reason.is_failure:
            client.subscribe([(pattern, 1) for service in self.services for pattern in service.FILTERS])

    def subscribed(self, _client, _userdata, _mid, reasons, _properties):
        self.say(event="denied" if any(reason.is_failure for reason in reasons) else "ready")

    def heard(self, _client, _userdata, message):
        found = [(s, s.operation(message.topic)) for s in self.services if s.operation(message.topic)]
        for service, (operation, arguments) in found:
            with self.lock:
                self.take(Request(service, operation, arguments, message.topic, message.payload))

    def take(self, request):
        service, operation, topic = request.service, request.operation, request.topic
        self.say(event="asked", op=operation, topic=topic)
        if self.faults.takes("drop", operation):
            self.say(event="dropped", op=operation, topic=topic)
        elif not self.faults.is_holding:
            self.perform(request)
        elif service.IN_FLIGHT_MAX and self.in_flight(request) >= service.IN_FLIGHT_MAX:
            self.perform(request, Refused(429, "Too many requests"))
        else:
            self.held.append(request)

    def in_flight(self, request):
        whose = [(held.service, held.arguments[0]) for held in self.held if held.arguments]
        return whose.count((request.service, request.arguments[0]))

    def perform(self, request, refusal=None):
        service, operation, arguments, topic, raw = request
        verdict, body, after = "accepted", {}, []
        try:
            body = service.read(raw)
            if refusal:
                raise refusal
            self.faults.refuse(operation)
            answer, after = service.answer(operation, arguments, body)
        except Refused as refused:
            self.say(event="rejected", op=operation, topic=topic, code=refused.code, message=refused.message)
            verdict, answer = "rejected", service.refusal(refused, body, arguments)
        if self.faults.takes("lose", operation):
            self.say(event="lost", op=operation, topic=topic)
        else:
            self.publish(service.reply_topic(topic, verdict), answer)
        self.publish_all(after)

    def publish_all(self, messages):
        for topic, body in messages:
            self.publish(topic, body)

    def publish(self, topic, body, expiry_s=None):
        if self.faults.is_crossed and topic.endswith("/update/delta"):
            if topic not in self.kept:
                self.kept[topic] = body
                return
            self.send(topic, body)
            body = self.kept.pop(topic)
        self.send(topic, body, expiry_s)

    def send(self, topic, body, expiry_s=None):
        properties = Properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval, properties.ContentType = expiry_s, "application/json"
        for _ in range(2 if self.faults.is_double else 1):
            self.client.publish(topic, json.dumps(body), qos=1, properties=properties)

    def do(self, line):
        ref = what = None
        try:
            arguments = json.loads(line)
            ref, what = arguments.pop("ref", None), arguments.pop("do")
            with self.lock:
                answer = getattr(self, f"do_{what.replace('-', '_')}")(**arguments)
        except Refused as refused:
            answer = {"error": f"{refused.code}: {refused.message}"}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.say(answer=what or "?", ref=ref, **(answer or {}))

    def do_shadow_update(self, thing, name=None, **body):
        accepted, after = self.shadows.answer("shadow-update", [thing, name], body)
        self.publish_all([(f"{self.shadows.prefix(thing, name)}/update/accepted", accepted), *after])
        return {"version": accepted["version"]}

    def do_shadow_delete(self, thing, name=None):
        accepted, after = self.shadows.answer("shadow-delete", [thing, name], {})
        self.publish_all([(f"{self.shadows.prefix(thing, name)}/delete/accepted", accepted), *after])
        return {"version": accepted["version"]}

    def do_job(self, thing, id, document):
        self.publish_all(self.jobs.queue(thing, id, document))

    def do_job_end(self, thing, id, status):
        self.publish_all(self.jobs.end(thing, id, status))

    def do_command(self, thing, payload, id=None, timeout_s=TIMEOUT_S):
        id, messages = self.commands.send(thing, payload, id, timeout_s)
        for topic, body in messages:
            self.publish(topic, body, expiry_s=math.ceil(timeout_s))
        return {"id": id}

    def do_template(self, name, thing, configuration=None):
        self.fleet.templates[name] = (thing, configuration or {})

    def do_show(self, what, thing=None, name=None, id=None):
        if what == "shadow":
            return {"shadow": self.shadows.shadows.get((thing, name), {})}
        if what == "jobs":
            return {"jobs": list(self.jobs.things.get(thing, {}).values())}
        if what == "command":
            execution = self.commands.executions[thing, id]
            return {"command": {name: value for name, value in execution.items() if name not in ("timer", "is_final")}}
        if what == "things":
            return {"things": self.fleet.things}
        raise ValueError(what)

    def do_fault(self, op=None, reject_next=None, drop_next=0, lose_next=0, **switches):
        if reject_next:
            operation, code, message = reject_next
            self.faults.refusals.append((operation, code, message))
        self.faults.left.update({("drop", op): drop_next, ("lose", op): lose_next})
        self.faults.is_double = switches.pop("duplicate", self.faults.is_double)
        self.faults.is_crossed = switches.pop("delta_out_of_order", self.faults.is_crossed)
        self.faults.is_holding = switches.pop("hold", self.faults.is_holding)
        self.fleet.is_expiring = switches.pop("expire_token", self.fleet.is_expiring)
        if switches:
            raise ValueError(f"no such fault: {', '.join(switches)}")
        if not self.faults.is_crossed:
            kept, self.kept = self.kept, {}
            self.publish_all(kept.items())
        if not self.faults.is_holding:
            held, self.held = self.held, []
            for request in held:
                self.perform(request)


core = Core(json.loads(sys.argv[1]))
for line in sys.stdin:
    core.do(line)
