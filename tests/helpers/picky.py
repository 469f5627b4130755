"""A broker that closes the connection over a message it dislikes: picky.py WORD REASON [VERSION [BYTES]]

Speaks as much of MQTT 5 as a publisher needs, prints its port, and then, as JSON, each message that it took. A publish
whose payload holds WORD (`@FILE`: what FILE holds at the time) is answered by a DISCONNECT with REASON (two hex digits),
or by the end of the connection without one (REASON `none`), every time. With 3.1.1 as VERSION it speaks that instead, and
refuses MQTT 5 in the words of 3.1.1. With BYTES each client gets a message of that size at QoS 1 as soon as it has
connected, though it has not subscribed to anything; whether it confirms it is printed (`confirmed`), as is the largest
packet that it says it takes (`takes` BYTES). A double: brokers that do this can not be told to.
"""

import json
import socket
import sys
import threading

word, reason = sys.argv[1].encode(), sys.argv[2]


def disliked():
    """What it dislikes now: WORD, or what the file holds that is named by it."""
    if not word.startswith(b"@"):
        return word
    with open(word[1:], "rb") as file:
        return file.read()


is_old = sys.argv[3:4] == ["3.1.1"]
unasked = bytes(int(sys.argv[4])) if sys.argv[4:] else None

# MQTT 5, section 3.1.2.11: the properties of a CONNECT that have a length of their own, and that of the largest packet.
LENGTHS, PACKET_BYTES_MAX = {0x11: 4, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x27: 4}, 0x27


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


def length_at(body, at):
    """A length of variable size, and where what it counts begins."""
    length = shift = 0
    while True:
        length |= (body[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if body[at - 1] < 0x80:
            return length, at


def packet_bytes_max(body):
    """The largest packet that a client of MQTT 5 takes, from its CONNECT; None: any."""
    length, at = length_at(body, 10)
    end = at + length
    while at < end:
        kind, size = body[at], LENGTHS[body[at]]
        if kind == PACKET_BYTES_MAX:
            return int.from_bytes(body[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return None


def push(connection):
    """PUBLISH, QoS 1, packet identifier 7."""
    body = b"\x00\x03cmd\x00\x07" + (b"" if is_old else b"\x00") + unasked
    left, length = len(body), b""
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            break
    connection.sendall(b"\x32" + length + body)


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
            if unasked is not None:
                push(connection)
        elif kind == 1:
            connection.sendall(bytes([0x20, 3, 0, 0, 0]))
            if unasked is not None:
                most = packet_bytes_max(body)
                print("takes", most, flush=True)
                # MQTT 5, section 3.1.2.11.4: what is larger must not be sent. Some 16 bytes stand before it.
                if most is None or len(unasked) + 16 <= most:
                    push(connection)
        elif kind == 4:
            print("confirmed" if body[:2] == b"\x00\x07" else "confirmed another", flush=True)
        elif kind == 12:
            connection.sendall(bytes([0xD0, 0]))
        elif kind == 3:
            topic = int.from_bytes(body[:2], "big")
            number = body[2 + topic : 4 + topic]
            payload = body[4 + topic :] if is_old else body[5 + topic + body[4 + topic] :]
            if disliked() in payload:
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
