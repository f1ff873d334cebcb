"""What YAIM's files say, and what is different in another version."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import yaim_trees as trees

from pps.domain.base.errors import PackageError
from pps.domain.packages.yaim import (
    FILE_BYTES_AT_MOST,
    FILES_AT_MOST,
    VARIABLES_AT_MOST,
    ChangeKind,
    VariableRole,
    YaimChange,
    YaimTree,
    compare,
    role_of,
)


def changes(update: Mapping[str, str], production: Mapping[str, str] = trees.PRODUCTION) -> list[YaimChange]:
    return list(compare(YaimTree.read(production), YaimTree.read(update)))


def required(text: str) -> list[str]:
    return sorted(YaimTree.read({"functions/f": text}).variables)


def defaults(text: str) -> dict[str, str | None]:
    tree = YaimTree.read({"defaults/n.pre": text})
    return {name: variable.default for name, variable in tree.variables.items()}


# --- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("opt/glite/yaim/functions/config_x", VariableRole.FUNCTIONS),
        ("config/functions/config_bdii_5.2", VariableRole.FUNCTIONS),
        ("functions/x", VariableRole.FUNCTIONS),
        ("opt/glite/yaim/functions/local/config_x", VariableRole.FUNCTIONS),
        ("config/defaults/glite-wn.pre", VariableRole.DEFAULTS),
        ("opt/glite/yaim/defaults/glite-wn.post", VariableRole.DEFAULTS),
        ("config/services/glite-wn", VariableRole.SERVICES),
        ("opt/glite/yaim/examples/siteinfo/services/glite-wn", VariableRole.SERVICES),
        ("opt/glite/yaim/node-info.d/glite-wn", VariableRole.NODES),
        ("config/defaults/README", None),
        ("functions/Makefile.am", None),
        ("usr/lib/python3/site/services/views.py", None),
        ("usr/share/dbus-1/services/org.example.service", None),
        ("a/functions/b/c/d", None),
        ("functions", None),
        ("", None),
        ("services/", None),
        ("services/..", None),
    ],
)
def test_files_are_known_by_their_folders_whatever_stands_before(path: str, role: VariableRole | None) -> None:
    assert role_of(path) is role


def test_a_tree_tells_its_variables_with_their_files_and_its_node_types() -> None:
    tree = YaimTree.read(trees.PRODUCTION)
    assert sorted(tree.variables) == [
        "BDII_HOST",
        "BDII_PASSIVE",
        "BDII_PORT",
        "BDII_REGIONS",
        "BDII_URL",
        "BDII_USER",
        "SITE_NAME",
    ]
    assert tree.variables["BDII_HOST"].required == ("functions/config_bdii",)
    assert tree.variables["BDII_HOST"].default is None
    assert tree.variables["BDII_USER"].defaults == {"defaults/glite-bdii.pre": "edguser"}
    assert tree.variables["BDII_URL"].default == "ldap://${BDII_HOST}:${BDII_PORT}"
    assert tree.variables["BDII_REGIONS"].documented == ("services/glite-bdii",)
    assert tree.variables["BDII_PASSIVE"].default is None, "an example is no default"
    assert tree.nodes == {"BDII_site": "node-info.d/glite-bdii", "BDII_top": "node-info.d/glite-bdii"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("requires A_1 B_2", ["A_1", "B_2"]),
        ("requires $1 A \\\n   B \\\n C\nD=1", ["A", "B", "C"]),
        ("requires A \\\r\n B\r\n", ["A", "B"]),
        ("f_check(){ requires A B; }", ["A", "B"]),
        ("f () { requires A B\nreturn 0; }", ["A", "B"]),
        ("if [ x ]; then requires A || return 1; fi", ["A"]),
        ('[ -n "$X" ] && requires A && requires \'B\' "C"', ["A", "B", "C"]),
        ("for vo in $VOS; do requires VO_${vo}_SW_DIR ${vo}_X; done", ["*_X", "VO_*_SW_DIR"]),
        ("requires A # and B", ["A"]),
        ("requires A 2>/dev/null", ["A"]),
        ("# requires A", []),
        ("echo requires A", []),
        ('echo "\nrequires A\n"', []),
        ("echo 'it'\\''s\nrequires A\n'", []),
        ("cat <<-'END'\n\trequires A\n\tEND\nrequires B", ["B"]),
        ("x=$((1<<SHIFT))\nrequires A", ["A"]),
        ("x=`echo \"it's\" | sed 's/a/\"/'`\nrequires A", ["A"]),
        ("x=${y#'#'}; requires A", ["A"]),
        ("x=$(echo ')' \"$(echo ')')\" )\nrequires A", ["A"]),
        ("requires () {\nfor v in $@; do :; done\n}", []),
        ("function requires {\nreturn; }", []),
        ('requires $1 $2 "$@" a_small_one - / ../X 1A', []),
        # it splits what it is given
        ("requires $1 'A B' \"C\nD\"", ["A", "B", "C", "D"]),
        ("requires $1 VO__SW_DIR BDII__URL", ["BDII_*_URL", "VO_*_SW_DIR"]),
        ("echo don't\nrequires A", ["A"]),
        ('echo "open\nrequires A', ["A"]),
    ],
)
def test_requires_is_found_as_a_command_and_nowhere_else(text: str, names: list[str]) -> None:
    assert required(text) == names


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1", {"A": "1"}),
        ("A=${A:-1}", {"A": "1"}),
        ("A=${A-1}", {"A": "1"}),
        ('A=${A:-"two words"}', {"A": "two words"}),
        ('A="${A:-two words}"', {"A": "two words"}),
        ("export A='1' B=\"2\"", {"A": "1", "B": "2"}),
        ("declare -x A=1", {"A": "1"}),
        (": ${A:=1}", {"A": "1"}),
        ("A=", {"A": None}),
        ("A=${A}", {"A": None}),
        ("A=${B:-1}", {"A": "${B:-1}"}),
        ('if [ -z "$A" ]; then A=1; else A=2; fi', {"A": "1 or 2"}),
        ("A=$(hostname -f)", {"A": "$(hostname -f)"}),
        ("A=`hostname -f`", {"A": "`hostname -f`"}),
        ('A="one\ntwo"', {"A": "one\ntwo"}),
        ("A=(1 2)", {"A": "(1 2)"}),
        ("A=1 command", {}),
        ("#A=1\n  # B=2", {}),
        ("x=1; echo A=1", {}),
    ],
)
def test_a_default_is_an_assignment_in_any_of_its_spellings(text: str, values: dict[str, str | None]) -> None:
    assert defaults(text) == values


# --- what is different -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (trees.NEW_OPTIONAL, YaimChange("BDII_IPV6_SUPPORT", ChangeKind.NEW_OPTIONAL, "services/glite-bdii")),
        (trees.NEW_MANDATORY, YaimChange("BDII_EMIR_HOST", ChangeKind.NEW_MANDATORY, "functions/config_emir")),
        (
            trees.NEW_MANDATORY_WITH_DEFAULT,
            YaimChange(
                "BDII_EMIR_HOST",
                ChangeKind.NEW_MANDATORY_WITH_DEFAULT,
                "functions/config_emir",
                None,
                "localhost",
            ),
        ),
        (
            trees.CHANGED_DEFAULT,
            YaimChange("BDII_PORT", ChangeKind.CHANGED_DEFAULT, "defaults/glite-bdii.pre", "2170", "2171"),
        ),
        (trees.BECAME_MANDATORY, YaimChange("BDII_REGIONS", ChangeKind.BECAME_MANDATORY, "functions/config_regions")),
        (trees.DROPPED, YaimChange("BDII_PASSIVE", ChangeKind.DROPPED, "services/glite-bdii")),
        (trees.DROPPED_NODE, YaimChange("BDII_top", ChangeKind.DROPPED_NODE, "node-info.d/glite-bdii")),
        (trees.NEW_NODE, YaimChange("EMIR", ChangeKind.NEW_NODE, "node-info.d/glite-emir")),
    ],
)
def test_each_difference_is_told_with_the_file_that_says_so(update: Mapping[str, str], expected: YaimChange) -> None:
    (found,) = changes(update)
    assert found == expected
    assert expected.name in found.sentence
    assert expected.file in found.sentence


def perhaps_new(update: Mapping[str, str], production: Mapping[str, str] = trees.PRODUCTION) -> list[tuple[str, str]]:
    return [(c.name, c.place) for c in changes(update, production) if c.kind is ChangeKind.PERHAPS_NEW]


def test_a_variable_that_is_only_read_is_perhaps_new_with_file_and_line() -> None:
    (found,) = changes(trees.PERHAPS_NEW)
    assert (found.name, found.kind, found.place) == (
        "BDII_LOG_DIR",
        ChangeKind.PERHAPS_NEW,
        "functions/config_bdii:14",
    )
    assert found.sentence == (
        "Variable BDII_LOG_DIR is perhaps new: it is read, but neither required, documented nor preset "
        "(functions/config_bdii:14)."
    )


@pytest.mark.parametrize(
    "file",
    [
        "functions/config_new",
        "functions/utils/new",
        "functions/local/new.sh",
        "services/glite-new",
        "node-info.d/glite-new",
        "defaults/glite-new.pre",
        "defaults/glite-new.post",
    ],
)
def test_it_is_found_in_every_kind_of_file(file: str) -> None:
    assert perhaps_new(trees.with_lines(trees.PRODUCTION, file, "\nx=${BDII_NEW:-1}\n")) == [("BDII_NEW", f"{file}:2")]


@pytest.mark.parametrize(
    "text",
    [
        "echo $NODE_TYPE_LIST ${GRID_ENV_LOCATION} $FUNCTIONS_DIR $INSTALL_ROOT",
        "echo $YEX_NOSUCHFILE $config_dir ${X_FUNCTIONS}",
        "echo $CATALINA_PID ${JAVA_HOME:-/usr} $PATH ${BASH_SOURCE[0]} $LC_ALL $GLITE_LOCATION_VAR",
        "echo $BDII_REGIONS $BDII_PORT $SITE_NAME",
    ],
)
def test_what_yaim_the_shell_or_another_program_sets_or_files_speak_of_is_not(text: str) -> None:
    assert perhaps_new(trees.with_lines(trees.PRODUCTION, "functions/config_new", text)) == []


def test_what_production_reads_already_is_not_new() -> None:
    assert perhaps_new(trees.PERHAPS_NEW, trees.PERHAPS_NEW) == []
    moved = trees.with_lines(trees.PRODUCTION, "functions/config_other", "echo ${BDII_LOG_DIR}\n")
    assert perhaps_new(moved, trees.PERHAPS_NEW) == []


def test_a_name_with_a_part_that_only_bash_knows_makes_no_other_name_known() -> None:
    def after(production: str, update: str) -> list[str]:
        return [name for name, _ in perhaps_new({"functions/f": update}, {"functions/f": production})]

    # a real pair: configuration fails without the token of the backend, which is no storage area
    assert after("x=STORM_${area}_TOKEN; echo ${!x}", "echo $STORM_BE_XMLRPC_TOKEN") == ["STORM_BE_XMLRPC_TOKEN"]
    assert after("echo $STORM_BE_XMLRPC_TOKEN", "x=STORM_${area}_TOKEN; echo ${!x}") == ["STORM_*_TOKEN"]
    assert after("x=STORM_${area}_TOKEN; echo ${!x}", "x=STORM_${other}_TOKEN; echo ${!x}") == []
    assert after('eval "x=\\$VO_${vo}_SW_DIR"', 'eval "x=\\$VO_${vo}_NEW"') == ["VO_*_NEW"]


def test_a_variable_that_bash_refuses_to_go_on_without_is_mandatory() -> None:
    documented = {"services/n": "A_B=x\n", "functions/f": "echo ${A_B:-y}\n"}
    for check in (": ${A_B:?}", ': "${A_B?must be set}"', "f () { cat <<E\n${A_B:?no}\nE\n}"):
        (change,) = changes({**documented, "functions/f": f"{check}\n"}, documented)
        assert change.kind is ChangeKind.BECAME_MANDATORY, check
    assert changes({**documented, "functions/f": "A_B=1\n: ${A_B:?}\n"}, documented) == []
    assert changes({**documented, "functions/f": "echo $A_B ${HOME:?}\n"}, documented) == []


def test_what_is_no_longer_documented_but_still_read_is_not_gone() -> None:
    read = {"functions/f": "echo $A_B\n"}
    (lost,) = changes(read, {**read, "defaults/n.pre": "A_B=1\n"})
    assert (lost.kind, lost.before, lost.after, lost.place) == (
        ChangeKind.CHANGED_DEFAULT,
        "1",
        None,
        "functions/f:1",
    )
    (loose,) = changes(read, {"functions/f": "requires A_B\necho $A_B\n"})
    assert loose.kind is ChangeKind.BECAME_OPTIONAL
    assert changes(read, {**read, "services/n": "A_B=x\n"}) == []
    assert [c.kind for c in changes({}, {**read, "services/n": "A_B=x\n"})] == [ChangeKind.DROPPED]


def test_a_comment_that_looks_like_a_variable_is_none() -> None:
    assert changes(trees.MORE_COMMENTS) == []


def test_the_layouts_of_sources_and_packages_are_the_same_configuration() -> None:
    source = {f"config/{path}": text for path, text in trees.PRODUCTION.items()}
    packaged = {f"opt/glite/yaim/{path}": text for path, text in trees.PRODUCTION.items()}
    assert changes(packaged, source) == []


def test_a_default_that_moves_to_another_file_or_another_spelling_has_not_changed() -> None:
    before = {"defaults/a.pre": "A=1\nB=2\n", "defaults/b.pre": "C=3\n"}
    assert changes({"defaults/c.pre": 'A="1"\nB=${B:-2}\n', "defaults/b.post": "C=3\n"}, before) == []
    assert changes({**before, "defaults/c.pre": "A=1\n"}, before) == []
    (found,) = changes({"defaults/c.pre": "A=1\nB=9\nC=3\n"}, before)
    assert (found.name, found.before, found.after) == ("B", "2", "9")


def test_defaults_of_two_node_types_are_not_mixed_up() -> None:
    before = {"defaults/a.pre": "A=1\n", "defaults/b.pre": "A=2\n"}
    found = changes({"defaults/a.pre": "A=2\n", "defaults/b.pre": "A=1\n"}, before)
    assert [(c.file, c.before, c.after) for c in found] == [("defaults/a.pre", "1", "2"), ("defaults/b.pre", "2", "1")]


def test_long_values_are_cut_and_still_told_apart() -> None:
    one, other = ({"defaults/a.pre": f"A={'x' * 5000}{end}\n"} for end in "ab")
    (found,) = changes(one, other)
    assert found.kind is ChangeKind.CHANGED_DEFAULT
    assert len(found.sentence) < 600


PIECES = st.sampled_from(
    [
        "requires A B\n",
        "requires C\n",
        "requires VO_${x}_D\n",
        "A=1\n",
        "A=2\n",
        "export B=${B:-3}\n",
        "C=\n",
        "D='4\n'\n",
    ]
)
NODES = st.sampled_from(['X_FUNCTIONS="f"\n', 'Y_FUNCTIONS="f g"\n', "# Z_FUNCTIONS=\n"])
FILES = st.dictionaries(
    st.sampled_from(
        ["functions/f", "x/functions/g", "defaults/a.pre", "y/defaults/a.pre", "defaults/b.post", "services/s"]
    ),
    st.lists(PIECES, max_size=4).map("".join),
)
TREES = st.tuples(FILES, st.dictionaries(st.sampled_from(["node-info.d/a", "z/node-info.d/b"]), NODES)).map(
    lambda parts: YaimTree.read(parts[0] | parts[1])
)
OPPOSITE = {
    ChangeKind.NEW_MANDATORY: ChangeKind.DROPPED,
    ChangeKind.NEW_MANDATORY_WITH_DEFAULT: ChangeKind.DROPPED,
    ChangeKind.NEW_OPTIONAL: ChangeKind.DROPPED,
    ChangeKind.DROPPED: None,
    ChangeKind.BECAME_MANDATORY: ChangeKind.BECAME_OPTIONAL,
    ChangeKind.BECAME_OPTIONAL: ChangeKind.BECAME_MANDATORY,
    ChangeKind.CHANGED_DEFAULT: ChangeKind.CHANGED_DEFAULT,
    ChangeKind.NEW_NODE: ChangeKind.DROPPED_NODE,
    ChangeKind.DROPPED_NODE: ChangeKind.NEW_NODE,
}
NEW = {ChangeKind.NEW_MANDATORY, ChangeKind.NEW_MANDATORY_WITH_DEFAULT, ChangeKind.NEW_OPTIONAL}


def only_read(tree: YaimTree) -> set[str]:
    return set(tree.read_in) - set(tree.variables)


@given(TREES)
def test_a_version_compared_with_itself_has_no_changes(tree: YaimTree) -> None:
    assert compare(tree, tree) == ()


@given(TREES, TREES)
def test_what_is_new_one_way_is_dropped_the_other_way(one: YaimTree, other: YaimTree) -> None:
    # what is still read is neither new nor gone: see the tests of what is perhaps new
    there, back = (
        [c for c in found if c.name not in only_read(one) | only_read(other)]
        for found in (compare(one, other), compare(other, one))
    )
    assert len(there) == len(back)
    assert {c.name for c in there if c.kind in NEW} == {c.name for c in back if c.kind is ChangeKind.DROPPED}
    for change in there:
        kinds = NEW if change.kind is ChangeKind.DROPPED else {OPPOSITE[change.kind]}
        assert any(
            c.name == change.name and c.kind in kinds and (c.before, c.after) == (change.after, change.before)
            for c in back
        )


@given(TREES, TREES)
def test_the_changes_lead_from_one_version_to_the_other(one: YaimTree, other: YaimTree) -> None:
    found = compare(one, other)
    assert list(found) == sorted(found, key=lambda c: (c.name, c.kind))
    new = {c.name for c in found if c.kind in NEW}
    dropped = {c.name for c in found if c.kind is ChangeKind.DROPPED}
    read = only_read(other)
    assert (set(one.variables) | new) - dropped - read == set(other.variables) - read


# --- text of others ----------------------------------------------------------------------------

SHELL = st.text(alphabet="Aa_1=\"'`\\#$(){};&|<>\n\t ", max_size=60)


@given(SHELL)
def test_any_text_is_read_and_gives_plain_names(text: str) -> None:
    files = {f"{folder}/x": text for folder in ("functions", "services", "node-info.d")} | {"defaults/x.pre": text}
    tree = YaimTree.read(files)
    assert all(name.replace("*", "").replace("_", "").isalnum() or set(name) <= {"_", "*"} for name in tree.variables)


@pytest.mark.parametrize("quote", ["'", '"', "`", "$(", "${", "A=(", "<<END\n", "\\"])
def test_a_quote_that_never_ends_does_not_hide_what_follows(quote: str) -> None:
    assert "LAST" in required(f"echo a{quote}b\nrequires LAST\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["${", "$(", '"', "'", "`", "<<A\n", "((", "\\", "A=(", "requires A", "{ ", "x=$'", "# '\n", "a'b\n"]
)
def test_a_hostile_file_costs_no_more_than_its_length(piece: str) -> None:
    text = (piece * (FILE_BYTES_AT_MOST // len(piece)))[:FILE_BYTES_AT_MOST]
    began = time.process_time()
    YaimTree.read({"functions/x": text})
    assert time.process_time() - began < 20


def test_limits_are_told_in_words() -> None:
    with pytest.raises(PackageError, match="characters; 524288 are allowed"):
        YaimTree.read({"functions/x": "x" * (FILE_BYTES_AT_MOST + 1)})
    with pytest.raises(PackageError, match="YAIM files; 5000 are allowed"):
        YaimTree.read({f"functions/x{n}": "" for n in range(FILES_AT_MOST + 1)})
    with pytest.raises(PackageError, match="characters of YAIM files"):
        YaimTree.read({f"functions/x{n}": "x" * FILE_BYTES_AT_MOST for n in range(17)})
    with pytest.raises(PackageError, match="more than 10000 variables"):
        YaimTree.read({"functions/x": "".join(f"requires A{n}\n" for n in range(VARIABLES_AT_MOST + 1))})
    assert YaimTree.read({"README": "x" * (FILE_BYTES_AT_MOST + 1)}).variables == {}
