"""An S3 server that checks every signature, for the tests of backups: moto, with Amazon's own botocore.

Prints PORT ACCESS-KEY SECRET-KEY when the bucket named by its argument is there, and ends with its
standard input.
"""

import os
import sys

# Users, keys and buckets are made before anybody has a key.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3
from moto.server import ThreadedMotoServer

ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()


def client(service):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


iam = client("iam")
iam.create_user(UserName="skiff")
iam.put_user_policy(UserName="skiff", PolicyName="all", PolicyDocument=ALL)
key = iam.create_access_key(UserName="skiff")["AccessKey"]
client("s3").create_bucket(Bucket=sys.argv[1])
print(port, key["AccessKeyId"], key["SecretAccessKey"], flush=True)
sys.stdin.read()
