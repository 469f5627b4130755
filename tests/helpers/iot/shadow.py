"""Device Shadow, classic and named."""

import copy
import json

from service import Refused, Service, check, is_number, now, token

SECTIONS = ("desired", "reported")
# AWS's limits. Metadata is not counted; a section is the first level of depth.
STATE_BYTES_MAX, DEPTH_MAX, TOKEN_BYTES_MAX = 8192, 6, 64


def stamped(value, at):
    """The metadata of a value: when each leaf of it was set."""
    if isinstance(value, dict):
        return {key: stamped(inner, at) for key, inner in value.items() if inner is not None}
    return [stamped(inner, at) for inner in value] if isinstance(value, list) else {"timestamp": at}


def merge(state, metadata, change, at):
    """Null deletes, an object is merged and vanishes when nothing is left of it, an array is replaced."""
    for key, value in change.items():
        if isinstance(value, dict):
            if not isinstance(state.get(key), dict):
                state[key], metadata[key] = {}, {}
            merge(state[key], metadata[key], value, at)
        elif value is not None:
            state[key], metadata[key] = copy.deepcopy(value), stamped(value, at)
        if state.get(key) == {} or value is None:
            state.pop(key, None)
            metadata.pop(key, None)


def delta(desired, reported, metadata):
    """What is desired and not reported, and its metadata."""
    state, when = {}, {}
    for key, value in desired.items():
        if isinstance(value, dict) and isinstance(reported.get(key), dict):
            inner, inner_when = delta(value, reported[key], metadata[key])
            if inner:
                state[key], when[key] = inner, inner_when
        elif key not in reported or as_json(reported[key]) != as_json(value):
            state[key], when[key] = value, metadata[key]
    return state, when


def as_json(value):
    """For comparison: true is not 1."""
    return json.dumps(value, sort_keys=True)


def depth(value):
    if isinstance(value, (dict, list)):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


def size(state):
    return len(json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode())


class Shadows(Service):
    FILTERS = {
        f"$aws/things/+/shadow/{name}{operation}": f"shadow-{operation}"
        for operation in ("get", "update", "delete")
        for name in ("", "name/+/")
    }
    IN_FLIGHT_MAX = 10
    NOT_JSON = (400, "Invalid JSON")
    NOT_UTF8 = (415, "Unsupported documented encoding; supported encoding is UTF-8")

    def __init__(self, core):
        super().__init__(core)
        self.shadows = {}
        # What number the next version of a deleted shadow follows.
        self.deleted = {}

    def answer(self, operation, arguments, request):
        thing, name = (*arguments, None)[:2]
        return super().answer(operation, [thing, name], request)

    def shadow_get(self, thing, name, request):
        shadow = self.known(thing, name)
        state = dict(shadow["state"])
        wanted, _ = self.delta(shadow)
        if wanted:
            state["delta"] = wanted
        return {**shadow, "state": state, "timestamp": now(), **token(request)}, []

    def shadow_delete(self, thing, name, request):
        version = self.known(thing, name)["version"]
        del self.shadows[thing, name]
        self.deleted[thing, name] = version
        self.core.say(event="deleted", thing=thing, name=name, version=version)
        return {"version": version, "timestamp": now(), **token(request)}, []

    def shadow_update(self, thing, name, request):
        change = self.checked(request)
        new = {"state": {}, "metadata": {}, "version": self.deleted.get((thing, name), 0)}
        before = self.shadows.get((thing, name), new)
        check(request.get("version", before["version"]) == before["version"], 409, "Version conflict")
        shadow, at = copy.deepcopy(before), now()
        for section, part in change.items():
            state, metadata = shadow["state"].pop(section, {}), shadow["metadata"].pop(section, {})
            if part is not None:
                merge(state, metadata, part, at)
                if state:
                    shadow["state"][section], shadow["metadata"][section] = state, metadata
        check(size(shadow["state"]) <= STATE_BYTES_MAX, 413, "The payload exceeds the maximum size allowed")
        shadow["version"] += 1
        self.shadows[thing, name] = shadow
        if "reported" in change:
            reported = shadow["state"].get("reported", {})
            self.core.say(event="reported", thing=thing, name=name, state=reported, version=shadow["version"])

        rest = {"timestamp": at, **token(request)}
        metadata = {section: stamped(part, at) for section, part in change.items() if part is not None}
        accepted = {"state": change, "metadata": metadata, "version": shadow["version"], **rest}
        topic = f"{self.prefix(thing, name)}/update"
        after = [(f"{topic}/documents", {"previous": before, "current": shadow, **rest})]
        wanted, when = self.delta(shadow)
        if wanted:
            body = {"state": wanted, "metadata": when, "version": shadow["version"], **rest}
            after.insert(0, (f"{topic}/delta", body))
        return accepted, after

    def known(self, thing, name):
        if (thing, name) not in self.shadows:
            raise Refused(404, f"No shadow exists with name: '{name or thing}'")
        return self.shadows[thing, name]

    @staticmethod
    def delta(shadow):
        desired, reported = (shadow["state"].get(section, {}) for section in SECTIONS)
        return delta(desired, reported, shadow["metadata"].get("desired", {}))

    @staticmethod
    def prefix(thing, name):
        return f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")

    @staticmethod
    def checked(request):
        """The change that a request asks for."""
        check("state" in request, 400, "Missing required node: state")
        change, word = request["state"], request.get("clientToken", "")
        check(isinstance(change, dict), 400, "State node must be an object")
        check(set(change) <= set(SECTIONS), 400, "State contains an invalid node")
        for section, part in change.items():
            check(part is None or isinstance(part, dict), 400, f"{section.capitalize()} node must be an object")
            too_deep = f"JSON contains too many levels of nesting; maximum is {DEPTH_MAX}"
            check(depth(part) <= DEPTH_MAX, 400, too_deep)
        check(is_number(request.get("version", 0)), 400, "Invalid version")
        check(isinstance(word, str) and len(word.encode()) <= TOKEN_BYTES_MAX, 400, "Invalid clientToken")
        return change
