"""Variables that YAIM's files read and that no site sets: YAIM's own, the shell's, other programs'.

Names in full, and prefixes only where everything that begins with them is somebody's own: a name that is missing here
is shown once as "perhaps new"; a name that is here by mistake is never shown.
"""

from __future__ import annotations

#: Set by the command `yaim` before it calls any function, or the answers of its helper functions.
OF_YAIM = frozenset((
    "CONFIG_DIR", "CONFIG_FUNCTIONS", "DEBUG", "FUNCTION", "FUNCTIONS_DIR", "GRID_ENV_FILE", "GRID_ENV_LOCATION",
    "INSTALL_ROOT", "LOCAL_FUNCTIONS", "NODE_INFO", "NODE_TYPE", "NODE_TYPE_LIST", "NODE_TYPES", "SITE_INFO",
    "VERBOSE", "YAIM_BIN", "YAIM_HOME", "YAIM_LIBEXEC", "YAIM_LOCATION", "YAIM_LOG", "YAIM_LOGFILE",
    "YAIM_LOGGING_LEVEL", "YAIM_ROOT", "YAIM_VERSION", "YERRORSTR",
))  # fmt: skip

#: Of bash, login and the C library.
OF_THE_SHELL = frozenset((
    "CDPATH", "COLUMNS", "COMP_WORDS", "COPROC", "DIRSTACK", "DISPLAY", "EDITOR", "EUID", "FUNCNAME", "GROUPS",
    "HISTFILE", "HOME", "HOSTNAME", "HOSTTYPE", "IFS", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD",
    "LINENO", "LINES", "LOGNAME", "MACHTYPE", "MAIL", "MANPATH", "OLDPWD", "OPTARG", "OPTERR", "OPTIND", "OSTYPE",
    "PAGER", "PATH", "PIPESTATUS", "PPID", "PS1", "PS2", "PS3", "PS4", "PWD", "RANDOM", "REPLY", "SECONDS",
    "SHELL", "SHELLOPTS", "SHLVL", "TERM", "TMPDIR", "TZ", "UID", "USER", "VISUAL",
))  # fmt: skip

#: Of programs that YAIM configures or calls.
OF_PROGRAMS = frozenset((
    "ANT_HOME", "CLASSPATH", "CONDOR_CONFIG", "DPKG_ROOT", "EDG_LOCATION", "EDG_LOCATION_VAR", "GLITE_LOCATION",
    "GLITE_LOCATION_LOG", "GLITE_LOCATION_TMP", "GLITE_LOCATION_VAR", "GLOBUS_LOCATION", "GLOBUS_PATH",
    "GPT_LOCATION", "HTTPS_CERT_FILE", "HTTPS_KEY_FILE", "http_proxy", "https_proxy", "JAVA_HOME", "JAVA_OPTS",
    "JDK_HOME", "JRE_HOME", "LCG_LOCATION", "LCG_LOCATION_VAR", "ORACLE_HOME", "ORACLE_SID", "PERL5LIB",
    "PERLLIB", "PKG_CONFIG_PATH", "PYTHONHOME", "PYTHONPATH", "SASL_PATH", "SGE_ROOT", "SRM_PATH", "TNS_ADMIN",
    "X509_CERT_DIR", "X509_USER_CERT", "X509_USER_KEY", "X509_USER_PROXY", "X509_VOMS_DIR",
))  # fmt: skip

_PREFIXES = ("BASH_", "CATALINA_", "LC_", "YEX_")


def is_nobodys_to_set(name: str) -> bool:
    """Tell whether a variable is YAIM's own, the shell's or another program's."""
    return (
        name in OF_YAIM
        or name in OF_THE_SHELL
        or name in OF_PROGRAMS
        or name == "BASH"
        or name.startswith(_PREFIXES)
        or name.endswith("_FUNCTIONS")  # what a node type consists of: node-info.d
    )
