"""A receiver of OTLP logs: it acknowledges what is on disk. Usage: receiver.py PORT FILE"""

import json
import os
import sys
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

port, path = sys.argv[1:]


def without_torn_end(path):
    """Opens `path` to append to, without what follows its last whole line: no kill can have let that be acknowledged."""
    with open(path, "a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    return open(path, "a", encoding="utf-8")


file = without_torn_end(path)


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        for resource in request.resource_logs:
            named = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    line = {"resource": named, "scope": scope.scope.name, "log": MessageToDict(record)}
                    file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
        return logs_service_pb2.ExportLogsServiceResponse()


# A collector that has much to pass on does so in larger messages than gRPC takes by default, which are 4 MiB.
MESSAGE_BYTES_MAX = 2**26
options = [("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
# One after the other, so that lines stand in the order in which they came.
server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=options)
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
if not server.add_insecure_port(f"127.0.0.1:{port}"):
    sys.exit(f"port {port} is taken")
server.start()
print("listening", flush=True)
server.wait_for_termination()
