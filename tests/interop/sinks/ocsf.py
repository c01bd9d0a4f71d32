"""Checks lines on standard input against the OCSF schema, as the package `ocsf-json-schema` brings it along.

Prints one JSON object: how many events there were, and what is wrong with them.
"""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

# The events say 1.5.0; who reads them may have another one.
VERSIONS = ["1.3.0", "1.5.0", "1.8.0"]


def validator(version):
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    return Draft202012Validator(schema.get_class_schema(class_name="api_activity", profiles=[]))


validators = {version: validator(version) for version in VERSIONS}
events, wrong = 0, []
for line in sys.stdin:
    event = json.loads(line)
    events += 1
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        wrong.append(f"{events}: type_uid")
    for version, schema in validators.items():
        wrong += [f"{events}: {version}: {error.json_path}: {error.message}" for error in schema.iter_errors(event)]
# The control: without what it must have, and with what there is not, an event is refused.
control = {name: value for name, value in event.items() if name != "actor"} | {"surprise": 1}
refused = all(len(list(schema.iter_errors(control))) >= 2 for schema in validators.values())
print(json.dumps({"events": events, "wrong": wrong[:20], "control": refused}))
