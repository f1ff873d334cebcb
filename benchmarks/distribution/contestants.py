"""Who brings it: each writes what it needs into the course's folder and returns the command that is measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import join

from benchmarks.distribution.course import Course, ssh_options
from tests.support.sshd import account

from pps.activities.ports.sites import SiteLimits
from pps.adapters.sites.ssh_openssh import _words

AT_ONCE = 20
Contestant = Callable[[Course], list[str]]
#: They take so long that one round must do where there is much to bring.
SLOW = ("Ansible", "pyinfra", "parallel-ssh")


def contestants(tools: Mapping[str, Path | None]) -> dict[str, Contestant]:
    """By name; tools that are not there are left out."""
    of_tools = {"Ansible": ansible, "pyinfra": pyinfra, "parallel-ssh": parallel_ssh}
    there = {name: make(str(tools[name])) for name, make in of_tools.items() if tools.get(name)}
    return {"floor": floor, "ours": ours, "shell loop": shell_loop, **there}


def floor(course: Course) -> list[str]:
    """The least that can be: our client with our cipher, the same bytes as ours sends, thrown away at the other end."""
    known = course.folder / "floor"
    known.mkdir(exist_ok=True)
    words = ["ssh", "-E", "/dev/null", *_words(course.server.target(), SiteLimits(), known)]
    text = f"exec {join([*words, '--', '127.0.0.1', 'cat >/dev/null'])} <{course.version.payload}\n"
    return _loop(course, "floor", text)


def ours(course: Course) -> list[str]:
    """A fresh Python process that calls `distribute`; its start and imports are counted."""
    tarball, before = course.version.tarball, course.versions[0].tarball
    about = {
        "server": [str(course.server.folder), course.server.port, course.server.host_key, str(course.server.key_file)],
        "store": str(course.store.folder),
        "tarballs": [
            [t.name, t.digest, dict(t.files), t.size] for t in ([before, tarball] if course.update else [tarball])
        ],
        "sites": course.sites,
        "cache": str(course.version.payload.parent),
        "at_once": AT_ONCE,
    }
    told = course.folder / "ours.json"
    told.write_text(json.dumps(about))
    return [sys.executable, "-m", "benchmarks.distribution.ours", str(told)]


def shell_loop(course: Course) -> list[str]:
    """What an administrator writes: xargs -P, one ssh pipe a site; unpack aside, check, rename."""
    remote = _at_site(course, r"\$1", "tar xzf -")
    options = " ".join([*ssh_options(course), "-p", str(course.server.port)])
    return _loop(course, "loop", f'ssh {options} 127.0.0.1 "set -- $1; {remote}" <{course.version.plain}\n')


def ansible(program: str) -> Contestant:
    """Ansible as its manual tunes it: pipelining, forks, ControlPersist, strategy free, no facts; two tasks."""

    def command(course: Course) -> list[str]:
        inventory, config = course.folder / "inventory", course.folder / "ansible.cfg"
        inventory.write_text("".join(f"{s} ansible_host=127.0.0.1 root={course.root(s)}\n" for s in course.sites))
        tasks = [
            {"copy": {"src": str(course.version.plain), "dest": "{{ root }}.tar.gz", "mode": "0600"}},
            {"shell": _at_site(course, "{{ root }}", "tar xzf {{ root }}.tar.gz") + " && rm {{ root }}.tar.gz"},
        ]
        play = [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]
        (course.folder / "play.yml").write_text(json.dumps(play))
        options = " ".join(["-o ControlMaster=auto", "-o ControlPersist=60s", *ssh_options(course)])
        config.write_text(
            f"[defaults]\nforks={AT_ONCE}\nremote_user={account()}\nremote_port={course.server.port}\n"
            f"interpreter_python={sys.executable}\nstdout_callback=minimal\ndisplay_ok_hosts=False\n"
            f"[ssh_connection]\npipelining=True\nssh_args={options}\ncontrol_path_dir={course.folder}/cp\n"
        )
        play_book = str(course.folder / "play.yml")
        return ["env", f"ANSIBLE_CONFIG={config}", program, "-i", str(inventory), play_book]

    return command


_DEPLOY = """
from pyinfra import host
from pyinfra.operations import files, server

files.put(src={plain!r}, dest=host.data.root + ".tar.gz", mode="600", create_remote_dir=False)
server.shell(commands=[{command!r}.replace("ROOT", host.data.root)])
"""


def pyinfra(program: str) -> Contestant:
    """pyinfra with its own SSH (paramiko): 20 at once, no host waits for another, no question asked; two operations."""

    def command(course: Course) -> list[str]:
        about = {
            "ssh_port": course.server.port,
            "ssh_user": account(),
            "ssh_key": str(course.server.key_file),
            "ssh_hostname": "127.0.0.1",
            "ssh_strict_host_key_checking": "yes",
            "ssh_known_hosts_file": str(course.folder / "known_hosts"),
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
        }
        hosts = [(site, about | {"root": str(course.root(site))}) for site in course.sites]
        (course.folder / "pyinfra_sites.py").write_text(f"sites = {hosts!r}\n")
        remote = _at_site(course, "ROOT", "tar xzf ROOT.tar.gz") + " && rm ROOT.tar.gz"
        deploy = course.folder / "pyinfra_deploy.py"
        deploy.write_text(_DEPLOY.format(plain=str(course.version.plain), command=remote))
        inventory = str(course.folder / "pyinfra_sites.py")
        return [program, "-y", "--no-wait", "--parallel", str(AT_ONCE), inventory, str(deploy)]

    return command


_PSSH = """
import sys
from gevent import joinall
from pssh.clients import ParallelSSHClient

ROOTS, CHUNK = {roots!r}, 60
for start in range(0, len(ROOTS), CHUNK):
    roots = ROOTS[start:start + CHUNK]
    client = ParallelSSHClient(
        ["127.0.0.1"] * len(roots), user={user!r}, port={port}, pkey={key!r}, pool_size={at_once}, allow_agent=False,
        identity_auth=False,
    )
    copies = client.copy_file(
        "%(local)s", "%(remote)s", copy_args=[dict(local={plain!r}, remote=root + ".tar.gz") for root in roots]
    )
    joinall(copies, raise_error=True)
    ran = client.run_command("%s", host_args=[({command!r}.replace("ROOT", root),) for root in roots])
    client.join(ran)
    if bad := [one for one in ran if one.exit_code != 0]:
        sys.exit("\\n".join(str(list(one.stderr)) for one in bad[:3]))
    del client, ran
"""


def parallel_ssh(program: str) -> Contestant:
    """parallel-ssh (libssh2), `program` being the Python that has it: copy to all, then run at all, 60 sites at a time.

    So that not all copies lie at the sites at once. It checks no host key: its fast client has no way to.
    """

    def command(course: Course) -> list[str]:
        script = course.folder / "pssh_run.py"
        script.write_text(
            _PSSH.format(
                roots=[str(course.root(site)) for site in course.sites],
                user=account(),
                port=course.server.port,
                key=str(course.server.key_file),
                at_once=AT_ONCE,
                plain=str(course.version.plain),
                command=_at_site(course, "ROOT", "tar xzf ROOT.tar.gz") + " && rm ROOT.tar.gz",
            )
        )
        return [program, str(script)]

    return command


def _at_site(course: Course, root: str, unpack: str) -> str:
    """What all but ours do there: unpack aside, check every digest, rename."""
    name = course.version.tarball.name
    return f"mkdir -p {root}/new && cd {root}/new && {unpack} && sha256sum --quiet -c .list && mv ../new ../{name}"


def _loop(course: Course, name: str, text: str) -> list[str]:
    script, roots = course.folder / f"{name}.sh", course.folder / "roots"
    script.write_text(text)
    roots.write_text("".join(f"{course.root(s)}\n" for s in course.sites))
    return ["xargs", "-a", str(roots), "-P", str(AT_ONCE), "-n", "1", "sh", str(script)]
