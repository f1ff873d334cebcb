"""Facts: what happened, to whom, on which occasion. Append-only; everything else is a view of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class FactKind(StrEnum):
    """What can happen in a rollout. The value is stored for ever: never rename, only add."""

    # the whole rollout (subject: "")
    ROLLOUT_OPENED = "rollout-opened"
    PATCH_ADMITTED = "patch-admitted"
    TARBALL_BUILT = "tarball-built"
    INDEX_UNSIGNED = "index-unsigned"
    """the provider's index was believed without a signature; payload `repository`, `reason` (service.yaml's)"""
    PACKAGES_KEPT = "packages-kept"
    """of an update under release test; payload `packages`: (package, sha256) each, and `index` by which they were
    believed (domain.packages.verified_index). These very bytes may be released"""
    ARTEFACT_REFUSED = "artefact-refused"
    """what the artefact store holds is not what is on record; occasion: digest of `what` and `why`, the payload"""
    PLAN_AGREED = "plan-agreed"
    NIGHT_PLANNED = "night-planned"
    """occasion: the night's batch; payload `sites`"""
    RETRY_PLANNED = "retry-planned"
    """somebody has asked to try sites again; occasion: the batch; payload `sites`, `asked`, `run`"""
    GATE_PASSED = "gate-passed"
    ROLLOUT_PAUSED = "rollout-paused"
    """occasion: which time; payload `reason`, `user`; holds until the next of the two"""
    ROLLOUT_RESUMED = "rollout-resumed"
    ROLLOUT_STOPPED = "rollout-stopped"
    FEEDBACK_DATE_AGREED = "feedback-date-agreed"
    FEEDBACK_ENDED = "feedback-ended"
    RELEASE_NOTES_WRITTEN = "release-notes-written"
    CERTIFICATION_ENDED = "certification-ended"
    RELEASE_REFUSED = "release-refused"
    RELEASED_TO_PRODUCTION = "released-to-production"
    ROLLOUT_CLOSED = "rollout-closed"
    WITHDRAWAL_ASKED = "withdrawal-asked"
    """payload `reason`; the tags go first, then the preview (SD 4.1.1, ways out)"""
    TAGS_GONE = "tags-gone"
    """the information system shows the tag no longer; payload `still_shown`: sites given up waiting for"""
    DECIDED = "decided"
    """a person in charge decided; occasion: what about; payload `decision`, `reason`"""
    # a patch before and beside its rollouts (its dossier, see `rollouts.dossier_name`)
    CLASSIFIED = "classified"
    """occasion: digest of the findings; payload `verdict`, `findings`, `compared_with`"""
    CLASSIFICATION_OVERRULED = "classification-overruled"
    """occasion: 1, 2, ...; payload `verdict`, `reason`; the newest counts"""
    POLICIES_OVERRULED = "policies-overruled"
    """joint decision of EMT and PPS coordination (SD 4.1.3); payload `urgency`, `reason`, `by`: role -> user"""
    # a pilot (SD 4.1.3; subject "" unless said otherwise)
    PILOT_JUDGED = "pilot-judged"
    """minor or major, BC or not; payload `kind`, `compatibility`, `level`, `reasons`"""
    PILOT_REQUESTED = "pilot-requested"
    """step 1; payload `by`, `role`, `vo`, `scope`"""
    CANDIDATES_RANKED = "candidates-ranked"
    """step 2; payload `candidates`: site, score, reasons; `excluded`: site -> reasons; the newest counts"""
    INTEREST_SHOWN = "interest-shown"
    """subject: VO; payload `text`"""
    SITES_SELECTED = "sites-selected"
    """payload `sites`, `reason`"""
    DOCUMENTATION_CHECKED = "documentation-checked"
    """payload `missing`, `found`: what -> where; the newest counts"""
    MEETING_CALLED = "meeting-called"
    """steps 4, 10; occasion: which meeting, and which invitation to it; payload `starts`, `ends`, `to`, `names`, `uid`
    and `organizer` (early ones may lack these); of a move also `reason`, `user`; the newest counts"""
    MEETING_CANCELLED = "meeting-cancelled"
    """occasion: which meeting; payload `uid`, `sequence`, `to`, `reason`: its pilot has ended before it"""
    KICK_OFF_AGREED = "kick-off-agreed"
    """steps 4, 5; payload `set_up_until`, `run_for_s`, `feedback_until`, `vos`, `requirements`: drives all waits;
    `experts` and `participants` (may be missing): `role`, `who`, for their credits"""
    MIRROR_MADE = "mirror-made"
    """step 6; payload `mirror`, `digest`, `packages`; or `skipped` with the reason"""
    SERVICE_SET_UP = "service-set-up"
    """step 7; subject: site; payload `endpoint`, `version_at`, `version`, `previous`, `by`; verified by us"""
    SERVICE_PROBED = "service-probed"
    """step 8; subject: site; occasion: `change-<n>` of state, or `day-<date>` for the first look of a day; payload
    `state`, `text`"""
    JOURNAL_ENTRY = "journal-entry"
    """step 8; subject: site or role; payload `text`, `user`"""
    ROLL_BACK_ASKED = "roll-back-asked"
    """subject: site; payload `reason`, `user`, `by` (the site, or the role that asked)"""
    SERVICE_ROLLED_BACK = "service-rolled-back"
    """subject: site; payload `reason`, `version`"""
    RUN_ENDED = "run-ended"
    """step 8; occasion: the round; payload `outcome` (expired, success, rolled back, not set up), `reason`"""
    REPORT_WRITTEN = "report-written"
    """step 9; subject: site"""
    WRAPPED_UP = "wrapped-up"
    """step 10; payload `decision` (release, prolong, reject), `guidelines`, `reason`, `participants` as above"""
    # deployment scenarios (subject: scenario)
    SCENARIOS_PLANNED = "scenarios-planned"
    """subject ""; payload `scenarios`"""
    SCENARIO_ENDED = "scenario-ended"
    """payload `result` (pass, fail, inconclusive), `platform`, `reason`, `log`, `by`"""
    PROVIDER_TOLD = "provider-told"
    # a task of SD 4.2.2 (occasion: its number; subject "")
    TASK_ASSIGNED = "task-assigned"
    """payload `activity`, `user`, `what`, `week`"""
    TASK_DONE = "task-done"
    """payload `text`"""
    # questions to people (subject: the site or role that is asked; occasion: the step)
    QUESTION_ASKED = "question-asked"
    """payload `step`, `due`, `to`, `assigned_to`"""
    ANSWER_GIVEN = "answer-given"
    """occasion: step and digest of the answer; payload `step`, `choice`, `form`, `user`, `late`"""
    ANSWER_SET_ASIDE = "answer-set-aside"
    """it came while a service was down that is needed to take it; occasion and payload as of the answer itself"""
    ANSWER_REFUSED = "answer-refused"
    """it was stored already when the rules said no; occasion: step and digest of answer and time; payload as of the
    answer, with `reasons`, `next_step` and `link`: where the same question waits again"""
    QUESTION_EXPIRED = "question-expired"
    REMINDED = "reminded"
    """occasion: step and which reminder"""
    # one site (subject: site)
    PREVIEW_INSTALLED = "preview-installed"
    PROBES_PASSED = "probes-passed"
    PROBES_FAILED = "probes-failed"
    TAG_ADDED = "tag-added"
    TAG_SEEN = "tag-seen"
    TAG_REMOVED = "tag-removed"
    SITE_FAILED = "site-failed"
    SITE_LEFT_OUT = "site-left-out"
    PREVIEW_LOST = "preview-lost"
    SITE_CONFIGURED = "site-configured"
    """the site's own people have configured the preview (SD 4.1.2, 3); payload `settings`, `user`"""
    PREVIEW_REMOVED = "preview-removed"
    """after a withdrawal, or retired; payload `reason`, `tarball`"""
    PATCH_DELIVERED = "patch-delivered"
    """a release test was brought to the site's people (SD 4.2.3); payload `pool`, `repository`"""
    SITE_TOLD = "site-told"
    """its contact was told why it failed; occasion: the failure with which the trouble began"""
    # people (subject: VO, ROC or mail address)
    BROADCAST_QUEUED = "broadcast-queued"
    ORIGINATOR_INVITED = "originator-invited"
    VO_INVITED = "vo-invited"
    FEEDBACK_GIVEN = "feedback-given"
    FEEDBACK_WITHDRAWN = "feedback-withdrawn"
    """subject: VO; occasion: the answer that whoever gave it takes back; the record keeps both"""
    FEEDBACK_FOLLOWED_UP = "feedback-followed-up"
    """what those in charge say to an answer; subject: VO; occasion: digest of both; payload `answer`, `text`, `role`,
    `user`"""
    TOLD = "told"
    """somebody was sent a message that no other fact stands for; occasion: what about"""
    CREDITED = "credited"
    """effort for a completed activity, once; subject: who; occasion: activity[/which time]; see domain.people.effort"""
    # who follows what (a record of its own, see domain.people.following; subject: user)
    FOLLOWED = "followed"
    """occasion: what, and which time; payload `what`, `to`: the account's mail address, "" for none"""
    UNFOLLOWED = "unfollowed"
    """occasion: of the fact that it ends; payload `what`"""
    FOLLOWER_MOVED = "follower-moved"
    """payload `to`: the account's mail address now"""
    FEED_RENEWED = "feed-renewed"
    """the feed has another address since"""
    # what sites wish (subject: site; occasion: 1, 2, ...; payload `user`; see domain.record.wishes)
    SITE_WINDOW_SET = "site-window-set"
    """payload `days` (none: all windows are lifted), `begins`, `ends`, `beside` (missing: false): those that stand
    remain; else this is the only one"""
    SITE_WINDOW_LIFTED = "site-window-lifted"
    """payload `days`, `begins`, `ends`: of the one that is lifted; others remain"""
    SITE_VERSION_PINNED = "site-version-pinned"
    """payload `metapackage`, `version` ("": any), `reason`; of a metapackage and version, the newest counts"""
    SITE_PIN_LIFTED = "site-pin-lifted"
    """payload `metapackage`, `version`"""
    SITE_OPTED_OUT = "site-opted-out"
    """payload `reason`; the newest of this and the next counts"""
    SITE_OPTED_IN = "site-opted-in"
    SITE_PUT_OFF = "site-put-off"
    """of a rollout: nothing was written at a site that has nothing of it yet, as none of its windows was open;
    payload `reason`; occasion: the windows"""
    # what providers submit (subject: the release, `<metapackage>/<version>`; see domain.record.submissions)
    RELEASE_OFFERED = "release-offered"
    """occasion: 1, 2, ...; payload `document`, `submit` (or only look at it), `provider`, `user`"""
    RELEASE_LOOKED_AT = "release-looked-at"
    """occasion: of the offer; payload `findings` and `in_all`, or `failed`: why nothing was found out"""
    RELEASE_ENTERED = "release-entered"
    """it is in the tracker; occasion: of the offer; payload `patch`"""
    RELEASE_NOT_ENTERED = "release-not-entered"
    """the tracker does not take it; occasion: of the offer; payload `why`"""
    FINDING_WAIVED = "finding-waived"
    """occasion: the finding's key; payload `finding` (the same), `sentence`, `reason`, `role`, `user`"""
    PACKAGE_UPLOADED = "package-uploaded"
    """into a repository of ours; subject: `upload:<provider>`; occasion: its SHA-256; payload `provider`, `package`,
    `kind`, `bytes`, `user`"""
    # early adopters (subject: `site:<site>` or `vo:<VO>`; see domain.people.adopters)
    SLOTS_OFFERED = "slots-offered"
    """occasion: 1, 2, ...; payload `product`, `slots` (0: none any more), `user`; of a product, the newest counts"""
    RELEASE_ADOPTED = "release-adopted"
    """occasion: the patch's number; payload `patch`, `product`, `until`, `user`"""
    ADOPTION_REPORTED = "adoption-reported"
    """occasion: the patch's number; payload `patch`, `outcome`, `text`, `seen`: what was on record then, `user`"""
    # plan, do, check, act (a record of its own, see domain.quality.measures_plan; subject: product; occasion: 1, 2, ..)
    QUALITY_TARGET_SET = "quality-target-set"
    """payload `measure`, `target` (None: lifted), `reason`, `user`, `role`; of a measure, the newest counts"""
    QUALITY_REVIEWED = "quality-reviewed"
    """payload `text`, `releases` and `together` (the numbers as they were), `actions`, `user`, `role`"""
    QUALITY_ACTION_AGREED = "quality-action-agreed"
    """payload `text`, `owner`, `due` (day), `measure` ("" for none), `user`, `role`"""
    QUALITY_ACTION_ENDED = "quality-action-ended"
    """occasion: of the action; payload `done`, `text`, `user`, `role`"""
    # trouble tickets in the tracker (of a patch's dossier; subject: the ticket's marker; see domain.pilots.troubles)
    TICKET_OPENED = "ticket-opened"
    """payload `page`: where people read it"""
    TICKET_CLOSED = "ticket-closed"
    # what the tracker says of the bugs that a patch fixes (of its dossier; see domain.quality.bugs)
    BUG_SEEN = "bug-seen"
    """its state is another one than when we last looked; subject: its number; occasion: 1, 2, ...; payload `state`"""
    # what the tracker says of the vulnerabilities that a patch closes (of its dossier; see domain.packages.advice)
    ADVICE_SEEN = "advice-seen"
    """it is something else than before; occasion: 1, 2, ...; payload `cves`: (id, severity or None) each,
    `embargo_until` (None: no secret), `metapackage`, `version`, `vex` (of others); the newest counts"""
    # a release is decided on, and its patch in the tracker afterwards (see activities.packages.tracker_states)
    RELEASE_DECIDED = "release-decided"
    """payload `state` (of the patch in the tracker), `platforms`, `repository` (`kind`, `components`)"""
    PATCH_MOVED = "patch-moved"
    """of its dossier; the tracker has it in production; subject: the rollout that released it; payload `state`"""
    PATCH_LEFT = "patch-left"
    """of its dossier; somebody has set another state meanwhile, which stays; subject and payload as above"""
    # where things take longer than was agreed
    FEEDBACK_DATE_MOVED = "feedback-date-moved"
    """occasion: which time; payload `due`, `was` (None: before it was agreed on), `reason` ("" for none), `user`
    (absent: it moved by itself); the newest of this and FEEDBACK_DATE_AGREED counts"""
    TASK_FAILED = "task-failed"
    """its run does not go on; subject: the run; occasion: task and try; payload `task`, `reason`"""
    TASK_WENT_ON = "task-went-on"
    """somebody has cleared it, and it was tried again; subject and occasion of the failure that it ends"""
    # what two people sign for sites with a kit (a record of its own, see domain.record.statements; subject:
    # `<product>@<platform>`)
    STATEMENT_OFFERED = "statement-offered"
    """occasion: its sequence; payload `document`, `rollout`, `preview`, `tag`"""
    STATEMENT_SIGNED = "statement-signed"
    """occasion: `<sequence>/<digest of the signature>`; payload `scheme`, `signer`, `role`, `person`, `key`,
    `signature`, `user`"""
    # where one site would hold up all that come after it
    SITE_KEEPS_WAITING = "site-keeps-waiting"
    """its batch ended without it, and it gets all its time after the others; no failure; subject: site; occasion: the
    batch; payload `reason`"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. (rollout, kind, subject, occasion) is unique: the same fact twice counts once."""

    rollout: str
    kind: FactKind
    subject: str
    occasion: str
    """which time: a run, a week, a digest; "" when it can happen only once"""
    at: datetime
    actor: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    """small, JSON; `v` holds its version where it ever changed"""

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"fact {self.kind} of {self.rollout} has a time without a zone")
