#!/usr/bin/env python3
"""Checks the manifests whose kinds are not Kubernetes' own against their definitions (CRDs).

    check-crds.py FOLDER-WITH-CRDS MANIFEST...

Needs PyYAML and jsonschema. Properties that a definition does not know are errors.
"""
import pathlib
import sys

import jsonschema
import yaml


def strict(schema):
    """As an API server with strict field validation reads it."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        if schema.pop("x-kubernetes-int-or-string", False):
            schema.pop("type", None)
        for key in schema:
            if key != "required":
                strict(schema[key])
    elif isinstance(schema, list):
        for item in schema:
            strict(item)


def main():
    folder, manifests = pathlib.Path(sys.argv[1]), sys.argv[2:]
    schemas = {}
    for file in folder.glob("*.yaml"):
        for crd in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if not crd or crd.get("kind") != "CustomResourceDefinition":
                continue
            for version in crd["spec"]["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                strict(schema)
                schema["properties"]["metadata"] = {"type": "object"}
                name = f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]
                schemas[name] = schema
    failed = unknown = 0
    for path in manifests:
        for document in yaml.safe_load_all(pathlib.Path(path).read_text(encoding="utf-8")):
            schema = schemas.get((document["apiVersion"], document["kind"]))
            what = f"{path}: {document['kind']}/{document['metadata']['name']}"
            if schema is None:
                unknown += 1
                print(f"{what}: no definition here")
                continue
            errors = list(jsonschema.Draft7Validator(schema).iter_errors(document))
            failed += bool(errors)
            print(f"{what}: {'; '.join(e.message for e in errors) or 'as its definition says'}")
    return 1 if failed or unknown else 0


sys.exit(main())
