"""What our Roundup tracker keeps; `pps tracker init FOLDER` makes a tracker home from this folder.

Roundup runs this file each time it opens the tracker; `db`, `Class`, `String` and so on are given by it. The fields of
a patch have the names of `plugins/pps/config/patch_documents.py`; lists are one entry to a line:

    packages, externals     NAME VERSION ARCHITECTURE
    repository              apt URL SUITE COMPONENT ...   or   yum URL
    platforms, ...          one word
    cves                    CVE-2026-12345, or CVE-2026-12345 critical (high, moderate, low)
    vex                     CVE-2026-12346 not_affected vulnerable_code_not_present, or ... under_investigation
"""

state = Class(db, "state", name=String(), order=Integer(), transitions=Multilink("state"))
state.setkey("name")

severity = Class(db, "severity", name=String(), order=Integer())
severity.setkey("name")

bugstate = Class(db, "bugstate", name=String(), order=Integer())
bugstate.setkey("name")

user = Class(
    db,
    "user",
    username=String(),
    password=Password(),
    address=String(),
    realname=String(),
    phone=String(),
    organisation=String(),
    alternate_addresses=String(),
    queries=Multilink("query"),
    roles=String(),
    timezone=String(),
)
user.setkey("username")

query = Class(db, "query", klass=String(), name=String(), url=String(), private_for=Link("user"))

msg = FileClass(
    db,
    "msg",
    author=Link("user", do_journal="no"),
    recipients=Multilink("user", do_journal="no"),
    date=Date(),
    summary=String(),
    files=Multilink("file"),
    messageid=String(),
    inreplyto=String(),
)

file = FileClass(db, "file", name=String())

bug = IssueClass(
    db,
    "bug",
    number=String(),
    serial=Integer(),  # the same as a number, to sort by
    severity=Link("severity"),
    originator=String(),
    state=Link("bugstate"),
)
bug.setkey("number")
bug.setlabelprop("number")

case = Class(db, "case", name=String(), title=String(), how=String())
case.setlabelprop("name")

patch = IssueClass(
    db,
    "patch",
    number=String(),
    serial=Integer(),
    state=Link("state"),
    kind=String(),
    metapackage=String(),
    version=String(),
    platforms=String(),
    repository=String(),
    packages=String(),
    externals=String(),
    bugs=Multilink("bug"),
    test_cases=Multilink("case"),
    release_notes=String(),
    special_configuration=String(),
    new_variables=String(),
    changed_variables=String(),
    basic_certification_passed=Boolean(),
    install_tested=String(),
    programming_ph=Integer(),
    provider=String(),
    service_type=String(),
    component_parameters=String(),
    operational_changes=String(),
    database_schema_changed=Boolean(),
    clients_compatible=Boolean(),
    new_functionality=Boolean(),
    installation_guide=String(),
    configuration_guide=String(),
    cves=String(),
    vex=String(),
    embargo_until=Date(),
    submission=String(),  # what it was entered from; the same submission once more is the same patch
)
patch.setkey("number")
patch.setlabelprop("number")

ticket = IssueClass(db, "ticket", marker=String(), patch=Link("patch"), state=Link("bugstate"))
ticket.setkey("marker")
ticket.setlabelprop("title")

# --- who may do what ---

_TALK = ("msg", "file")
_WORDS = ("state", "severity", "bugstate")
_WORK = ("patch", "bug", "case", "ticket")
#: Mail addresses of people are for those who have signed in.
_PRIVATE = {"bug": ("originator", "nosy"), "patch": ("provider", "nosy"), "ticket": ("nosy",)}


def _allow(role, action, klass, **how):
    db.security.addPermissionToRole(role, db.security.addPermission(name=action, klass=klass, **how))


def _own(db, userid, itemid):
    return userid == itemid


def _public(db, userid, itemid):
    """An embargo holds for those who have not signed in."""
    from roundup import date

    until = db.patch.get(itemid, "embargo_until")
    return until is None or until <= date.Date(".")


db.security.addRole(name="Rollout", description="PPS Rollout itself")
db.security.addRole(name="Staff", description="Certification and providers: enters patches, and moves them")


def _said_in_public(db, userid, itemid):
    """A comment on a patch or bug that strangers may see; those on tickets are not."""
    return bool(db.bug.find(messages=itemid)) or any(_public(db, userid, i) for i in db.patch.find(messages=itemid))


for role in ("User", "Rollout"):
    for access in ("Web Access", "Rest Access"):
        db.security.addPermissionToRole(role, access)
    for klass in (*_TALK, *_WORDS, *_WORK):
        _allow(role, "View", klass)
    for klass in _TALK:
        _allow(role, "Create", klass)
        _allow(role, "Edit", klass)
    _allow(role, "View", "user", properties=("id", "username", "realname", "organisation"))
    _allow(role, "View", "user", check=_own)
    _allow(role, "Edit", "user", check=_own, properties=("password", "address", "realname", "phone", "timezone"))
    for action in ("Create", "Edit", "View", "Search"):
        _allow(role, action, "query")

# people of certification, of providers, and PPS Rollout itself; others comment
for role in ("Staff", "Rollout"):
    for klass in _WORK:
        _allow(role, "Create", klass)
        _allow(role, "Edit", klass)
for klass in ("patch", "bug", "ticket"):
    _allow("User", "Edit", klass, properties=("messages", "files", "nosy"))

for access in ("Web Access", "Rest Access"):
    db.security.addPermissionToRole("Anonymous", access)
# tickets name sites and their troubles: those are for whoever has signed in
for klass in (*_TALK, *_WORDS, "patch", "bug", "case"):
    shown = [
        name for name in db.getclass(klass).getprops() if name not in (*_PRIVATE.get(klass, ()), "creator", "actor")
    ]
    checks = {"patch": _public, "msg": _said_in_public}
    how = {"check": checks[klass]} if klass in checks else {}
    _allow("Anonymous", "View", klass, properties=shown, **how)
    _allow("Anonymous", "Search", klass, properties=shown)  # finds only what may be viewed
_allow("Anonymous", "View", "user", properties=("id", "username"))
