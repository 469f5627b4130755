"""Commands: something to do now, with a time in which to answer."""

import re
import threading
import uuid

from service import Refused, Service, check

TERMINAL = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT")
REASON_CODE, DESCRIPTION_CHARS_MAX = re.compile(r"[A-Z0-9_-]{1,64}"), 1024
RESULT_KINDS = {"s": str, "b": bool, "bin": str}
TIMEOUT_S = 10


class Commands(Service):
    FILTERS = {"$aws/commands/things/+/executions/+/response/json": "command-response"}

    def __init__(self, core):
        super().__init__(core)
        self.executions = {}

    def send(self, thing, payload, id=None, timeout_s=TIMEOUT_S):
        """A new execution; gives its name and what to publish."""
        id = id or str(uuid.uuid4())
        check((thing, id) not in self.executions, "ResourceAlreadyExists", f"{thing} has an execution {id}")
        timer = threading.Timer(timeout_s, self.overdue, [thing, id])
        timer.daemon = True
        # Whether its end is the device's word: that of the service, a time-out, can still be changed.
        self.executions[thing, id] = {"status": "CREATED", "is_final": False, "timer": timer}
        timer.start()
        return id, [(f"$aws/commands/things/{thing}/executions/{id}/request/json", payload)]

    def command_response(self, thing, id, request):
        check((thing, id) in self.executions, "ResourceNotFound", f"{thing} has no execution {id}")
        execution, status = self.executions[thing, id], request.get("status")
        check(status in ("IN_PROGRESS", *TERMINAL), "InvalidRequest", "status is none of a device's")
        self.check_reason(request.get("statusReason", {}))
        self.check_result(request.get("result", {}))
        if execution["is_final"]:
            raise Refused("InvalidStateTransition", f"{execution['status']} can not become {status}")
        if status in TERMINAL:
            execution["is_final"] = True
            execution["timer"].cancel()
        self.change(thing, id, status, request)
        return {"executionId": id}, []

    def overdue(self, thing, id):
        with self.core.lock:
            if not self.executions[thing, id]["is_final"]:
                self.change(thing, id, "TIMED_OUT", {})

    def change(self, thing, id, status, request):
        said = {name: request[name] for name in ("statusReason", "result") if name in request}
        self.executions[thing, id] |= {"status": status, **said}
        self.core.say(event="command", thing=thing, id=id, status=status, **said)

    def refusal(self, refused, _request, arguments):
        return {"error": refused.code, "errorMessage": refused.message, "executionId": arguments[-1]}

    def reply_topic(self, topic, verdict):
        return f"{topic.removesuffix('/json')}/{verdict}/json"

    @staticmethod
    def check_reason(reason):
        check(isinstance(reason, dict), "InvalidRequest", "statusReason is no object")
        code, words = reason.get("reasonCode"), reason.get("reasonDescription", "")
        is_code = not reason or isinstance(code, str) and REASON_CODE.fullmatch(code)
        check(is_code, "InvalidRequest", "reasonCode")
        is_words = isinstance(words, str) and len(words) <= DESCRIPTION_CHARS_MAX
        check(is_words, "InvalidRequest", "reasonDescription")

    @staticmethod
    def check_result(result):
        check(isinstance(result, dict), "InvalidRequest", "result is no object")
        for name, value in result.items():
            is_one = isinstance(value, dict) and len(value) == 1
            is_good = is_one and all(isinstance(v, RESULT_KINDS.get(kind, ())) for kind, v in value.items())
            check(is_good, "InvalidRequest", f"result: {name} is not one of s, b and bin")
