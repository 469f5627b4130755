"""AWS's own device SDK as the subscriber: subscribe_aws.py PORT CA CERT KEY FILTER

Connects to localhost with mutual TLS and MQTT 5, under the limits that the SDK knows of AWS IoT Core, says `subscribed`
once the broker has confirmed it, and then each message as a line of JSON.
"""

import json
import sys
import threading

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

port, ca, cert, key, topics = sys.argv[1:]
connected = threading.Event()


def heard(data):
    packet = data.publish_packet
    message = {"topic": packet.topic, "type": packet.content_type, "payload": json.loads(packet.payload)}
    print(json.dumps(message), flush=True)


client = mqtt5_client_builder.mtls_from_path(
    endpoint="localhost",
    port=int(port),
    ca_filepath=ca,
    cert_filepath=cert,
    pri_key_filepath=key,
    client_id="aws-sdk",
    on_publish_received=heard,
    on_lifecycle_connection_success=lambda _: connected.set(),
    on_lifecycle_connection_failure=lambda failure: print(failure.exception, flush=True),
)
client.start()
connected.wait()
subscription = mqtt5.Subscription(topic_filter=topics, qos=mqtt5.QoS.AT_LEAST_ONCE)
client.subscribe(mqtt5.SubscribePacket(subscriptions=[subscription])).result()
print("subscribed", flush=True)
threading.Event().wait()
