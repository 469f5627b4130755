"""Subscribes at QoS 1 with a durable session and writes each message as one line of JSON.

usage: subscribe.py PORT FILTER FILE [VERSION]

VERSION is 5 unless it is 3.1.1. `subscribed` on stdout says that the broker has confirmed. A broker that goes away is waited for. A payload that is
no JSON is written as null, with its bytes in `base64`. The session is called as the file is.
"""

import base64
import json
import os.path
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, topic_filter, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
out = open(path, "w", buffering=1, encoding="utf-8")


def on_connect(client, _userdata, _flags, reason, _properties):
    if not reason.is_failure:
        client.subscribe(topic_filter, qos=1)


def on_subscribe(_client, _userdata, _mid, _reasons, _properties):
    print("subscribed", flush=True)


def on_message(_client, _userdata, message):
    line = {"topic": message.topic, "retained": bool(message.retain), "bytes": len(message.payload)}
    line["content_type"] = getattr(message.properties, "ContentType", None)
    try:
        line["payload"] = json.loads(message.payload)
    except ValueError:
        line["payload"] = None
        line["base64"] = base64.b64encode(message.payload).decode()
    out.write(json.dumps(line) + "\n")


is_5 = sys.argv[4:] != ["3.1.1"]
how = {"protocol": mqtt.MQTTv5} if is_5 else {"protocol": mqtt.MQTTv311, "clean_session": False}
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=os.path.basename(path), **how)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.reconnect_delay_set(min_delay=1, max_delay=1)
terms = {}
if is_5:
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    terms = {"clean_start": False, "properties": session}
client.connect("127.0.0.1", port, keepalive=60, **terms)
client.loop_forever(retry_first_connection=True)
