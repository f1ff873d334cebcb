"""Which variables a bash text reads, judged by bash itself."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pps.domain.packages.shell_reads import reads, resolved
from pps.domain.packages.yaim import FILE_BYTES_AT_MOST

# Each prints, or returns, something else when NEW_VAR is set: bash is the judge, below.
READING = [
    "echo $NEW_VAR",
    "echo ${NEW_VAR}",
    "echo ${NEW_VAR:-x}",
    "echo ${NEW_VAR-x}",
    "echo ${NEW_VAR:=x}",
    ": ${NEW_VAR=x}; echo $NEW_VAR",
    "echo ${NEW_VAR:+x}",
    "(: ${NEW_VAR:?must be set}) 2>/dev/null || echo unset",
    "echo ${#NEW_VAR}",
    "echo ${NEW_VAR[@]}",
    "echo ${NEW_VAR[0]}",
    "echo ${NEW_VAR%/*} ${NEW_VAR##*/} ${NEW_VAR/a/b}",
    "echo ${NEW_VAR:1:2}",
    "x=abcdef; echo ${x:NEW_VAR}",
    "echo ${x:-$NEW_VAR}",
    "echo ${x:-${y:-${NEW_VAR}}}",
    'echo "${x:-"$NEW_VAR"}"',
    "echo \"a '$NEW_VAR' b\"",
    "echo 'a '$NEW_VAR' b'",
    "echo it\\'s $NEW_VAR",
    "echo $(echo $NEW_VAR)",
    "echo `echo $NEW_VAR`",
    'echo "`echo \\"$NEW_VAR\\"`"',
    "echo `echo \\$NEW_VAR`",
    'echo "$(echo "$(echo "$NEW_VAR")")"',
    "echo $(case a in a) echo $NEW_VAR;; esac)",
    "echo $(( NEW_VAR + 1 ))",
    "echo $[NEW_VAR+1]",
    "(( NEW_VAR > 0 )) && echo yes",
    "let x=NEW_VAR+1; echo $x",
    "declare -a A=(1 2 3 4 5 6 7 8 9); echo ${A[NEW_VAR]}",
    "for ((i = 0; i < NEW_VAR; i++)); do echo $i; done",
    "[[ 1 -lt NEW_VAR ]] && echo more",
    "cat <<END\nport $NEW_VAR\nEND",
    "cat <<-END\n\tport ${NEW_VAR}\n\tEND",
    "cat <<END\nit's $(echo $NEW_VAR)\nEND",
    "cat <<<$NEW_VAR",
    "bash <<'END'\necho $NEW_VAR\nEND",
    "cat <<A <<'B'\n$NEW_VAR\nA\n$x\nB\necho $NEW_VAR",
    "test -v NEW_VAR && echo set",
    "[ -v NEW_VAR ] && echo set",
    "[[ -v NEW_VAR ]] && echo set",
    '[[ -n $NEW_VAR && ( a == b || "$NEW_VAR" =~ ^(a|[0-9]+)$ ) ]] && echo set',
    "eval 'echo $NEW_VAR'",
    'eval "echo \\$NEW_VAR"',
    "x=NEW_VAR; eval echo \\$$x",
    'x=NEW_VAR; echo "${!x}"',
    "for v in PATH NEW_VAR; do echo ${!v}; done",
    "A=(x NEW_VAR); for v in ${A[@]}; do echo ${!v}; done",
    "declare -n ref=NEW_VAR; echo $ref",
    "show() { echo ${!1}; }; show NEW_VAR",
    "show() { echo ${!1}; }; all() { show $1; }; all NEW_VAR",
    "x=VAR; eval echo \\$NEW_$x",
    "printenv NEW_VAR",
    "awk 'BEGIN { print ENVIRON[\"NEW_VAR\"] }'",
    "perl -e 'print $ENV{NEW_VAR}'",
    "bash -c 'echo $NEW_VAR'",
    "trap 'echo $NEW_VAR' EXIT",
    "f() { local NEW_VAR=1; }; f; echo $NEW_VAR",
    "(NEW_VAR=1); echo $NEW_VAR",
    "x=$(NEW_VAR=1); echo $NEW_VAR",
    "NEW_VAR=1 true; echo $NEW_VAR",
    "NEW_VAR+=x; echo $NEW_VAR",
    "NEW_VAR=${NEW_VAR:-x}; echo $NEW_VAR",
    '[ -z "$NEW_VAR" ] && NEW_VAR=x && echo was empty',
    'if [ -n "$NEW_VAR" ]; then\n  echo yes # it\'s\nfi',
    "f () {\n  case $1 in\n    (a|b) echo no ;;\n    *) echo $NEW_VAR ;;\n  esac\n}\nf x",
    "function f {\n  echo $NEW_VAR\n}\nf",
    "cat < <(echo $NEW_VAR)",
    "echo a#b $NEW_VAR",
    "echo $'it\\'s' $NEW_VAR",
    "x='#'; echo ${x#'#'} $NEW_VAR",
    "echo {a,b} $NEW_VAR > /dev/stdout 2>&1",
    "echo \\\n$NEW_VAR",
    "echo x | xargs sh -c 'echo $NEW_VAR'",
    "find / -maxdepth 0 -exec env A=1 /bin/sh -c 'echo $NEW_VAR' \\;",
    "CMD='echo $NEW_VAR'; eval $CMD",
    "CMD='echo $NEW_VAR'; sh -c \"$CMD\"",
    "shopt -s expand_aliases\nalias x='echo $NEW_VAR'\nx",
    "while read v; do echo ${!v}; done <<END\nOTHER_VAR\nNEW_VAR\nEND",
    "echo OTHER_VAR NEW_VAR | tr ' ' '\\n' | while read v; do echo ${!v}; done",
    "for v in $(printf 'OTHER_VAR NEW_VAR'); do echo ${!v}; done",
    "set | grep '^NEW_VAR='",
    "env | grep -q NEW_VAR= && echo set",
    "python3 -c \"import os; print('NEW_VAR' in os.environ)\"",
    "python3 <<'END'\nimport os\nprint(os.environ.setdefault('NEW_VAR', 'x'))\nEND",
    "while read -r a; do echo $a $NEW_VAR; done <<< x",
]

NOT_READING = [
    "# $NEW_VAR",
    "echo x # $NEW_VAR",
    "echo '$NEW_VAR'",
    'echo \\$NEW_VAR "\\${NEW_VAR}"',
    "awk '{ print $1, $NF, $NEW_VAR }' /dev/null",
    "sed -e 's/$NEW_VAR/x/' /dev/null",
    "cat <<'END'\n$NEW_VAR\nEND",
    'cat <<"END"\n$NEW_VAR\nEND',
    "cat <<END\n\\$NEW_VAR\nEND",
    "NEW_VAR=1; echo $NEW_VAR",
    "f() { local NEW_VAR; NEW_VAR=1; echo $NEW_VAR; }; f",
    "f() { typeset NEW_VAR=1; echo ${NEW_VAR}; }; f",
    "for NEW_VAR in a b; do echo $NEW_VAR; done",
    "echo x | while read -r a NEW_VAR; do echo $NEW_VAR; done",
    "printf -v NEW_VAR x; echo $NEW_VAR",
    "getopts ab NEW_VAR; echo $NEW_VAR",
    "mapfile -t NEW_VAR </dev/null; echo ${NEW_VAR[0]}",
    "export NEW_VAR=1; echo $NEW_VAR",
    "((NEW_VAR = 1)); echo $NEW_VAR",
    "unset NEW_VAR; echo $NEW_VAR",
    "f() { NEW_VAR=1; }; f; echo $NEW_VAR",
    "if true; then NEW_VAR=1; else NEW_VAR=2; fi; echo $NEW_VAR",
    "NEW_VAR=(a b); echo ${NEW_VAR[1]}",
    "echo NEW_VAR",
    "for v in NEW_VAR; do echo $v; done",
    "x=NEW_VAR; echo $x",
    "echo ${x:-NEW_VAR}",
]


def said(script: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def found(script: str) -> set[str]:
    return set(resolved({"functions/f": reads(script)}))


@pytest.mark.parametrize("script", READING)
def test_what_bash_reads_is_found(script: str) -> None:
    if "perl" not in script or shutil.which("perl"):
        assert said(script) != said(script, NEW_VAR="789"), "bash reads it"
    assert any(name == "NEW_VAR" or name == "NEW_*" for name in found(script))


@pytest.mark.parametrize("script", NOT_READING)
def test_what_bash_leaves_alone_is_left_alone(script: str) -> None:
    assert said(script) == said(script, NEW_VAR="789"), "bash does not read it"
    assert found(script) == set()


def test_export_without_a_value_hands_the_site_s_own_on() -> None:
    assert found("export NEW_VAR") == {"NEW_VAR"}
    assert found("NEW_VAR=1\nexport NEW_VAR") == set()


def test_a_name_that_is_put_together_is_a_pattern() -> None:
    assert found('for vo in $VOS; do eval "dir=\\$VO_${vo}_SW_DIR"; done') == {"VOS", "VO_*_SW_DIR"}
    assert found("x=STORM_${vo}_TOKEN; echo ${!x}") == {"STORM_*_TOKEN"}
    assert found("echo ${!STORM_*}") == {"STORM_*"}


def test_a_function_of_one_file_that_reads_what_it_is_told_makes_names_of_another_count() -> None:
    texts = {
        "functions/utils/need": 'need () { [ -n "${!1}" ] || exit 1; }',
        "functions/utils/all": 'need_all () { for v in "$@"; do need $v; done; }',
        "functions/config_x": "config_x () {\n  need_all NEW_ONE NEW_TWO\n}\nLIST='NEW_THREE NEW_FOUR'\nneed_all $LIST",
        "functions/config_y": "tell NEW_FIVE",
    }
    known = resolved({path: reads(text) for path, text in texts.items()})
    assert known == {
        "NEW_ONE": ("functions/config_x", 2),
        "NEW_TWO": ("functions/config_x", 2),
        "NEW_THREE": ("functions/config_x", 4),
        "NEW_FOUR": ("functions/config_x", 4),
    }


def test_what_yaims_own_helpers_are_given_is_the_last_part_of_a_name_for_each_vo() -> None:
    helped = found("for vo in a b; do x=`vo_param $vo NEW_DIR`; echo $(get_vo_param $vo NEW_PORT); done")
    assert helped == {"VO_*_NEW_DIR", "VO_*_NEW_PORT"}
    assert found('requires $1 "NEW_ONE VO__NEW_DIR"') == {"NEW_ONE", "VO_*_NEW_DIR"}


def test_each_is_told_with_the_line_in_which_it_stands_first() -> None:
    text = "a\r\n# $X1\ncat <<END\n\n$X2\nEND\nf () {\n  echo \\\n    $X3 $X2 $(\n  echo $X4)\n}"
    assert reads(text).names == {"X2": 5, "X3": 9, "X4": 10}


# --- whatever stands around it -------------------------------------------------------------------------

HARMLESS = st.sampled_from(
    [
        "a=1\n",
        "# it's a comment with a ` and a \"\n",
        "echo 'single $ ` \" { ('\n",
        'echo "double \' { ( # \\" \\` \\$"\n',
        "x=$(echo ')' \"$(echo ')')\")\n",
        "x=`echo \"it's\" | sed 's/a/\"/'`\n",
        "cat <<'END'\nit's ${ $( ` \"\nEND\n",
        "cat <<END\nit's \" ) } \\` \\$(\nEND\n",
        "case $a in x|'y') echo ')';; (z) :;; *) ;; esac\n",
        "f () { local b=${a#'#'}; [[ $b =~ ^(x|y)$ ]] || return 0; }\n",
        "x=$((1 << 2)); (( a <<= 1 )) || :\n",
        "A=(1 'two (' \"three )\" # four\n)\n",
        "if true; then { :; } fi\n",
        "for v in a b; do (cd /; echo $v) ; done\n",
        "echo a\\'b c\\\"d ${a:-'}'} >/dev/null 2>&1 &\nwait\n",
        "g () ( exit 0 )\n",
    ]
)
FORMS = st.sampled_from([form for form in READING if "NEW_VAR" in form])


@given(st.lists(HARMLESS, max_size=5), FORMS, st.lists(HARMLESS, max_size=5))
def test_nothing_that_stands_before_or_behind_hides_it_or_makes_more_of_it(
    before: list[str], form: str, behind: list[str]
) -> None:
    assert found("".join(before) + form + "\n" + "".join(behind)) == found(form)
    assert found("".join(before + behind)) == set()


@given(
    st.lists(HARMLESS, max_size=3),
    # a quote of the form must not be the end of the open one
    FORMS.filter(lambda form: form.count("'") % 2 == form.count('"') % 2 == 0),
    st.sampled_from(["echo 'open\n", 'echo "open\n', "x=$(\n", "}\n", "cat <<E\n", ")\n"]),
)
def test_what_cannot_be_followed_hides_nothing_that_stands_in_it_as_an_expansion(
    before: list[str], form: str, broken: str
) -> None:
    text = "".join(before) + broken + "echo ${NEW_ONE:-x}\n" + form
    assert "NEW_ONE" in found(text)


SHELL = st.text(alphabet="AB_1=\"'`\\#$(){}[];&|<>!*@:\n\t ", max_size=80)


@given(SHELL)
def test_any_text_is_read(text: str) -> None:
    for name in found(text):
        assert name.replace("*", "").replace("_", "").isalnum() or set(name) <= {"_", "*"}


HOSTILE = [
    "${", "$(", '"', "'", "`", "<<A\n", "((", "\\", "A=(", "=()", "a (b) ", "{ ", "$'", "a[", "${a[", "$((",
    "case x in ", "eval '$A", "A*B$x ", "x $", "f() {\n", "$ENV{", "a\n(", "@(", "<(", "${!A",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    def cost(times: int) -> float:
        text = (piece * (FILE_BYTES_AT_MOST // len(piece)))[: FILE_BYTES_AT_MOST // times]
        began = time.process_time()
        found(text)
        return time.process_time() - began

    assert cost(1) < 8 * cost(4) + 2
