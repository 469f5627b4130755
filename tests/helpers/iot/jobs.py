"""Jobs: what a thing is to do, one execution after the other."""

import re

from service import Refused, Service, check, is_number, now, token

BY_DEVICE = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED")
BY_SERVICE = ("CANCELED", "REMOVED", "TIMED_OUT")
PENDING = ("IN_PROGRESS", "QUEUED")
DETAIL_NAME, DETAIL_CHARS_MAX = re.compile(r"[a-zA-Z0-9:_-]{1,128}"), 1024
STEP_MINUTES_MAX = 10_080
SUMMARY = ("jobId", "queuedAt", "startedAt", "lastUpdatedAt", "versionNumber", "executionNumber")


def state(execution):
    return {name: execution[name] for name in ("status", "statusDetails", "versionNumber") if name in execution}


def without_document(execution):
    return {name: value for name, value in execution.items() if name != "jobDocument"}


class Jobs(Service):
    FILTERS = {
        "$aws/things/+/jobs/get": "jobs-get",
        "$aws/things/+/jobs/start-next": "jobs-start-next",
        "$aws/things/+/jobs/+/get": "job-get",
        "$aws/things/+/jobs/+/update": "job-update",
    }

    def __init__(self, core):
        super().__init__(core)
        # The executions of each thing by their jobs, in the order in which they were queued.
        self.things = {}

    def queue(self, thing, job, document):
        """A new execution; gives what to publish."""
        check(job not in self.things.get(thing, {}), "ResourceAlreadyExists", f"{thing} has a job {job}")
        before, at = self.seen(thing), now()
        execution = {"jobId": job, "thingName": thing, "jobDocument": document, "status": "QUEUED"}
        execution |= {"queuedAt": at, "lastUpdatedAt": at, "versionNumber": 1, "executionNumber": 1}
        self.things.setdefault(thing, {})[job] = execution
        return self.notices(thing, before)

    def end(self, thing, job, status):
        """The service itself ends an execution; gives what to publish."""
        check(status in BY_SERVICE, "InvalidRequest", f"the service says {BY_SERVICE}")
        before, execution = self.seen(thing), self.known(thing, job)
        self.change(execution, status)
        return self.notices(thing, before)

    def jobs_get(self, thing, request):
        return {**self.lists(thing, "inProgressJobs", "queuedJobs"), "timestamp": now(), **token(request)}, []

    def jobs_start_next(self, thing, request):
        self.check_details(request)
        before, execution = self.seen(thing), self.next(thing)
        if execution and execution["status"] == "QUEUED":
            execution["startedAt"] = now()
            self.change(execution, "IN_PROGRESS", request.get("statusDetails"))
        answer = {"execution": dict(execution)} if execution else {}
        return {**answer, "timestamp": now(), **token(request)}, self.notices(thing, before)

    def job_get(self, thing, job, request):
        execution = self.next(thing) if job == "$next" else self.known(thing, job, request)
        rest = {"timestamp": now(), **token(request)}
        if execution is None:
            return rest, []
        is_over = execution["status"] not in PENDING
        check(not is_over, "TerminalStateReached", f"The job execution is {execution['status']}")
        is_whole = request.get("includeJobDocument", True)
        return {"execution": dict(execution) if is_whole else without_document(execution), **rest}, []

    def job_update(self, thing, job, request):
        status, expected = request.get("status"), request.get("expectedVersion")
        check(status in BY_DEVICE, "InvalidRequest", f"A device says one of {', '.join(BY_DEVICE)}")
        check(expected is None or is_number(expected), "InvalidRequest", "expectedVersion is no number")
        minutes = request.get("stepTimeoutInMinutes", -1)
        is_timeout = is_number(minutes) and (minutes == -1 or 1 <= minutes <= STEP_MINUTES_MAX)
        check(is_timeout, "InvalidRequest", f"stepTimeoutInMinutes is 1 to {STEP_MINUTES_MAX}, or -1")
        self.check_details(request)
        before, execution = self.seen(thing), self.known(thing, job, request)
        version, current = execution["versionNumber"], execution["status"]
        if expected not in (None, version):
            message = f"Expected version {expected}, the current one is {version}"
            raise Refused("VersionMismatch", message, executionState=state(execution))
        if current not in PENDING:
            message = f"{current} can not become {status}"
            raise Refused("InvalidStateTransition", message, executionState=state(execution))
        if status == "IN_PROGRESS":
            execution.setdefault("startedAt", now())
        self.change(execution, status, request.get("statusDetails"))
        answer = {"timestamp": now(), **token(request)}
        if request.get("includeJobExecutionState"):
            answer["executionState"] = state(execution)
        if request.get("includeJobDocument"):
            answer["jobDocument"] = execution["jobDocument"]
        return answer, self.notices(thing, before)

    def known(self, thing, job, request=()):
        execution = self.things.get(thing, {}).get(job)
        is_known = execution and ("executionNumber" not in request or request["executionNumber"] == 1)
        check(is_known, "ResourceNotFound", f"{thing} has no such execution of {job}")
        return execution

    def pending(self, thing, status):
        return [execution for execution in self.things.get(thing, {}).values() if execution["status"] == status]

    def next(self, thing):
        """What is in progress comes first, then what was queued first."""
        pending = [execution for status in PENDING for execution in self.pending(thing, status)]
        return pending[0] if pending else None

    def lists(self, thing, *names):
        summaries = ([{k: e[k] for k in SUMMARY if k in e} for e in self.pending(thing, status)] for status in PENDING)
        return dict(zip(names, summaries))

    def change(self, execution, status, details=None):
        execution |= {"status": status, "lastUpdatedAt": now(), "versionNumber": execution["versionNumber"] + 1}
        if details is not None:
            execution["statusDetails"] = details
        said = {"thing": execution["thingName"], "id": execution["jobId"], **state(execution)}
        self.core.say(event="execution", **said)

    def seen(self, thing):
        """What of a thing's executions it is told about: which are pending, and which is next."""
        lists = self.lists(thing, *PENDING)
        pending = {summary["jobId"] for status in lists for summary in lists[status]}
        return pending, (self.next(thing) or {}).get("jobId")

    def notices(self, thing, before):
        (pending, first), topic, at = self.seen(thing), f"$aws/things/{thing}/jobs", {"timestamp": now()}
        notices = []
        if pending != before[0]:
            jobs = {status: jobs for status, jobs in self.lists(thing, *PENDING).items() if jobs}
            notices.append((f"{topic}/notify", {"jobs": jobs, **at}))
        if first != before[1]:
            answer = {"execution": dict(self.next(thing))} if first else {}
            notices.append((f"{topic}/notify-next", {**answer, **at}))
        return notices

    @staticmethod
    def check_details(request):
        details = request.get("statusDetails", {})
        check(isinstance(details, dict), "InvalidRequest", "statusDetails is no object")
        for name, value in details.items():
            is_good = DETAIL_NAME.fullmatch(name) and isinstance(value, str) and 1 <= len(value) <= DETAIL_CHARS_MAX
            check(is_good, "InvalidRequest", f"statusDetails: {name}")
