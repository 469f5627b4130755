"""An AWS IoT credentials provider: provider.py CONFIG

CONFIG: {"port", "cert", "key", "ca", "store": {"endpoint", "key_id", "secret", "region"}, "role", "alias", "mood"}

Asks for a certificate (mutual TLS), and gives keys of the store's own STS for it, so that the store verifies them. What
AWS documents is kept: the path, the header with the thing's name, 403 where that is not the certificate's, the shape of the
answer. `mood` is a file that is read for every request: {"life_s": how long what is given is said to last, "denied": bool}.
Says `listening`, then a line a request.
"""

import datetime
import http.server
import json
import re
import ssl
import sys

import boto3

config = json.loads(sys.argv[1])
store = config["store"]
sts = boto3.client(
    "sts",
    endpoint_url=f"http://{store['endpoint']}",
    aws_access_key_id=store["key_id"],
    aws_secret_access_key=store["secret"],
    region_name=store["region"],
)


class Provider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, answer, line):
        print(line, flush=True)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        mood = json.load(open(config["mood"]))
        subject = dict(part[0] for part in self.connection.getpeercert()["subject"])
        thing = self.headers.get("x-amzn-iot-thingname")
        asked = re.fullmatch(r"/role-aliases/([\w+=,@-]+)/credentials", self.path)
        if asked is None:
            return self.say(404, {"message": "Invalid Request"}, f"lost {self.path}")
        if mood.get("denied") or asked[1] != config["alias"] or (thing and thing != subject["commonName"]):
            return self.say(403, {"message": "Access Denied"}, f"denied {thing}")
        given = sts.assume_role(RoleArn=config["role"], RoleSessionName=thing or "nobody", DurationSeconds=900)
        given = given["Credentials"]
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=mood["life_s"])
        credentials = {
            "accessKeyId": given["AccessKeyId"],
            "secretAccessKey": given["SecretAccessKey"],
            "sessionToken": given["SessionToken"],
            "expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.say(200, {"credentials": credentials}, f"given {thing}")


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(config["cert"], config["key"])
tls.load_verify_locations(config["ca"])
tls.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", config["port"]), Provider)
server.socket = tls.wrap_socket(server.socket, server_side=True)
print("listening", flush=True)
server.serve_forever()
