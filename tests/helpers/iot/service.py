"""What the services of AWS IoT Core have in common: requests on topics of theirs, each accepted or rejected."""

import json
import time


class Refused(Exception):
    """A request that is rejected: with a code, words for people, and what else the service says then."""

    def __init__(self, code, message, **more):
        super().__init__(message)
        self.code, self.message, self.more = code, message, more


class Service:
    """One protocol. `FILTERS`: on which topics its requests come; what the wildcards stand for are their arguments."""

    FILTERS = {}
    # How many requests of a thing it takes before it has answered one of them.
    IN_FLIGHT_MAX = None
    # What it says of a body that is no JSON, and of one that is no UTF-8.
    NOT_JSON = NOT_UTF8 = ("InvalidJson", "The contents of the request are no JSON")

    def __init__(self, core):
        self.core = core

    def operation(self, topic):
        """The operation that a request on this topic asks for, and its arguments; None: none of this service's."""
        for pattern, operation in self.FILTERS.items():
            words, wanted = topic.split("/"), pattern.split("/")
            if len(words) == len(wanted) and all(w in ("+", word) for word, w in zip(words, wanted)):
                return operation, [word for word, w in zip(words, wanted) if w == "+"]
        return None

    def read(self, body):
        """A body as an object; none at all is an empty one."""
        try:
            request = json.loads(body.decode()) if body else {}
        except UnicodeDecodeError:
            raise Refused(*self.NOT_UTF8) from None
        except ValueError:
            raise Refused(*self.NOT_JSON) from None
        if not isinstance(request, dict):
            raise Refused(*self.NOT_JSON)
        return request

    def answer(self, operation, arguments, request):
        """What to say in `accepted`, and what to publish after it: topics and bodies."""
        return getattr(self, operation.replace("-", "_"))(*arguments, request)

    def refusal(self, refused, request, _arguments):
        """What to say in `rejected`."""
        return {"code": refused.code, "message": refused.message, "timestamp": now(), **refused.more, **token(request)}

    def reply_topic(self, topic, verdict):
        return f"{topic}/{verdict}"


def now():
    return int(time.time())


def token(request):
    """The token by which a client knows its answer."""
    return {"clientToken": request["clientToken"]} if isinstance(request.get("clientToken"), str) else {}


def check(holds, *refusal):
    if not holds:
        raise Refused(*refusal)


def is_number(value):
    return isinstance(value, int) and not isinstance(value, bool)
