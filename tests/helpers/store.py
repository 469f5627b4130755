"""A client of the object store: boto3, and nothing of the agent's.

usage: store.py STORE make-bucket BUCKET | put-if-absent BUCKET KEY TEXT | keys BUCKET
                      | put BUCKET KEY FILE | get BUCKET KEY FILE | delete BUCKET KEY
STORE: {"endpoint", "key_id", "secret", "region"}
"""

import json
import sys

import boto3
import botocore.config
import botocore.exceptions

store, command, bucket, *rest = json.loads(sys.argv[1]), *sys.argv[2:]
client = boto3.client(
    "s3",
    endpoint_url=f"http://{store['endpoint']}",
    aws_access_key_id=store["key_id"],
    aws_secret_access_key=store["secret"],
    region_name=store["region"],
    config=botocore.config.Config(s3={"addressing_style": "path"}),
)

if command == "make-bucket":
    client.create_bucket(Bucket=bucket)
elif command == "put-if-absent":
    try:
        answer = client.put_object(Bucket=bucket, Key=rest[0], Body=rest[1].encode(), IfNoneMatch="*")
    except botocore.exceptions.ClientError as error:
        answer = error.response
    print(answer["ResponseMetadata"]["HTTPStatusCode"])
elif command == "put":
    client.put_object(Bucket=bucket, Key=rest[0], Body=open(rest[1], "rb").read())
elif command == "get":
    open(rest[1], "wb").write(client.get_object(Bucket=bucket, Key=rest[0])["Body"].read())
elif command == "delete":
    client.delete_object(Bucket=bucket, Key=rest[0])
elif command == "keys":
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            print(found["Key"])
else:
    sys.exit(f"no such command: {command}")
