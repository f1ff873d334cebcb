"""Reads config/*.yaml. What is wrong comes back as sentences with file and place, all at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pps.config.activity_models import ActivitiesFile
from pps.config.people_models import PeopleFile
from pps.config.policy_models import Policies
from pps.config.pool_models import PoolsFile
from pps.config.scenario_models import ScenariosFile
from pps.config.service_models import ServiceFile
from pps.config.site_models import SiteModel, SitesFile
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError, RolloutError
from pps.domain.base.names import is_name
from pps.domain.people.effort import Activity
from pps.domain.people.providers import Provider
from pps.domain.quality.pools import Pool, checked_pools
from pps.domain.quality.pools import contradictions as pool_contradictions
from pps.domain.quality.scenarios import Scenario, checked_table, contradictions
from pps.domain.sites.site import Site

_MOST_BYTES = 4 * 1024 * 1024
M = TypeVar("M", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML: no aliases (billion laughs), no key twice, no tags beyond the safe ones."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key_node.value!r} stands twice", problem_mark=key_node.start_mark
                )
            if isinstance(key_node.value, str):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read one YAML file strictly; `ConfigurationError` with line and column when it is malformed."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read ({error.strerror}).", "Create it, or set PPS_CONFIG to the right folder."
        ) from error
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(str(path), f"is larger than {_MOST_BYTES} bytes.", "Split or shorten it.")
    try:
        return yaml.load(data, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(
            f"{path.name}{where}", f"{error.problem or 'is not YAML'}.", "Correct the file."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(path.name, f"is not YAML ({type(error).__name__}).", "Correct the file.") from error


_PLAIN_WORDS = {
    "extra_forbidden": "is not a key that we know",
    "missing": "is missing",
    "string_pattern_mismatch": "does not look as it should (docs/sites.md and the comments in the file show how)",
}


def _place(raw: Any, loc: tuple[int | str, ...]) -> str:
    """Where a problem is, e.g. `sites.PIC.ssh.port`: people know a site by its name, not by its number."""
    words = []
    for part in loc:
        try:
            raw = raw[part]
        except (LookupError, TypeError):  # what is missing has no value to go on with
            raw = None
        name = raw.get("name", raw.get("key")) if isinstance(part, int) and isinstance(raw, dict) else None
        words.append(str(name if is_name(name) else part))
    return ".".join(words) or "file"


def _sentence(kind: str, message: str) -> str:
    return _PLAIN_WORDS.get(kind, message.removeprefix("Value error, ")).rstrip(".") + "."


def site_problems(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Every problem of one entry of sites.yaml as a sentence; none means that it is good."""
    found = _validated(dict(entry), SiteModel)
    if isinstance(found, tuple):
        return found
    try:
        found.to_domain()
    except RolloutError as error:
        return (str(error),)
    return ()


def _read_or_list(path: Path, model: type[M]) -> M | tuple[str, ...]:
    return _validated(read_yaml(path), model)


def _validated(raw: Any, model: type[M]) -> M | tuple[str, ...]:
    try:
        return model.model_validate(raw if raw is not None else {})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return tuple(f"{_place(raw, e['loc'])}: {_sentence(e['type'], e['msg'])}" for e in problems)


def problems_in(path: Path, model: type[BaseModel]) -> tuple[str, ...]:
    """Every problem of one file as a sentence that begins with its place; none means that it is good."""
    try:
        found = _read_or_list(path, model)
    except ConfigurationError as error:
        return (str(error),)
    return found if isinstance(found, tuple) else ()


def read_model(path: Path, model: type[M]) -> M:
    """Read and check one file; the first 20 problems are listed with their places in the file."""
    return checked_model(path.name, read_yaml(path), model)


def checked_model(name: str, raw: Any, model: type[M]) -> M:
    """The same, for what was read already; `name` is the file's."""
    found = _validated(raw, model)
    if isinstance(found, tuple):
        raise ConfigurationError(name, " ".join(found[:20]), "Correct the file.")
    return found


@dataclass(frozen=True)
class Configuration:
    """One configuration folder. Files are read when first asked for, each once."""

    folder: Path

    def has(self, file: str) -> bool:
        """Tell whether there is a file of this name."""
        return (self.folder / file).exists()

    def read(self, file: str, model: type[M]) -> M:
        """Read and check one file."""
        return read_model(self.folder / file, model)

    @cached_property
    def policies(self) -> Policies:
        """policies.yaml"""
        return self.read("policies.yaml", Policies)

    @cached_property
    def service(self) -> ServiceFile:
        """service.yaml"""
        return self.read("service.yaml", ServiceFile)

    @cached_property
    def tracker(self) -> TrackerFile:
        """tracker.yaml"""
        return self.read("tracker.yaml", TrackerFile)

    @cached_property
    def people(self) -> PeopleFile:
        """people.yaml"""
        return self.read("people.yaml", PeopleFile)

    @cached_property
    def providers(self) -> tuple[Provider, ...]:
        """Of people.yaml: who provides which products."""
        return tuple(p.to_domain() for p in self.people.providers)

    @cached_property
    def sites_file(self) -> SitesFile:
        """sites.yaml as it stands"""
        return self.read("sites.yaml", SitesFile)

    @cached_property
    def sites(self) -> dict[str, Site]:
        """The registry, by name."""
        return {s.name: s.to_domain(self.sites_file.kits_wanted_from) for s in self.sites_file.sites}

    @cached_property
    def scenarios(self) -> tuple[Scenario, ...]:
        """scenarios.yaml; none without such a file: a deployment test that wants one says where to declare it.

        `ConfigurationError` if they contradict each other, the registry or people.yaml.
        """
        if not self.has("scenarios.yaml"):
            return ()
        scenarios = tuple(s.to_domain() for s in self.read("scenarios.yaml", ScenariosFile).scenarios)
        return checked_table(scenarios, self.contradictions(scenarios))

    def contradictions(self, scenarios: Iterable[Scenario]) -> tuple[str, ...]:
        """What in these scenarios contradicts each other, the registry or people.yaml."""
        rocs, vos = ([party.name for party in parties] for parties in (self.people.rocs, self.people.vos))
        return contradictions(scenarios, self.sites, rocs=rocs, vos=vos)

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """pools.yaml; none without such a file. `ConfigurationError` if they contradict each other or the registry."""
        if not self.has("pools.yaml"):
            return ()
        pools = tuple(p.to_domain() for p in self.read("pools.yaml", PoolsFile).pools)
        return checked_pools(pools, pool_contradictions(pools, self.sites))

    def site(self, name: str) -> Site:
        """One site; `ConfigurationError` if the registry does not have it."""
        if name not in self.sites:
            raise ConfigurationError(f"site {name!r}", "is not in sites.yaml.", "Names are listed by: pps sites list.")
        return self.sites[name]

    @cached_property
    def activities(self) -> dict[str, Activity]:
        """activities.yaml, by key, in the file's order"""
        return {a.key: a.to_domain() for a in self.read("activities.yaml", ActivitiesFile).activities}

    def activity(self, key: str) -> Activity:
        """One activity; `ConfigurationError` if activities.yaml does not have it."""
        if key not in self.activities:
            raise ConfigurationError(
                f"activity {key[:80]!r}",
                "is not in activities.yaml.",
                f"It has: {', '.join(self.activities)}.",
            )
        return self.activities[key]


def load_configuration(folder: Path | None = None) -> Configuration:
    """The folder given, else $PPS_CONFIG, else ./config."""
    return Configuration(folder or Path(os.environ.get("PPS_CONFIG", "config")))
