"""Real answers of the API, compared with what the API says of itself."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import lru_cache
from typing import Any

import jsonschema
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pps.web.api.openapi import described
from pps.web.app import PUBLIC


@lru_cache(maxsize=4)
def strict_document(app: FastAPI) -> dict[str, Any]:
    """The description, without room for keys that it does not name."""
    strict = deepcopy(described(app, PUBLIC, ""))
    for schema in strict["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return strict


def as_described(client: TestClient, answer: Any) -> Any:
    """The same answer; fails unless it holds what is described and no more."""
    app = client.app
    assert isinstance(app, FastAPI)
    document = strict_document(app)
    method, place = answer.request.method.lower(), answer.request.url.path
    found = [path for path in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), place)]
    responses = document["paths"][min(found, key=lambda path: path.count("{"))][method]["responses"]
    said = responses.get(str(answer.status_code)) or responses[f"{answer.status_code // 100}XX"]
    schema = said["content"]["application/json"]["schema"]
    whole = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    wrong = [f"{error.json_path}: {error.message[:200]}" for error in whole.iter_errors(answer.json())]
    assert not wrong, f"{method} {place}: {wrong[:3]}; see pps.web.api"
    return answer
