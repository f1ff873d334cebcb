"""The shape of config/scenarios.yaml: deployment scenarios with their origins (SD 4.2.1)."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictBool, model_validator

from pps.config.base_models import Model, Name, PlatformName
from pps.domain.quality.scenarios import ANY_NODE, AUTOMATIC, Origin, OriginKind, Scenario
from pps.domain.sites.site import Platform


class OriginModel(Model):
    """`{region: Italy}`, `{vo: atlas}`, ...: exactly one of them."""

    region: Name | None = None
    site: Name | None = None
    vo: Name | None = None
    developer: Name | None = None
    coordination: Name | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> OriginModel:
        if len(self._given()) != 1:
            raise ValueError(f"origin names one of {', '.join(OriginKind)}, e.g. {{region: Italy}}")
        return self

    def _given(self) -> list[Origin]:
        named = ((kind, getattr(self, kind.value)) for kind in OriginKind)
        return [Origin(kind, name) for kind, name in named if name is not None]

    def to_domain(self) -> Origin:
        """The domain's origin."""
        return self._given()[0]


class ScenarioModel(Model):
    """One scenario of scenarios.yaml."""

    name: Name
    platform: PlatformName
    node_type: Name = ANY_NODE
    system: Name | Literal[""] = ""
    origin: OriginModel
    runner: Name = AUTOMATIC
    mandatory: StrictBool = True

    def to_domain(self) -> Scenario:
        """The domain's scenario."""
        return Scenario(
            self.name,
            Platform.parse(self.platform),
            self.node_type,
            self.system,
            self.origin.to_domain(),
            self.runner,
            self.mandatory,
        )


class ScenariosFile(Model):
    """scenarios.yaml. Contradictions are found by `domain.scenarios.contradictions`."""

    scenarios: tuple[ScenarioModel, ...]
