"""What plain TCP makes of a line: bulk.py receive PORT | bulk.py send ADDRESS PORT BYTES

Sends so many bytes over one connection, and says, as JSON, how many seconds it took until the other end had them all:
the measure of what is the line's fault and TCP's, and what is ours.
"""

import json
import socket
import sys
import time

CHUNK = 64 << 10


def receive(port):
    server = socket.create_server(("0.0.0.0", port))
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        while connection.recv(CHUNK):
            pass
        # All of it is here.
        connection.sendall(b".")
        connection.close()


def send(address, port, size):
    connection = socket.create_connection((address, port))
    begin = time.monotonic()
    connection.sendall(bytes(size))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(json.dumps({"seconds": time.monotonic() - begin}), flush=True)


if sys.argv[1] == "receive":
    receive(int(sys.argv[2]))
else:
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
