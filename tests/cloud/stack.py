"""Holds cloud/stack.yaml against AWS's limits and against what the agent does.

usage: stack.py LAKE

cfn-lint reads the template; the rest is what it can not know: sizes with the longest names, that a device may do what the agent
does and nothing of another device's, where the rules listen, and that the allow-list's Lambda says no. Prints what it measured.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import yaml
import zstandard
from house import DEVICE, SITE, STACK

# CloudFormation takes so much from a file; more would have to lie in a bucket first.
TEMPLATE_BYTES_MAX = 51_200
# IoT Core: characters of a policy without white space, bytes and slashes of a topic without $aws/rules/RULE/.
POLICY_CHARS_MAX, TOPIC_BYTES_MAX, TOPIC_SLASHES_MAX = 2_048, 256, 7

# As long as names get: the agent's, and a job's or an execution's, are 64 long.
NAME, PLACE, LONGEST = "a" * 16, {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-1", "AWS::AccountId": "123456789012"}, "x" * 64


class Loader(yaml.SafeLoader):
    """CloudFormation's short forms, as the long ones."""


def short_form(loader, suffix, node):
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".") if suffix == "GetAtt" else value}
    construct = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return {name: construct(node, deep=True)}


Loader.add_multi_constructor("!", short_form)
template = yaml.load(STACK.read_text(), Loader)
resources = template["Resources"]
properties = {name: resource["Properties"] for name, resource in resources.items()}


def resolved(value):
    """With the longest names, every condition met, and what only AWS knows as something of its length."""
    if isinstance(value, list):
        return [resolved(item) for item in value if item != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, dict):
        return value
    [(name, argument), *more] = value.items()
    if not more and name == "Ref":
        return NAME if argument == "Name" else PLACE.get(argument, argument)
    if not more and name == "Fn::GetAtt":
        return {"Lake": "arn:aws:s3:::lake", "RoleAlias": f"arn:aws-us-gov:iot:ap-southeast-1:123456789012:rolealias/{NAME}-device"}.get(argument[0], argument[0])
    if not more and name == "Fn::If":
        return resolved(argument[1])
    if not more and name == "Fn::Sub":
        known = {"Name": NAME, "Lake.Arn": "arn:aws:s3:::lake", **PLACE}
        return re.sub(r"\$\{(!?)([^}]+)\}", lambda found: f"${{{found[2]}}}" if found[1] else known.get(found[2], found[2]), argument)
    return {key: resolved(item) for key, item in value.items()}


def is_allowed(document, action, resource, **variables):
    """Whether a policy's own statements allow it. Conditions are not looked at: the callers say what they assume."""
    effects = set()
    for statement in document["Statement"]:
        actions, patterns = ([entry] if isinstance(entry, str) else entry for entry in (statement["Action"], statement["Resource"]))
        if action not in actions:
            continue
        for pattern in patterns:
            for name, value in variables.items():
                pattern = pattern.replace("${" + name + "}", value)
            if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), resource):
                effects.add(statement["Effect"])
    return effects == {"Allow"}


def lint():
    command = [pathlib.Path(sys.executable).with_name("cfn-lint"), "--regions", "us-east-1", "eu-west-1", "--template", STACK]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def iot(kind, rest):
    return f"arn:{PLACE['AWS::Partition']}:iot:{PLACE['AWS::Region']}:{PLACE['AWS::AccountId']}:{kind}/{rest}"


def topics(site, device, thing):
    """What the agent says and hears below a device's own topics, and what AWS IoT Core has of its own."""
    own, id = f"farm/{site}/{device}", LONGEST
    says = [f"{own}/{name}" for name in ("readings", f"series/{'0' * 16}", "alarm", "status", "manifest", "doctor", "config/reported", f"command/response/{id}")]
    says += [f"$aws/rules/{NAME}_{rule}/{own}/{rule}" for rule in ("readings", "alarm", "manifest")]
    says += [f"$aws/things/{thing}/shadow/name/config/{verb}" for verb in ("get", "update")]
    says += [f"$aws/things/{thing}/jobs/{id}/update", f"$aws/commands/things/{thing}/executions/{id}/response/json"]
    hears = [f"{own}/config/desired", f"{own}/command/request/{id}", f"$aws/things/{thing}/shadow/name/config/update/delta"]
    hears += [f"$aws/things/{thing}/jobs/notify-next", f"$aws/commands/things/{thing}/executions/{id}/request/json"]
    return says, hears


def device_policy():
    document = resolved(properties["DevicePolicy"]["PolicyDocument"])
    me = {"iot:Connection.Thing.ThingName": DEVICE, "iot:Connection.Thing.Attributes[site]": SITE}
    says, hears = topics(SITE, DEVICE, DEVICE)
    assert is_allowed(document, "iot:Connect", iot("client", DEVICE), **me)
    for topic in says:
        assert is_allowed(document, "iot:Publish", iot("topic", topic), **me), topic
    for topic in hears:
        assert is_allowed(document, "iot:Subscribe", iot("topicfilter", topic), **me), topic
        assert is_allowed(document, "iot:Receive", iot("topic", topic), **me), topic
    assert is_allowed(document, "iot:RetainPublish", iot("topic", f"farm/{SITE}/{DEVICE}/status"), **me)
    # Of another device, or as if it stood at another site: nothing.
    assert not is_allowed(document, "iot:Connect", iot("client", "other"), **me)
    for site, device in ((SITE, "other"), ("other", DEVICE), (SITE, f"{DEVICE}0")):
        says, hears = topics(site, device, device if device != DEVICE else "other")
        for topic in says:
            assert not is_allowed(document, "iot:Publish", iot("topic", topic), **me), topic
        for topic in hears:
            assert not is_allowed(document, "iot:Subscribe", iot("topicfilter", topic), **me), topic
    for filter in ("#", "farm/#", f"farm/{SITE}/+/readings", "$aws/things/+/shadow/#"):
        assert not is_allowed(document, "iot:Subscribe", iot("topicfilter", filter), **me), filter
    # Nor may it hear other shadows than its own write to them.
    assert not is_allowed(document, "iot:Publish", iot("topic", f"$aws/things/{DEVICE}/shadow/name/other/update"), **me)


def claim_policy():
    document = resolved(properties["ClaimPolicy"]["PolicyDocument"])
    assert is_allowed(document, "iot:Connect", iot("client", f"claim-{DEVICE}"))
    for topic in ("$aws/certificates/create-from-csr/json", f"$aws/provisioning-templates/{NAME}/provision/json"):
        assert is_allowed(document, "iot:Publish", iot("topic", topic)), topic
        assert is_allowed(document, "iot:Subscribe", iot("topicfilter", f"{topic}/accepted")), topic
        assert is_allowed(document, "iot:Receive", iot("topic", f"{topic}/rejected")), topic
    assert not is_allowed(document, "iot:Connect", iot("client", DEVICE))
    assert not is_allowed(document, "iot:Publish", iot("topic", f"farm/{SITE}/{DEVICE}/readings"))


def device_role(lake):
    """What the agent wrote is what the role lets it write."""
    document = resolved(properties["DeviceRole"]["Policies"][0]["PolicyDocument"])
    keys = sorted(str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file())
    assert any(key.startswith("readings/") for key in keys) and any(key.startswith("manifests/") for key in keys), keys
    keys.append(f"doctor/v1/site={SITE}/device={DEVICE}/probe")
    me, other = {"credentials-iot:ThingName": DEVICE}, {"credentials-iot:ThingName": "other"}
    for key in keys:
        arn = f"arn:aws:s3:::lake/{key}"
        assert is_allowed(document, "s3:PutObject", arn, **me) and not is_allowed(document, "s3:PutObject", arn, **other), key
        assert is_allowed(document, "s3:GetObject", arn, **me) and not is_allowed(document, "s3:GetObject", arn, **other), key
        assert not is_allowed(document, "s3:DeleteObject", arn, **me), key


def limits():
    size = STACK.stat().st_size
    assert size <= TEMPLATE_BYTES_MAX, size
    policies = {name: len(re.sub(r"\s", "", json.dumps(resolved(properties[name]["PolicyDocument"])))) for name in ("DevicePolicy", "ClaimPolicy")}
    assert all(chars < POLICY_CHARS_MAX for chars in policies.values()), policies
    says, hears = topics(LONGEST, LONGEST, LONGEST)
    counted = [re.sub(r"^\$aws/rules/[^/]+/", "", topic) for topic in says + hears]
    longest, deepest = max(len(topic.encode()) for topic in counted), max(topic.count("/") for topic in counted)
    assert longest <= TOPIC_BYTES_MAX and deepest <= TOPIC_SLASHES_MAX, (longest, deepest)
    return {"template_bytes": size, "policy_chars": policies, "topic_bytes": longest, "topic_slashes": deepest}


def rules(line):
    """Each rule speaks the SQL of 2016, tells errors, and hears the topic that the agent says."""
    for name, topic in (("ManifestRule", "manifest"), ("AlarmRule", "alarm"), ("LiveRule", "readings")):
        payload = properties[name]["TopicRulePayload"]
        assert payload["AwsIotSqlVersion"] == "2016-03-23" and payload["ErrorAction"], name
        [listens] = re.findall(r"FROM '([^']+)'", payload["Sql"])
        assert re.fullmatch(listens.replace("+", "[^/]+"), f"farm/{SITE}/{DEVICE}/{topic}"), listens
        assert resolved(properties[name]["RuleName"]) == f"{NAME}_{topic}", "Basic Ingest names it"
    # The catalogue's keys are in the line, or the rule makes them.
    made = re.findall(r" AS (\w+)", properties["ManifestRule"]["TopicRulePayload"]["Sql"])
    keys = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in properties["Catalogue"]["AttributeDefinitions"]}
    for key, kind in keys.items():
        assert key in made or isinstance(line[key], {"S": str, "N": int}[kind]), key


def allow_list():
    """The Lambda as it stands in the template, on the real client with answers made up."""
    os.environ |= {"AWS_DEFAULT_REGION": "eu-west-1", "TABLE": "allowed", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    import botocore.stub

    scope = {}
    exec(properties["AllowFunction"]["Code"]["ZipFile"], scope)
    for answer, expected in (
        ({"Item": {"serial": {"S": "sn-1"}, "site": {"S": SITE}}}, {"allowProvisioning": True, "parameterOverrides": {"Site": SITE}}),
        ({"Item": {"serial": {"S": "sn-1"}}}, {"allowProvisioning": False}),
        ({}, {"allowProvisioning": False}),
    ):
        with botocore.stub.Stubber(scope["table"]) as table:
            table.add_response("get_item", answer, {"TableName": "allowed", "Key": {"serial": {"S": "sn-1"}}, "ConsistentRead": True})
            assert scope["handler"]({"parameters": {"SerialNumber": "sn-1", "Site": "elsewhere"}}, None) == expected
    assert scope["handler"]({"parameters": {}}, None) == {"allowProvisioning": False}
    body = json.loads(resolved(properties["ProvisioningTemplate"]["TemplateBody"]))
    assert body["Resources"]["thing"]["Properties"]["ThingName"] == {"Ref": "SerialNumber"}, "the policies go by it"


def manifest_line(lake):
    """One that the agent wrote: what `announce` publishes."""
    path = next(lake.glob("manifests/v1/**/manifest.ndjson.zst"))
    return json.loads(zstandard.open(path, "rt", encoding="utf-8").readline())


def main():
    lake = pathlib.Path(sys.argv[1])
    lint()
    device_policy()
    claim_policy()
    device_role(lake)
    rules(manifest_line(lake))
    measured = limits()
    # What the Lambda prints is not ours.
    stdout, sys.stdout = sys.stdout, sys.stderr
    allow_list()
    json.dump(measured, stdout)


main()
