"""A broker that closes the connection over a message it dislikes: picky.py WORD REASON [VERSION]

Speaks as much of MQTT 5 as a publisher needs, prints its port, and then, as JSON, each message that it took. A publish
whose payload holds WORD is answered by a DISCONNECT with REASON (two hex digits), or by the end of the connection
without one (REASON `none`), every time. With 3.1.1 as VERSION it speaks that instead, and refuses MQTT 5 in the words
of 3.1.1. A double: brokers that do this can not be told to.
"""

import json
import socket
import sys
import threading

word, reason = sys.argv[1].encode(), sys.argv[2]
is_old = sys.argv[3:] == ["3.1.1"]


def packet(connection):
    """The first byte and the body of the next packet."""
    first = connection.recv(1)
    if not first:
        return None, b""
    length = shift = 0
    while True:
        byte = connection.recv(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return first[0], body


def serve(connection):
    while True:
        first, body = packet(connection)
        if first is None:
            return
        kind = first >> 4
        if kind == 1 and is_old:
            is_refused = body[6] != 4
            connection.sendall(bytes([0x20, 2, 0, int(is_refused)]))
            if is_refused:
                return connection.close()
        elif kind == 1:
            connection.sendall(bytes([0x20, 3, 0, 0, 0]))
        elif kind == 12:
            connection.sendall(bytes([0xD0, 0]))
        elif kind == 3:
            topic = int.from_bytes(body[:2], "big")
            number = body[2 + topic : 4 + topic]
            payload = body[4 + topic :] if is_old else body[5 + topic + body[4 + topic] :]
            if word in payload:
                if reason != "none":
                    connection.sendall(bytes([0xE0, 2, int(reason, 16), 0]))
                # What else is on its way is read, or the end would overtake the reason.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
                return
            print(json.dumps({"topic": body[2 : 2 + topic].decode(), "payload": json.loads(payload)}), flush=True)
            connection.sendall(bytes([0x40, 2]) + number)
        elif kind == 14:
            return


server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()
