"""What an OpenAPI description (3.0) says of a request and of an answer."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from tests.support.stand_in import Answered, Asked

_URI = "urn:described"


class OpenApiJudge:
    """Judges by a file; `below` is where the described paths begin."""

    def __init__(self, file: Path, below: str) -> None:
        self._file, self._below = file, below

    @cached_property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        return found

    @cached_property
    def _registry(self) -> Registry:
        return Registry().with_resource(_URI, Resource(contents=self.document, specification=DRAFT4))

    @cached_property
    def _templates(self) -> list[tuple[re.Pattern[str], str]]:
        # the more a path says itself, the better it fits
        paths = sorted(self.document["paths"], key=lambda path: path.count("{"))
        return [(re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))), path) for path in paths]

    def wrong_with(self, asked: Asked) -> list[str]:
        found = self._operation(asked)
        if found is None:
            return ["no such path, or method"]
        template, operation = found
        described = [self._resolved(p) for p in operation.get("parameters", [])]
        wrong = []
        given = {(p["name"], p["in"]): p for p in described}
        for name, text in asked.query:
            if ("query", name) not in {(place, n) for n, place in given}:
                wrong.append(f"query parameter {name} is not described")
            else:
                wrong += self._values_wrong(given[name, "query"]["schema"], text, f"query parameter {name}")
        names = re.findall(r"{([^}]+)}", template)
        steps = re.fullmatch(re.sub(r"\\{[^}]+\\}", "([^/]+)", re.escape(template)), asked.path[len(self._below) :])
        assert steps
        for name, text in zip(names, steps.groups(), strict=True):
            wrong += self._values_wrong(given[name, "path"]["schema"], text, f"path parameter {name}")
        there = {name for name, _ in asked.query}
        wrong += [
            f"{n} is missing"
            for (n, place), p in given.items()
            if place == "query" and p.get("required") and n not in there
        ]
        return wrong + self._body_wrong(template, operation, asked)

    def _body_wrong(self, template: str, operation: dict[str, Any], asked: Asked) -> list[str]:
        if "requestBody" not in operation:
            return ["a body is not described"] if asked.body is not None else []
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        pointer = f"/paths/{_escaped(template)}/{asked.method.lower()}/requestBody/content/application~1json/schema"
        wrong = self._against(pointer, asked.body, "body")
        if isinstance(asked.body, dict):
            known = set(schema.get("properties", {}))
            for one in schema.get("oneOf", []) + schema.get("anyOf", []):
                known |= set(self._resolved(one).get("properties", {}))
            wrong += [f"body: {name} is not described" for name in set(asked.body) - known]
        return wrong

    def wrong_with_answer(self, asked: Asked, answer: Answered) -> list[str]:
        found = self._operation(asked)
        assert found
        template, operation = found
        if str(answer.status) not in operation["responses"]:
            return [f"HTTP {answer.status} is not described"]
        response = operation["responses"][str(answer.status)]
        at = f"/paths/{_escaped(template)}/{asked.method.lower()}/responses/{answer.status}"
        if "$ref" in response:
            at, response = response["$ref"].removeprefix("#"), self._resolved(response)
        if "application/json" not in response.get("content", {}):
            return ["an answer with a body is not described"] if answer.body is not None else []
        return self._against(f"{at}/content/application~1json/schema", answer.body, "answer")

    def example(self, name: str) -> Any:
        return self.document["components"]["examples"][name]["value"]

    def _operation(self, asked: Asked) -> tuple[str, dict[str, Any]] | None:
        if not asked.path.startswith(self._below):
            return None
        path = asked.path[len(self._below) :]
        for pattern, template in self._templates:
            if pattern.fullmatch(path) and asked.method.lower() in self.document["paths"][template]:
                return template, self.document["paths"][template][asked.method.lower()]
        return None

    def _resolved(self, thing: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in thing:
            return thing
        found: Any = self.document
        for step in thing["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return self._resolved(found)

    def _values_wrong(self, schema: dict[str, Any], text: str, what: str) -> list[str]:
        value: Any = text
        kind = self._resolved(schema).get("type")
        if kind in ("integer", "boolean"):
            try:
                value = json.loads(text)
            except ValueError:
                return [f"{what}: {text!r} is no {kind}"]
        return [f"{what}: {e.message[:200]}" for e in self._validator(schema).iter_errors(value)]

    def _against(self, pointer: str, value: Any, what: str) -> list[str]:
        errors = self._validator({"$ref": f"{_URI}#{pointer}"}).iter_errors(value)
        return [f"{what} {'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors]

    def _validator(self, schema: dict[str, Any]) -> OAS30Validator:
        return OAS30Validator(schema, registry=self._registry, format_checker=oas30_format_checker)


def _escaped(template: str) -> str:
    return template.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
