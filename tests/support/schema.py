"""
A JSON schema's most used words, for documents whose shape is a standard's: type, enum, const, pattern, minimum,
minLength, required, properties, additionalProperties, items, and $ref to "#/definitions/NAME".
"""

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
KNOWN = {"type", "enum", "const", "pattern", "minimum", "minLength", "required", "properties", "additionalProperties",
         "items", "$ref", "definitions"}


class Invalid(AssertionError):
    pass


def check(value, schema, root=None, path="$"):
    """Raises Invalid, with the place, when the value is not of the schema."""
    root = schema if root is None else root
    if "$ref" in schema:
        return check(value, root["definitions"][schema["$ref"].removeprefix("#/definitions/")], root, path)
    assert schema.keys() <= KNOWN, f"words that are not checked: {schema.keys() - KNOWN}"

    def fail(why):
        raise Invalid(f"{path}: {why}: {value!r:.200}")
    if "type" in schema:
        kind = TYPES[schema["type"]]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            fail(f"is not of type {schema['type']}")
    if "enum" in schema and value not in schema["enum"]:
        fail(f"is none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        fail(f"is not {schema['const']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        fail(f"does not match {schema['pattern']}")
    if "minimum" in schema and value < schema["minimum"]:
        fail(f"is less than {schema['minimum']}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        fail("is too short")
    if isinstance(value, list):
        for i, item in enumerate(value):
            check(item, schema.get("items", {}), root, f"{path}[{i}]")
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                fail(f"has no {name}")
        properties = schema.get("properties", {})
        for name, item in value.items():
            if name in properties:
                check(item, properties[name], root, f"{path}.{name}")
            elif schema.get("additionalProperties", True) is False:
                fail(f"has {name}, which is not known")
            elif isinstance(schema.get("additionalProperties"), dict):
                check(item, schema["additionalProperties"], root, f"{path}.{name}")


def _object(required, **properties):
    return {"type": "object", "required": required.split(), "additionalProperties": False,
            "properties": {**properties, "properties": {"type": "object"}}}


_TEXT = {"type": "string"}
_INDEX = {"type": "integer", "minimum": -1}
# As URI references may be: RFC 3986's characters, and % with two digits.
_URI = {"type": "string", "minLength": 1, "pattern": r"^(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+\Z"}


def _list(name):
    return {"type": "array", "items": {"$ref": f"#/definitions/{name}"}}


# SARIF 2.1.0 (OASIS, 27 March 2020), section 3: the parts that heapsake writes, in our own words, and nothing beside
# them.
SARIF = {
    **_object("version runs", version={"const": "2.1.0"}, runs=_list("run"), **{"$schema": _URI}),
    "definitions": {
        "run": _object("tool", tool={"$ref": "#/definitions/tool"}, results=_list("result"),
                       invocations=_list("invocation")),
        "tool": _object("driver", driver={"$ref": "#/definitions/component"}),
        "component": _object("name", name={**_TEXT, "minLength": 1}, version=_TEXT, informationUri=_URI,
                             rules=_list("rule")),
        "rule": _object("id", id={**_TEXT, "minLength": 1}, shortDescription={"$ref": "#/definitions/message"}),
        "message": _object("text", text={**_TEXT, "minLength": 1}),
        "invocation": _object("executionSuccessful", executionSuccessful={"type": "boolean"},
                              toolExecutionNotifications=_list("notification")),
        "notification": _object("message", message={"$ref": "#/definitions/message"},
                                level={"enum": ["none", "note", "warning", "error"]}),
        "result": _object("message", ruleId=_TEXT, ruleIndex=_INDEX, message={"$ref": "#/definitions/message"},
                          level={"enum": ["none", "note", "warning", "error"]}, locations=_list("location"),
                          stacks=_list("stack"),
                          partialFingerprints={"type": "object", "additionalProperties": _TEXT}),
        "location": _object("", message={"$ref": "#/definitions/message"},
                            physicalLocation={"$ref": "#/definitions/physical"}, logicalLocations=_list("logical")),
        "physical": _object("artifactLocation", artifactLocation=_object("", uri=_URI, uriBaseId=_TEXT),
                            region=_object("", startLine={"type": "integer", "minimum": 1})),
        "logical": _object("", name=_TEXT, fullyQualifiedName=_TEXT, kind=_TEXT),
        "stack": _object("frames", message={"$ref": "#/definitions/message"}, frames=_list("frame")),
        "frame": _object("", location={"$ref": "#/definitions/location"}, module=_TEXT),
    },
}
