"""`/docs`: every route of the API, from its OpenAPI description, to read and to try. Needs no other host."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Response

from app.web.page import page
from app.web.pages import with_imports


def router(app: FastAPI) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    def docs() -> Response:
        return page("Candlewick API", render(app.openapi()), here="/docs", modules=with_imports("docs.js"))

    return routes


def render(description: dict[str, Any]) -> str:
    """The body of the page for an OpenAPI `description`."""
    info = description["info"]
    operations = "".join(
        _operation(path, operation) for path, methods in description["paths"].items() for operation in methods.values()
    )
    schemas = "".join(_schema(name, schema) for name, schema in description["components"]["schemas"].items())
    return (
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>"
        f"<p><a href='openapi.json'>openapi.json</a></p><p>{_prose(info['description'])}</p>"
        f"<h2>Routes</h2>{operations}<h2>Answers</h2>{schemas}"
    )


def _operation(path: str, operation: dict[str, Any]) -> str:
    parameters = operation.get("parameters", [])
    about, fields = ("".join(map(part, parameters)) for part in (_parameter, _field))
    form = f'<form data-path="{escape(path)}">{fields}<button>try it</button></form><pre hidden></pre>'
    answers = "".join(_answer(code, answer) for code, answer in sorted(operation["responses"].items()))
    return (
        f"<details open><summary><b>GET</b> <code>{escape(path)}</code></summary>"
        f"<p>{_prose(operation.get('description', ''))}</p>"
        + (f'<div class="scroll"><table><tbody>{about}</tbody></table></div>' if about else "")
        + (_example(operation) or form)
        + f'<div class="scroll"><table><tbody>{answers}</tbody></table></div></details>'
    )


def _example(operation: dict[str, Any]) -> str:
    """The example of an answer that is not JSON, if any. It may be endless, so it is only shown."""
    kinds = operation["responses"]["200"].get("content", {})
    texts = [kind["example"] for name, kind in kinds.items() if name != "application/json" and "example" in kind]
    return "".join(f"<pre>{escape(text)}</pre>" for text in texts)


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    default = f", {schema['default']} if absent" if schema.get("default") not in (None, "", []) else ""
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td class='text'>{escape(_type(schema) + default)}</td>"
        f"<td class='text wrap'>{_prose(parameter.get('description') or schema.get('description', ''))}</td></tr>"
    )


def _field(parameter: dict[str, Any]) -> str:
    schema, name = parameter["schema"], escape(parameter["name"])
    examples = schema.get("examples", [""])
    value = escape(str(schema.get("default", examples[0] if parameter["in"] == "path" else "")))
    return f'<label>{name}<input name="{name}" data-in="{escape(parameter["in"])}" value="{value}" size="12"></label>'


def _answer(code: str, answer: dict[str, Any]) -> str:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return (
        f"<tr><td><code>{escape(code)}</code></td><td class='text wrap'>{escape(answer['description'])}</td>"
        f"<td class='text'>{_link(_type(schema))}</td></tr>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td class='text wrap'>{_link(_type(about))}</td>"
        f"<td class='text wrap'>{_prose(about.get('description', ''))}</td></tr>"
        for field, about in schema.get("properties", {}).items()
    )
    values = ", ".join(map(str, schema.get("enum", [])))
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{_prose(values or schema.get('description', ''))}</p>"
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div></details>'
    )


def _prose(text: str) -> str:
    """`text` as HTML; text between backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words: `integer`, `list of Candle`, `string or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {})) or 'anything'}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    return str(schema.get("type", ""))


def _link(text: str) -> str:
    """`text` as HTML; the names of schemas become links. A list of values, with commas, has none."""
    return escape(text) if "," in text else re.sub(r"\b[A-Z]\w+", r'<a href="#\g<0>">\g<0></a>', escape(text))
