"""What people may answer to each question of the paths, for tests in which anybody answers anything."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.walked_paths import VARIABLE

#: Form -> what may be answered: choice, fields. The first of them leads on; the last of some is refused.
ANSWERS: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]] = {
    "local-configuration": (
        ("Configured", {"settings": f"{VARIABLE}=bdii.example.org"}),
        ("Cannot configure it", {"remarks": "No such service here."}),
        ("Configured", {}),
    ),
    "release-test": (
        ("Accept", {"services": "CREAM-CE"}),
        ("Reject", {"report": "Jobs are lost."}),
        ("Cannot apply it", {"report": "No time."}),
        ("Accept", {}),
    ),
    "release-decision": (("Release", {"reason": "It is urgent."}), ("Hold", {"reason": "Not yet."}), ("Hold", {})),
    "deployment-scenario": (("Pass", {}), ("Fail", {"report": "dpkg says no."}), ("Fail", {})),
    "pilot-acceptance": (("Accept", {}), ("Decline", {"reason": "No site runs it."}), ("Decline", {})),
    "pilot-selection": (("Select", {"sites": "A\nB"}), ("Select", {"sites": "C"}), ("No site", {"reason": "None."})),
    "pilot-kick-off": (("Agreed", {}), ("Agreed", {"vos": "atlas"}), ("No agreement", {"reason": "No time."})),
    "pilot-set-up": (
        (
            "Set up",
            {"endpoint": "https://ce.{low}.example.org:8443/status", "version": "VERSION", "previous": "3.1.22"},
        ),
        ("Cannot", {"remarks": "No machine for it."}),
        ("Set up", {}),
    ),
    "pilot-roll-back": (("Rolled back", {"version": "3.1.22"}), ("Cannot", {"remarks": "It is gone."})),
    "post-mortem": (("Report", {"resources": "2 GB of memory.", "stability": "No restart."}), ("Report", {})),
    "pilot-wrap-up": (("Release", {}), ("Prolong", {"reason": "Too few jobs."}), ("Reject", {"reason": "It leaks."})),
    "overrule-emt": (("Agree", {}), ("Refuse", {"remarks": "No."}), ("Refuse", {})),
    "overrule-coordination": (("Agree", {}), ("Refuse", {"remarks": "No."}), ("Refuse", {})),
}
