"""Another client with the agent's id: taker.py PORT CLIENT_ID

Says `taken` once it is connected, and a line for each time that it was thrown out again.
"""

import sys
import time

import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=sys.argv[2], protocol=mqtt.MQTTv5)
client.on_connect = lambda *_: print("taken", flush=True)
client.on_disconnect = lambda *_: print("thrown out", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
while True:
    time.sleep(3600)
