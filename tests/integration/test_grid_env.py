"""grid-env is sourced by people with habits of their own: real shells, with options, functions and aliases.

Whatever they have: it is sourced without an error, the site's own settings come along, the client comes in front,
nothing of theirs changes, and nothing of ours stays.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

from pps.activities.packages.client_tree import _SCRIPTS

pytestmark = pytest.mark.needs("shells")


def words(text: str) -> list[str]:
    return text.split()


BASH, ZSH = ["bash", "--norc", "--noprofile"], ["zsh", "-f"]
SHELLS = {
    "bash": BASH,
    "bash-posix": [*BASH, "--posix"],
    "dash": ["dash"],
    "busybox": ["busybox", "sh"],
    "mksh": ["mksh"],
    "zsh": ZSH,
    "zsh-as-sh": ["zsh", "--emulate", "sh", "-f"],
    "zsh-as-ksh": ["zsh", "--emulate", "ksh", "-f"],
}
COMMANDS = words(
    "cd ls test printf echo pwd sed read readlink cat head tail true false sh env grep awk command type let "
    "expr dirname basename which printenv sort find setopt emulate shopt"
)
#: bash and zsh look for functions even before export and unset.
MORE_COMMANDS = words("export unset set eval exec trap shift . : [ source typeset declare local alias")

FUNCTIONS = "".join(f"{name}() {{ printf hijacked >&2; return 1; }}\n" for name in COMMANDS if name != "printf")
MORE_FUNCTIONS = "".join(f"function {name} {{ [[ -z x ]]; }}\n" for name in MORE_COMMANDS)
ALIASED = [*COMMANDS, "export", "unset", "set", "eval", "builtin"]
ALIASES = "".join(f"alias {name}='nowhere {name}'\n" for name in ALIASED)

HABITS = {
    "none": "",
    "set -e": "set -e",
    "set -u": "set -u",
    "set -f": "set -f",
    "set -C": "set -C",
    "set -a": "set -a",
    "set -eufC": "set -eufC",
    "IFS empty": "IFS=",
    "IFS of letters": "IFS=pse/:.",
    "IFS unset": "unset IFS",
    "CDPATH": "CDPATH=/usr:/; export CDPATH",
    "arguments": "set -- -n 'two words' '*'",
    "functions": FUNCTIONS,
    "a trap and a umask": "trap 'echo bye >/dev/null' EXIT; umask 077",
    "names of ours": "file=f prefix=p how=h target=t fd=5 site=s script=c name=n line=l path_=q run=r end=e",
}
BASH_HABITS = {
    "failglob": "shopt -s failglob",
    "nullglob": "shopt -s nullglob",
    "all globs": "shopt -s failglob nullglob dotglob extglob nocaseglob globstar",
    "trap ERR": "trap 'exit 9' ERR; set -E",
    "trap DEBUG": "trap : DEBUG; set -T",
    "all functions": FUNCTIONS + MORE_FUNCTIONS,
    "aliases": "shopt -s expand_aliases\n" + ALIASES,
    "exported functions": FUNCTIONS + "export -f cd test pwd readlink read ls sed",
    "set -o posix": "set -o posix",
}
ZSH_HABITS = {
    "err_exit": "setopt err_exit err_return",
    "nounset": "setopt no_unset",
    "globs": "setopt nomatch null_glob extended_glob glob_dots",
    "noglob": "setopt noglob",
    "arrays of ksh": "setopt ksh_arrays sh_word_split",
    "warnings": "setopt warn_create_global warn_nested_var 2>/dev/null",
    "no prompt": "setopt no_prompt_percent posix_argzero no_function_argzero",
    "all functions": FUNCTIONS + MORE_FUNCTIONS,
    "aliases": "setopt aliases\n" + ALIASES + "alias -g sh=nowhere -- __=x\nalias -g yes=no\n",
}
SH_ALIASES = {"aliases": ALIASES}
BUILTIN = "function builtin { printf hijacked >&2; }\n"
#: Each was met with: a function named as what reaches all other builtins, quotes that end with the line.
MORE_HABITS = {
    "bash": {"a function builtin": BUILTIN, "it and others": FUNCTIONS + BUILTIN},
    "bash-posix": {"a function builtin": BUILTIN},
    "mksh": {"a function builtin": BUILTIN},
    "zsh": {
        "a function builtin": BUILTIN,
        "it and others": FUNCTIONS + BUILTIN,
        "quotes of csh": "setopt csh_junkie_quotes",
        "other quotes and braces": "setopt rc_quotes ignore_braces csh_junkie_loops no_bare_glob_qual glob_subst",
    },
}

CASES = [
    *((shell, habit, text) for shell in SHELLS for habit, text in HABITS.items()),
    *((shell, habit, text) for shell in ("bash", "bash-posix") for habit, text in BASH_HABITS.items()
      if not (shell == "bash-posix" and habit == "all functions")),
    *(("zsh", habit, text) for habit, text in ZSH_HABITS.items()),
    *((shell, habit, text) for shell in ("dash", "busybox", "mksh") for habit, text in SH_ALIASES.items()),
    *((shell, habit, text) for shell, habits in MORE_HABITS.items() for habit, text in habits.items()),
]  # fmt: skip

#: What the client is there to set.
OURS = frozenset(
    words(
        "PATH LD_LIBRARY_PATH MANPATH PYTHONPATH PERL5LIB GLOBUS_LOCATION PPS_PREFIX SITE_NAME path manpath"
        " PYTHONDONTWRITEBYTECODE LOCAL_SETTING"
    )
)
#: What shells change all the time.
THEIRS = re.compile(
    r"(_|\?|RANDOM|SRANDOM|SECONDS|LINENO|EPOCH\w*|BASH_\w+|PIPESTATUS(\[0\])?|f|pipestatus|FUNCNAME|status|ERRNO|TTYIDLE|"
    r"history\w*|OLDPWD|KSH_MATCH|0|PPID|HISTCMD|jobstates|functions_source|options|parameters|modules|commands|"
    r"BASH_ARGV|funcstack|func\w+trace|dis_\w+|aliases|builtins|PS[34]|before|after|ZSH_EVAL_CONTEXT|zsh_eval_context)"
)


@dataclass
class Client:
    """A client tree with grid-env, and a site around it."""

    prefix: Path

    @property
    def script(self) -> Path:
        return self.prefix / "etc/profile.d/grid-env.sh"


def make_client(folder: Path, name: str = "client") -> Client:
    prefix, site = folder / name, folder / "profile.d"
    site.mkdir(parents=True, exist_ok=True)
    for path, script in _SCRIPTS.items():
        to = prefix / path
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes((resources.files("pps.activities.sites") / "scripts" / script).read_bytes())
    for folder_ in ("bin", "lib", "share/man", "share/perl5", "lib/python3/dist-packages"):
        (prefix / folder_).mkdir(parents=True, exist_ok=True)
    (prefix / ".pps-site").write_text(f"{site}\n")
    # With a loop over a pattern, a variable that nobody has set, and a last command that fails. It calls nothing: what
    # people have made of `test`, `export` and `[` is between them and their site.
    (site / "10-site.sh").write_text(
        f"for f in {site}/*.sh; do case $f in */10-site.sh) SITE_NAME=PIC ;; esac; done\n"
        'case $NOBODY_HAS_SET_THIS in "") ! f= ;; esac\n'
    )
    source = str(prefix / "etc/profile.d/grid-env.sh").replace("'", "'\\''")
    (site / "20-once.sh").write_text(f". '{source}'\n")
    (site / "10-site.csh").write_text(f"foreach f ( {site}/*.csh )\n  setenv SITE_NAME PIC\nend\nunset f\n")
    (folder / f"{name}.local").mkdir(exist_ok=True)
    (folder / f"{name}.local" / "x.sh").write_text("LOCAL_SETTING=1\n")
    (folder / f"{name}.local" / "x.csh").write_text("setenv LOCAL_SETTING 1\n")
    return Client(prefix)


def state(shell: str, where: str, run: str = "") -> str:
    """Commands that write down all that a shell has, whatever it calls `set`."""
    run = run or ("\\builtin " if shell.startswith(("bash", "zsh", "mksh")) else "\\")
    more = {"bash": "{r}shopt; {r}declare -f", "zsh": "{r}setopt; {r}functions; {r}alias -L", "mksh": "{r}typeset -f"}
    parts = [
        "{r}set",
        "{r}set +o" if not shell.startswith("mksh") else "{r}set -o",
        "{r}alias",
        "{r}trap",
        "{r}umask",
        "{r}pwd",
        more.get(shell.partition("-")[0], ":"),
    ]
    inner = "; ".join(f"{{ {part.format(r=run)}; }} || :" for part in parts)
    arguments = f'for state_arg do /bin/echo "argument <$state_arg>"; done; {run}unset state_arg'
    return f'{{ {inner}; {arguments}; }} >|"{where}" 2>/dev/null\n'


def lines_of(path: Path) -> set[str]:
    kept = set()
    for line in path.read_text(errors="replace").splitlines():
        name = re.match(r"(?:typeset |declare |export )*(?:-\S+ )*([^\s=()]+)", line)
        if name and (name[1] in OURS or THEIRS.fullmatch(name[1])):
            continue
        kept.add(line)
    return kept


def run(shell: list[str], script: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    file = cwd / "script"
    file.write_text(script)
    return subprocess.run(
        [*shell, str(file)],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "SITE_NAME": "", "LOCAL_SETTING": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def environment_of(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().split("\0") if "=" in line)


def works(client: Client, tmp_path: Path) -> None:
    found = environment_of(tmp_path / "env")
    assert found["PATH"].split(":")[0] == f"{client.prefix}/bin"
    assert found["PPS_PREFIX"] == str(client.prefix)
    assert found["LD_LIBRARY_PATH"].split(":")[0] == f"{client.prefix}/lib"
    assert (found["SITE_NAME"], found["LOCAL_SETTING"]) == ("PIC", "1")
    assert not any(name.startswith("_pps") for name in found)


@pytest.mark.parametrize(("shell", "habit", "text"), CASES, ids=[f"{shell}: {habit}" for shell, habit, _ in CASES])
def test_a_shell_with_habits_gets_the_client_and_keeps_its_habits(
    tmp_path: Path, shell: str, habit: str, text: str
) -> None:
    client = make_client(tmp_path)
    how = "\\" if BUILTIN in text else ""
    script = (
        f"{text}\n{state(shell, str(tmp_path / 'before'), how)}"
        f"\\. '{client.script}'\n"
        f"/usr/bin/env -0 >|'{tmp_path}/env'\n{state(shell, str(tmp_path / 'after'), how)}"
    )
    if "all functions" in habit:
        script = script.replace("\\. '", "\\builtin . '")
    done = run(SHELLS[shell], script, tmp_path)
    assert done.returncode in (0, 1), done.stderr  # of the last command: of the test
    assert (tmp_path / "after").exists(), done.stderr
    assert done.stderr == ""
    works(client, tmp_path)
    before, after = lines_of(tmp_path / "before"), lines_of(tmp_path / "after")
    assert sorted(after ^ before) == []


WAYS = {
    "twice": ". '{script}'\n. '{script}'",
    "in a function": "f() {{ . '{script}'; }}\nf",
    "in a function of a function": "f() {{ local x=1; g; }}\ng() {{ . '{script}'; }}\nf 2>/dev/null",
    "from another script": "echo \". '{script}'\" >other.sh\n. ./other.sh",
    "by a relative path": "cd '{prefix}/etc'\n. profile.d/grid-env.sh",
    "by the shortest path": "cd '{prefix}/etc/profile.d'\n. ./grid-env.sh",
    "with a CDPATH": "mkdir -p d/etc/profile.d\nCDPATH=$PWD/d; cd '{prefix}' >/dev/null\n. etc/profile.d/grid-env.sh",
    "by a link to the file": "ln -s '{script}' link.sh\n. ./link.sh",
    "by a link to a link": "ln -s '{script}' one\nmkdir d\nln -s ../one d/two\n. d/two",
    "by a link to the folder": "ln -s '{prefix}/etc/profile.d' there\n. there/grid-env.sh",
    "its status counts": ". '{script}' && echo fine >fine\ntest -f fine || exit 7",
    "with set -x": "set -x\n. '{script}' 2>/dev/null\nset +x",
    "in a subshell": "(unset PPS_PREFIX; . '{script}'; /usr/bin/env -0 >env)\n. '{script}'",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("way", WAYS)
def test_it_finds_its_folder_however_it_is_sourced(tmp_path: Path, shell: str, way: str) -> None:
    client = make_client(tmp_path, "a client")
    lines = WAYS[way].format(script=client.script, prefix=client.prefix)
    done = run(SHELLS[shell], f"set -e\n{lines}\n/usr/bin/env -0 >'{tmp_path}/env'\n", tmp_path)
    assert done.returncode == 0, done.stderr
    works(client, tmp_path)
    assert environment_of(tmp_path / "env")["PATH"] == f"{client.prefix}/bin:/usr/bin:/bin"


ODD = [
    "a client",
    "it's $HOME `id`",
    'double "quotes" & ;',
    "[a-z]* ?",
    "-e",
    "a -> b",
    "ümlaut",
    "back\\slash",
    "b!ang ~",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ODD)
def test_any_letter_may_stand_in_the_prefix(tmp_path: Path, shell: str, name: str) -> None:
    client = make_client(tmp_path, name)
    script = str(client.script).replace("'", "'\\''")
    done = run(SHELLS[shell], f". '{script}'\n/usr/bin/env -0 >'{tmp_path}/env'\n", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    works(client, tmp_path)


def test_a_shell_that_cannot_find_it_is_told_and_the_status_says_so(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    for shell in ("dash", "bash"):
        told = f". '{client.script}'; echo $? ${{_pps_find-unset}}"
        (client.prefix / "libexec/pps-grid-env").rename(tmp_path / "aside")
        done = run(SHELLS[shell], told, tmp_path)
        assert done.stdout == "1 unset\n"
        assert "cannot find its own folder" in done.stderr
        (tmp_path / "aside").rename(client.prefix / "libexec/pps-grid-env")
    # read from a pipe, a file has no place
    piped = f"PPS_PREFIX='{client.prefix}'\neval \"$(cat '{client.script}')\"\n/usr/bin/env -0 >'{tmp_path}/env'"
    assert run(["dash"], piped, tmp_path).returncode == 0
    works(client, tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_an_interrupted_sourcing_left_behind_does_not_stop_the_next(tmp_path: Path, shell: str) -> None:
    client = make_client(tmp_path)
    stop = tmp_path / "profile.d" / "15-stop.sh"
    stop.write_text(f"/usr/bin/env >/dev/null; echo \"$_pps_in_grid_env\" >|'{tmp_path}/guard'\n")
    assert run(SHELLS[shell], f". '{client.script}'\n", tmp_path).returncode == 0
    left = (tmp_path / "guard").read_text().strip()
    assert left
    stop.unlink()
    script = f"_pps_in_grid_env={left}\n. '{client.script}'\n/usr/bin/env -0 >'{tmp_path}/env'\n"
    done = run(SHELLS[shell], script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    works(client, tmp_path)


@pytest.mark.parametrize("shell", [*SHELLS, "tcsh"])
def test_a_copy_of_it_among_the_sites_own_scripts_does_not_call_itself_for_ever(tmp_path: Path, shell: str) -> None:
    client = make_client(tmp_path)
    suffix, source, command = ("csh", "source", ["tcsh", "-f"]) if shell == "tcsh" else ("sh", ".", SHELLS[shell])
    copy = tmp_path / "profile.d" / f"30-copy.{suffix}"
    shutil.copy(client.script.with_suffix(f".{suffix}"), copy)
    done = run(
        command, f"{source} {copy}\n/usr/bin/env -0 >'{tmp_path}/env'\n", tmp_path, PPS_PREFIX=str(client.prefix)
    )
    assert (done.returncode, done.stderr) == (0, "")
    works(client, tmp_path)


@pytest.mark.parametrize("name", ["PATH", "PPS_PREFIX", "LD_LIBRARY_PATH"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_variable_that_nobody_may_change_is_said_and_the_shell_lives_on(
    tmp_path: Path, shell: str, name: str
) -> None:
    client = make_client(tmp_path)
    script = (
        f"{name}=/usr/bin:/bin; readonly {name}\n. '{client.script}'\n"
        "echo $? ${_pps_find-none} ${_pps_in_grid_env-none} ${_pps_builtin-none} ${PERL5LIB-none}\n"
    )
    done = run(SHELLS[shell], script, tmp_path)
    assert done.stdout == "1 none none none none\n"
    assert len(done.stderr.splitlines()) == 1
    assert "is read-only in this shell; the preview is not set" in done.stderr


def test_people_keep_their_own_choice_of_where_byte_code_goes(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    for shell, suffix, source in ((["dash"], "sh", "."), (["tcsh", "-f"], "csh", "source")):
        for own in ({"PYTHONDONTWRITEBYTECODE": ""}, {"PYTHONPYCACHEPREFIX": "/var/cache"}, {}):
            script = f"{source} {client.prefix}/etc/profile.d/grid-env.{suffix}\n/usr/bin/env -0 >{tmp_path}/env\n"
            assert run(shell, script, tmp_path, **own).returncode == 0
            found = environment_of(tmp_path / "env")
            names = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
            assert {n: found[n] for n in names if n in found} == (own or {"PYTHONDONTWRITEBYTECODE": "1"})


def test_python_leaves_no_byte_code_in_the_tree(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    (client.prefix / "lib/python3/dist-packages/grid_module.py").write_text("x = 1\n")
    before = sorted(client.prefix.rglob("*"))
    python = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin") or os.path.realpath("/usr/bin/python3")
    script = f". {client.prefix}/etc/profile.d/grid-env.sh\n{python} -c 'import grid_module'\n"
    done = run(["dash"], script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(client.prefix.rglob("*")) == before


GSI = """# of the package
NAME_COMPATIBILITY=STRICT_RFC2818
 CIPHERS=x
CIPHERS=HIGH:!aNULL 'x'
MIN_TLS_PROTOCOL=0
lower=1
"""


@pytest.mark.needs("no-gsi-conf")
@pytest.mark.parametrize(("shell", "suffix"), [(["dash"], "sh"), (["tcsh", "-f"], "csh")])
def test_what_globus_reads_in_etc_only_is_told_to_it_where_the_site_has_none(
    tmp_path: Path, shell: list[str], suffix: str
) -> None:
    client = make_client(tmp_path)
    (client.prefix / "etc/grid-security").mkdir()
    (client.prefix / "etc/grid-security/gsi.conf").write_text(GSI)
    source = "." if suffix == "sh" else "source"
    script = f"{source} {client.prefix}/etc/profile.d/grid-env.{suffix}\n/usr/bin/env -0 >{tmp_path}/env\n"
    assert run(shell, script, tmp_path, GLOBUS_GSSAPI_MIN_TLS_PROTOCOL="TLS1_2_VERSION").returncode == 0
    found = environment_of(tmp_path / "env")
    assert {n: v for n, v in found.items() if n.startswith("GLOBUS_GSSAPI")} == {
        "GLOBUS_GSSAPI_NAME_COMPATIBILITY": "STRICT_RFC2818",
        "GLOBUS_GSSAPI_CIPHERS": "HIGH:!aNULL 'x'",
        "GLOBUS_GSSAPI_MIN_TLS_PROTOCOL": "TLS1_2_VERSION",
    }


# --- csh -------------------------------------------------------------------------------------------------

CSH_HABITS = {
    "none": "",
    "noglob": "set noglob",
    "nonomatch": "set nonomatch",
    "noclobber and echo off": "set noclobber; unset echo verbose",
    "echo": "set echo",
    "verbose": "set verbose",
    "no letters for history": "set histchars = ''",
    "backslashes": "set backslash_quote",
    "exit values": "set printexitvalue; set anyerror",
    "PATH unset": "unsetenv PATH",
    "path unset": "unset path",
    "aliases": "".join(
        f"alias {name} 'echo aliased'\n"
        for name in words(
            "cd ls echo printf sed find cat test source eval printenv setenv unsetenv unset set if endif then else @"
        )
    ),
    "aliases with arguments": "alias cd 'cd \\!*; ls'\nalias ls 'ls -F'\nalias setenv 'setenv \\!*; rehash'",
    "arguments": "set argv = ( -n 'two words' )",
}


@pytest.mark.parametrize("name", ["client", "it's $HOME `id`", "a client [x]* b!ang"])
@pytest.mark.parametrize("habit", CSH_HABITS)
def test_csh_with_habits_gets_the_client_and_keeps_its_habits(tmp_path: Path, habit: str, name: str) -> None:
    client = make_client(tmp_path, name)
    quoted = "'" + str(client.prefix).replace("'", "'\\''").replace("!", "'\\!'") + "/etc/profile.d/grid-env.csh'"
    text = (
        f"{CSH_HABITS[habit]}\n"
        f"(@ ; alias ; dirs -l ; umask) >! {tmp_path}/before\n"
        f"SOURCE\n"
        f"(@ ; alias ; dirs -l ; umask) >! {tmp_path}/after\n"
        f"/usr/bin/env -0 >! {tmp_path}/env\n"
    )
    if habit == "aliases":  # `source` itself is one: so it is called before
        text = text.replace("SOURCE", f"unalias source\nsource {quoted}\nalias source 'echo aliased'")
    else:
        text = text.replace("SOURCE", f"source {quoted}")
    done = run(["tcsh", "-f"], text, tmp_path)
    assert done.returncode == 0
    assert habit in ("echo", "verbose") or done.stderr == ""  # who wants to see all commands sees ours, too
    works(client, tmp_path)

    def kept(file: str) -> list[str]:
        lines = (tmp_path / file).read_text().splitlines()
        return [line for line in lines if not re.match(r"(_|path|status|cwd|owd|source)\b", line)]

    assert kept("after") == kept("before")


@pytest.mark.parametrize("name", ["path", "noglob"])
def test_csh_says_that_a_variable_is_read_only_and_lives_on_as_it_was(tmp_path: Path, name: str) -> None:
    client = make_client(tmp_path)
    script = (
        f"set -r {name} = ( /usr/bin /bin )\nalias if 'echo if'\nsource {client.script.with_suffix('.csh')}\n"
        "alias ; set | /bin/grep _pps ; /usr/bin/env | /bin/grep -e _pps -e PPS ; echo lives\n"
    )
    done = run(["tcsh", "-f"], script, tmp_path)
    assert done.stdout == "if\techo if\nlives\n"
    assert done.stderr == "grid-env.csh: path or noglob is read-only in this shell; the preview is not set\n"


# --- a real interrupt ------------------------------------------------------------------------------------

PROMPT = "READY-NOW# "  # mksh wants the letter where root works
INTERACTIVE = {
    "bash": ["bash", "--norc", "--noprofile", "--noediting", "-i"],
    "dash": ["dash", "-i"],
    "busybox": ["busybox", "sh", "-i"],
    "mksh": ["mksh", "-i"],
    "zsh": ["zsh", "-f", "-i", "+Z"],
    "tcsh": ["tcsh", "-f", "-i"],
}


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.said = ""
        self.pid, self.tty = pty.fork()
        if not self.pid:
            with suppress(OSError):
                os.chdir(folder)
                names = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PS1": PROMPT, "TERM": "dumb"}
                os.execvpe(command[0], command, {**names, "SITE_NAME": "", "LOCAL_SETTING": ""})
            os._exit(127)

    def type(self, text: str) -> None:
        os.write(self.tty, text.encode())

    def wait(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not done():
            assert time.monotonic() < until, self.said
            if select.select([self.tty], [], [], 0.02)[0]:
                self.said += os.read(self.tty, 65536).decode(errors="replace")

    def prompt(self) -> None:
        """Wait for one more prompt."""
        self.wait(lambda: PROMPT in self.said)
        self.said = self.said.partition(PROMPT)[2]

    def close(self) -> None:
        os.close(self.tty)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_who_interrupts_it_at_the_terminal_can_source_it_again(tmp_path: Path, shell: str) -> None:
    client = make_client(tmp_path)
    csh = shell == "tcsh"
    suffix, source = ("csh", "source") if csh else ("sh", ".")
    waits = tmp_path / "profile.d" / f"15-waits.{suffix}"
    # csh goes on after a program that was interrupted; not after its own `...`
    # one program: between two of its own commands a shell may lose an interrupt
    waits.write_text(f"echo `/bin/sh -c \"/usr/bin/touch '{tmp_path}/waits'; exec /usr/bin/tail -f /dev/null\"`\n")
    line = f"{source} {client.script.with_suffix('.' + suffix)}"
    terminal = Terminal(INTERACTIVE[shell], tmp_path)
    try:
        if csh:
            terminal.type(f"set prompt = '{PROMPT[:3]}''{PROMPT[3:]}'; alias setenv 'setenv \\!*'; set noglob\n")
        terminal.prompt()
        for _ in range(2):
            terminal.type(f"{line}\n")
            terminal.wait((tmp_path / "waits").exists)
            (tmp_path / "waits").unlink()
            terminal.said = ""
            terminal.type("\x03")
            terminal.prompt()
        terminal.type("set | /bin/grep -q _pps_in_grid_env && /usr/bin/touch half\n")
        terminal.wait((tmp_path / "half").exists)
        waits.unlink()
        end = "set | grep _pps > left; alias > aliases; set > set" if csh else "set | grep _pps >left"
        terminal.type(f"{line}; /usr/bin/env -0 >env; {end}; /usr/bin/touch done\n")
        terminal.wait((tmp_path / "done").exists)
    finally:
        terminal.close()
    works(client, tmp_path)
    assert (tmp_path / "left").read_text() == ""
    if csh:
        assert (tmp_path / "aliases").read_text() == "setenv\tsetenv !*\n"
        assert re.search(r"(?m)^noglob\b", (tmp_path / "set").read_text())
