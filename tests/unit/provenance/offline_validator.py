"""The official RO-Crate validator without a network: its cache is filled with the one context that it would fetch."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import requests
import rocrate
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
TERMS = (
    "ComputerLanguage ControlAction CreateAction CreativeWork Dataset DefinedTerm File HowTo HowToStep "
    "OrganizeAction Person PropertyValue SoftwareApplication SoftwareSourceCode WebPage about actionStatus "
    "additionalType agent author conformsTo contentSize datePublished description encodingFormat endTime "
    "exampleOfWork hasPart identifier instrument license mainEntity mentions multipleValues name object "
    "position programmingLanguage propertyID result softwareRequirements startTime step subjectOf unitCode "
    "url value version workExample"
)
"""Terms of RO-Crate 1.1 that the crate uses. The validator refuses any other, so a new term must be looked up in 1.1
(https://w3id.org/ro/crate/1.1/context) and added here; what 1.1 lacks, the crate defines itself."""
OLD = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
"""Terms whose address is another in 1.1 than in 1.3, whose context comes with the library."""


class FromLibrary(BaseAdapter):
    """Answers for w3id.org with the terms that the library ships."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        shipped = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())["@context"]
        body = json.dumps({"@context": {term: shipped[term] for term in TERMS.split()} | OLD}).encode()
        headers = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(io.BytesIO(body), headers, 200, preload_content=False, request_url=request.url)
        response = requests.Response()
        response.status_code, response.url, response.request, response.raw = 200, request.url, request, raw
        response.headers.update(headers)
        return response

    def close(self) -> None:
        """Nothing is open."""


def fill_cache(cache: Path) -> Path:
    """A cache for the validator, with the RO-Crate 1.1 context in it."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", FromLibrary())
        session.get(CONTEXT)
    return cache


def issues(crate: Path, cache: Path, severity: str, profile: str) -> set[tuple[str, str]]:
    """What the validator finds down to a severity: severity and name of each check that failed."""
    from rocrate_validator.models import Severity, ValidationSettings
    from rocrate_validator.services import validate

    logging.disable(logging.WARNING)  # it logs each issue once more, and prints the log when the tests are over
    try:
        result = validate(ValidationSettings(
            rocrate_uri=crate.as_posix(), profile_identifier=profile, requirement_severity=Severity[severity],
            offline=True, cache_path=cache, disable_remote_crate_download=False,
        ))  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    found = {(issue.severity.name, issue.check.name) for issue in result.get_issues()}
    assert result.passed() is (not found)
    return found
