# Puts this client in front of the production one, in this shell only. Source it from sh, dash,
# busybox or bash:
#
#     . <prefix>/etc/profile.d/grid-env.sh
#
# First come the site's own settings (its profile.d), since a preview inherits the local settings of
# the production clients; then the settings for this preview alone, if there are any (<prefix>.local/*.sh);
# then the prefix goes in front. Nothing outside this shell is changed.

# A site may source every client's grid-env.sh from its profile.d: once is enough.
if [ -z "${_pps_in_grid_env-}" ]; then
_pps_in_grid_env=yes

# Where is this file? bash knows; other shells hold it open while they read it.
_pps_file=
if [ -n "${BASH_VERSION-}" ]; then
    eval '_pps_file=${BASH_SOURCE[0]}'
else
    _pps_pid=$(exec sh -c 'echo $PPID') # of this (sub)shell: $$ is its parent's
    _pps_file=$(ls -l "/proc/$_pps_pid/fd" 2>/dev/null | sed -n 's|^.* -> \(/.*/etc/profile\.d/grid-env\.sh\)$|\1|p' | sed -n '$p')
    unset _pps_pid
fi
if [ -n "$_pps_file" ]; then
    _pps_prefix=$(CDPATH= cd -- "${_pps_file%/*}/../.." 2>/dev/null && pwd)
else
    _pps_prefix=${PPS_PREFIX-}
fi
unset _pps_file

if [ -z "$_pps_prefix" ] || [ ! -f "$_pps_prefix/etc/profile.d/grid-env.sh" ]; then
    echo "grid-env.sh: cannot find its own folder in this shell; set PPS_PREFIX to it and source again" >&2
else

_pps_site=/etc/profile.d
if [ -r "$_pps_prefix/.pps-site" ]; then
    IFS= read -r _pps_site <"$_pps_prefix/.pps-site" || :
fi
if [ -d "$_pps_site" ] && [ "$(CDPATH= cd -- "$_pps_site" && pwd -P)" != "$(CDPATH= cd -- "$_pps_prefix/etc/profile.d" && pwd -P)" ]; then
    for _pps_script in "$_pps_site"/*.sh; do
        if [ -r "$_pps_script" ]; then
            . "$_pps_script"
        fi
    done
fi
# Then what the site's people have set for this preview alone (SD 4.1.2, 3): it lies beside the preview, so that
# production keeps its own settings and the preview its digest.
for _pps_script in "$_pps_prefix.local"/*.sh; do
    if [ -r "$_pps_script" ]; then
        . "$_pps_script"
    fi
done
unset _pps_site _pps_script

# _pps_first NAME FOLDER: put an existing folder in front of a list, once.
_pps_first() {
    [ -d "$2" ] || return 0
    eval "_pps_list=\${$1-}"
    case "$_pps_list" in
    "$2" | "$2":*) ;;
    *) eval "$1=\$2\${_pps_list:+:\$_pps_list}" ;;
    esac
    eval "export $1"
    unset _pps_list
}

# _pps_use NAME PATH: point a variable at something of ours, if we have it.
_pps_use() {
    if [ -e "$2" ]; then
        eval "$1=\$2; export $1"
    fi
}

PPS_PREFIX=$_pps_prefix
export PPS_PREFIX

_pps_first PATH "$PPS_PREFIX/sbin"
_pps_first PATH "$PPS_PREFIX/bin"
_pps_first LD_LIBRARY_PATH "$PPS_PREFIX/lib"
if [ -d "$PPS_PREFIX/share/man" ]; then
    # an empty part means the system's own manual pages
    case "${MANPATH-}" in
    "$PPS_PREFIX/share/man":*) ;;
    *) MANPATH=$PPS_PREFIX/share/man:${MANPATH-} ;;
    esac
    export MANPATH
fi

# Python bindings and tools of gfal2: dist-packages from Debian, site-packages from RPM
for _pps_folder in "$PPS_PREFIX"/lib/python3*/site-packages "$PPS_PREFIX/lib/python3/dist-packages"; do
    _pps_first PYTHONPATH "$_pps_folder"
done
unset _pps_folder
_pps_use GFAL_PYTHONBIN "$PPS_PREFIX/bin/python3"
_pps_use GFAL_PLUGIN_DIR "$PPS_PREFIX/lib/gfal2-plugins"
_pps_use GFAL_CONFIG_DIR "$PPS_PREFIX/etc/gfal2.d"

# Globus and MyProxy
GLOBUS_LOCATION=$PPS_PREFIX
export GLOBUS_LOCATION
_pps_first PERL5LIB "$PPS_PREFIX/share/perl5"

# Libraries that load parts of themselves
_pps_use SASL_PATH "$PPS_PREFIX/lib/sasl2"
_pps_use OPENSSL_MODULES "$PPS_PREFIX/lib/ossl-modules"
_pps_use OPENSSL_ENGINES "$PPS_PREFIX/lib/engines-3"

# Trust is the site's: certificates and VOMS servers of ours count only where it has none.
if [ -z "${X509_VOMS_DIR-}" ] && [ ! -d /etc/grid-security/vomsdir ]; then
    _pps_use X509_VOMS_DIR "$PPS_PREFIX/etc/grid-security/vomsdir"
fi
if [ -z "${X509_CERT_DIR-}" ] && [ ! -d /etc/grid-security/certificates ]; then
    _pps_use X509_CERT_DIR "$PPS_PREFIX/etc/grid-security/certificates"
fi
if [ -z "${VOMS_USERCONF-}" ] && [ ! -e /etc/vomses ]; then
    _pps_use VOMS_USERCONF "$PPS_PREFIX/etc/vomses"
fi

unset -f _pps_first _pps_use
fi
unset _pps_prefix _pps_in_grid_env
fi
