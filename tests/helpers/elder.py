"""A broker that speaks MQTT 3.1.1 and nothing else, written by others (amqtt): elder.py PORT

Says `listening` once it does. Whoever gives a name must know the password `deep water`. It forgets everything when it
ends. To a CONNECT of MQTT 5 that has a will it says nothing at all: it waits for the rest.
"""

import asyncio
import sys

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin


class Login(BaseAuthPlugin):
    async def authenticate(self, *, session):
        return not session.username or session.password == "deep water"


async def main():
    listener = {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}
    broker = Broker({"listeners": {"default": listener}, "plugins": {"__main__.Login": {}}})
    await broker.start()
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
