"""What lies on the disk of a sandbox site: a production client, local settings, tags of the VOs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pps.domain.base.names import checked_site_path
from pps.sandbox.grid.landscape import SitePlan

PRODUCTION_VERSION = "3.1.22"
_BROKEN_PROFILE = "90-local-accounting.sh"

_GRID_ENV_SH = """\
# Environment of the production client.
for _grid_script in {profile_d}/*.sh; do
  [ -r "$_grid_script" ] && . "$_grid_script"
done
unset _grid_script
GLITE_LOCATION={root}
GLITE_LOCATION_VAR={root}/var
PATH={root}/bin:$PATH
export GLITE_LOCATION GLITE_LOCATION_VAR PATH
"""
_GRID_ENV_CSH = """\
# Environment of the production client.
foreach _grid_script ( {profile_d}/*.csh )
  if ( -r $_grid_script ) source $_grid_script
end
unset _grid_script
setenv GLITE_LOCATION {root}
setenv GLITE_LOCATION_VAR {root}/var
setenv PATH {root}/bin:$PATH
"""
_TOOL = """\
#!/bin/sh
# {tool} of the production client {version}
case "${{1:-}}" in
  --version | -V | -version) echo "{tool} {version} (production)" ;;
  *) echo "{tool}: this is the production client of a sandbox site; it only tells its version" >&2; exit 2 ;;
esac
"""
_TOOLS = (
    "voms-proxy-init", "voms-proxy-info", "globus-url-copy", "gfal-ls", "gfal-copy", "myproxy-info",
    "lcg-cp", "lcg-ManageVOTag", "glite-wms-job-submit",
)  # fmt: skip
_TAGS = {
    "atlas": ("VO-atlas-production-12.0.7-i686-slc3-gcc323-opt", "VO-atlas-cloud-{roc}", "VO-atlas-offline-13.0.20"),
    "cms": ("VO-cms-CMSSW_1_5_2", "VO-cms-CMSSW_1_6_0", "VO-cms-slc4_ia32_gcc345"),
    "lhcb": ("VO-lhcb-DaVinci-v19r3", "VO-lhcb-Gauss-v25r10"),
    "biomed": ("VO-biomed-autodock-3.0.5", "VO-biomed-GATE-1.0.0-3"),
}


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """The paths of one site below `root`; each is what the registry says of the site."""

    root: Path

    def __post_init__(self) -> None:
        # the registry refuses such paths as well; here the reason can be told before anything is made
        checked_site_path(str(self.root), "folder of the sandbox")

    @property
    def home(self) -> Path:
        """Home of the account with which we log in."""
        return self.root / "home"

    @property
    def preview_root(self) -> Path:
        """Previews, side by side."""
        return self.root / "opt" / "pps"

    @property
    def production_root(self) -> Path:
        """The production client, which nobody may touch."""
        return self.root / "opt" / "glite"

    @property
    def profile_d(self) -> Path:
        """The site's own profile.d."""
        return self.root / "etc" / "profile.d"

    @property
    def tag_dir(self) -> Path:
        """Tags of the VOs."""
        return self.root / "opt" / "edg" / "var" / "info"

    @property
    def services_file(self) -> Path:
        """The services that the site publishes (`published_services`)."""
        return self.root / "etc" / "published-services.json"

    @property
    def pilot_file(self) -> Path:
        """What the site's pilot service is, over restarts of the grid (`pilot_service`)."""
        return self.root / "etc" / "pilot-service.json"

    @property
    def host_key(self) -> Path:
        """Private key of the SSH server."""
        return self.root / "ssh_host_ed25519_key"

    def furnish(self, plan: SitePlan, vos: Sequence[str], bdii: str, tag_vo: str) -> None:
        """Create what is missing and leave the rest; local settings are written anew (ports change).

        Args:
            bdii: `host:port` of the information system, for LCG_GFAL_INFOSYS.
            tag_vo: the VO that publishes preview tags; its list is there, still empty.
        """
        for folder in (self.home, self.root / "tmp", self.preview_root, self.profile_d, self.tag_dir):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.production_root.exists():
            self._install_production()
        self._write_local_settings(plan, vos, bdii)
        dice = random.Random(plan.name)  # noqa: S311 (which VO has which old tag)
        for vo in (*vos, tag_vo):
            tags = [t.format(roc=plan.roc) for t in _TAGS.get(vo, ())]
            chosen = sorted(dice.sample(tags, dice.randrange(len(tags) + 1)))
            path = self.tag_dir / plan.subcluster / vo / f"{vo}.list"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{t}\n" for t in chosen))

    def _install_production(self) -> None:
        # aside and renamed, so that a grid that was killed at this moment starts again from nothing
        staging = self.production_root.with_name(".glite.part")
        shutil.rmtree(staging, ignore_errors=True)
        names = {"profile_d": self.profile_d, "root": self.production_root, "version": PRODUCTION_VERSION}
        files = {f"bin/{tool}": _TOOL.format(tool=tool, **names) for tool in _TOOLS}
        files |= {
            "etc/profile.d/grid-env.sh": _GRID_ENV_SH.format(**names),
            "etc/profile.d/grid-env.csh": _GRID_ENV_CSH.format(**names),
            "share/doc/glite-WN/VERSION": f"glite-WN {PRODUCTION_VERSION}\n",
        }
        for path, text in files.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_text(text)
            (staging / path).chmod(0o755 if path.startswith("bin/") else 0o644)
        (staging / "var").mkdir()
        (staging / "bin" / "lcg-cr").symlink_to("lcg-cp")
        staging.rename(self.production_root)

    def _write_local_settings(self, plan: SitePlan, vos: Sequence[str], bdii: str) -> None:
        settings = {"LCG_GFAL_INFOSYS": bdii, "SITE_NAME": plan.name, "MYPROXY_SERVER": f"px.{plan.domain}"}
        for vo in vos:
            software = self.root / "opt" / "exp_soft" / vo
            software.mkdir(parents=True, exist_ok=True)
            settings[f"VO_{vo.upper()}_SW_DIR"] = str(software)
            settings[f"VO_{vo.upper()}_DEFAULT_SE"] = f"se01.{plan.domain}"
        sh = "".join(f"export {k}={v}\n" for k, v in settings.items())
        csh = "".join(f"setenv {k} {v}\n" for k, v in settings.items())
        (self.profile_d / "10-site.sh").write_text(f"# Local settings of {plan.name}, for every grid client.\n{sh}")
        (self.profile_d / "10-site.csh").write_text(f"# Local settings of {plan.name}, for every grid client.\n{csh}")

    def break_profile(self) -> None:
        """Put a script into the site's profile.d that ends the shell, as careless ones do."""
        why = "# Local accounting; ends the shell where its collector is missing."
        (self.profile_d / _BROKEN_PROFILE).write_text(f"{why}\n[ -x /opt/acct/bin/collect ] || exit 3\n")

    def repair_profile(self) -> None:
        """Take that script away."""
        (self.profile_d / _BROKEN_PROFILE).unlink(missing_ok=True)

    def previews(self) -> tuple[str, ...]:
        """Names of the previews that are complete (they say so themselves)."""
        return tuple(sorted(p.parent.name for p in self.preview_root.glob("[!.]*/.pps-ok")))

    def tags(self, plan: SitePlan) -> tuple[str, ...]:
        """All tags in the site's lists."""
        lists = (self.tag_dir / plan.subcluster).glob("*/*.list")
        return tuple(sorted({tag for path in lists for tag in path.read_text(errors="replace").split()}))

    def lose_previews(self) -> None:
        """Empty the preview root, as a reinstallation of the site does."""
        aside = self.root / ".lost"
        shutil.rmtree(aside, ignore_errors=True)
        self.preview_root.rename(aside)
        self.preview_root.mkdir()
        for folder in [aside, *(p for p in aside.rglob("*") if p.is_dir() and not p.is_symlink())]:
            folder.chmod(0o700)
        shutil.rmtree(aside)
