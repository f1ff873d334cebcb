#clean-environment
# Probes of a preview at a site, in the Nagios convention (SD 4.1.1, step 3).
#
# Arguments: preview's folder, sha256 of its MANIFEST, production's root, the site's profile.d,
# digest that production had before the preview came ("-": not known), seconds for each probe, and the
# variables that the local configuration must set, with commas between ("-": none).
#
# Says one line for each probe, and nothing that a site's own scripts print gets between them:
#     PPS-PROBES 1
#     PPS-PROBE tree OK - 8020 files match MANIFEST|files=8020
#     ...
#     PPS-PROBES-END 5
# The last number is how many probes were reported. A new probe is a word of `probes`, and a file with its name.
# Each probe runs in a process of its own with a time limit, so a profile.d script that ends its shell
# or never ends makes one probe fail. The probes talk through files, not pipes: a pipe would stay open,
# and we would wait, as long as anything that they left behind.
set -u
prefix=$1 digest=$2 production=$3 profile_d=$4 before=$5 limit=$6 needed=${7:--}
# The probes in their order, each with what it is if it does not end in time. `probing.py` reads this very line.
probes="tree:UNKNOWN environment:CRITICAL production:UNKNOWN libraries:UNKNOWN versions:CRITICAL"
told=0
login_path=${PPS_LOGIN_PATH:-/usr/local/bin:/usr/bin:/bin} user=${USER:-$(id -un)}

say() { # probe, state, text, perfdata
    text=$(printf '%s' "$3" | tr -c '\040-\176' ' ' | tr '|' '/' | cut -c1-400)
    printf 'PPS-PROBE %s %s - %s|%s\n' "$1" "$2" "${text:-no text}" "${4-}"
    told=$((told + 1))
}

run() { # probe, state if it does not end in time
    rm -f "$work/verdict"
    env -i HOME="$HOME" PATH="$PATH" PPS_LOGIN_PATH="$login_path" USER="$user" LOGNAME="$user" SHELL=/bin/sh TERM=dumb LC_ALL=C \
        timeout -k 2 "$limit" sh "$work/$1.sh" "$work" "$prefix" "$digest" "$production" "$profile_d" "$before" "$limit" "$needed" \
        >"$work/noise" 2>&1 </dev/null
    code=$?
    state= text= perfdata=
    if [ -r "$work/verdict" ]; then
        { IFS= read -r state && IFS= read -r text && IFS= read -r perfdata; } <"$work/verdict"
    fi
    case $state in
    OK | WARNING | CRITICAL | UNKNOWN) say "$1" "$state" "$text" "$perfdata" ;;
    *)
        case $code in
        124 | 137 | 143) say "$1" "$2" "did not end within $limit s" ;;
        *) say "$1" UNKNOWN "ended without a verdict (exit $code): $(tail -n 1 "$work/noise" 2>/dev/null)" ;;
        esac
        ;;
    esac
}

echo 'PPS-PROBES 1'
if work=$(mktemp -d "${TMPDIR:-/tmp}/pps-probes.XXXXXX" 2>/dev/null) && [ -d "$work" ]; then
    trap 'rm -rf "$work"' EXIT
    trap 'exit 143' HUP INT TERM
else
    for probe in $probes; do
        say "${probe%:*}" UNKNOWN "there is no room for temporary files in ${TMPDIR:-/tmp}"
    done
    echo "PPS-PROBES-END $told"
    exit 0
fi

cat >"$work/common.sh" <<'PPS_EOF'
#include probe_common.sh
PPS_EOF
cat >"$work/tree.sh" <<'PPS_EOF'
#include production_digest.sh
#include manifest_check.sh
#include probe_tree.sh
PPS_EOF
cat >"$work/environment.sh" <<'PPS_EOF'
#include probe_environment.sh
PPS_EOF
cat >"$work/production.sh" <<'PPS_EOF'
#include production_digest.sh
#include probe_production.sh
PPS_EOF
cat >"$work/libraries.sh" <<'PPS_EOF'
#include probe_libraries.sh
PPS_EOF
cat >"$work/versions.sh" <<'PPS_EOF'
#include probe_versions.sh
PPS_EOF

for probe in $probes; do
    run "${probe%:*}" "${probe#*:}"
done
echo "PPS-PROBES-END $told"
