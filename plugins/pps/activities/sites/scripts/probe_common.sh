# What the probes share. Each is started as `sh probe.sh work prefix digest production profile_d before limit needed`.
work=$1 prefix=$2 digest=$3 production=$4 profile_d=$5 before=$6 limit=$7 needed=${8:--}
preview=$(cd "$prefix" 2>/dev/null && pwd -P) || preview=$prefix

verdict() { # state, text, perfdata; ends the probe
    printf '%s\n%s\n%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')" "${3-}" >"$work/verdict"
    exit 0
}

# By their absolute paths, since what is sourced may set PATH to anything.
sh=$(command -v sh) awk=$(command -v awk) timeout=$(command -v timeout)

# source.sh FILE THEN: source FILE, then become `sh THEN work`. Functions, traps and options that FILE
# sets end with this shell; its environment goes on, as it does to a job's programs.
cat >"$work/source.sh" <<'SOURCE_EOF'
pps_probe_then=$2 pps_probe_sh=$3 pps_probe_work=$4
. "$1"
exec "$pps_probe_sh" "$pps_probe_then" "$pps_probe_work"
SOURCE_EOF

# The site's own settings: as a job of production gets them, then those for this preview alone (SD 4.1.2, 3).
cat >"$work/site.sh" <<SITE_EOF
for pps_probe_file in "$profile_d"/*.sh "$prefix.local"/*.sh; do
    if [ -r "\$pps_probe_file" ]; then . "\$pps_probe_file"; fi
done
SITE_EOF

# The environment, NAME=value a line, then `=end`. Names that a shell sets by itself are left out.
cat >"$work/dump.awk" <<'DUMP_EOF'
BEGIN {
    for (name in ENVIRON)
        if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/ && name !~ /^(_|PWD|OLDPWD|SHLVL|PPID|HOST|HOSTTYPE|VENDOR|OSTYPE|MACHTYPE|GROUP)$/) {
            value = ENVIRON[name]
            gsub(/[\n\r]/, " ", value)
            print name "=" value
        }
    print "=end"
}
DUMP_EOF
printf '"%s" -f "$1/dump.awk" >"$1/dump"\n' "$awk" >"$work/dump.sh"

# sourced FILE THEN SECONDS: source FILE in a clean shell with the account's own PATH, as a job has it, and run THEN in
# the environment that it made.
# Of what they print we keep the last words only, and at most 1 MB (ulimit) meanwhile.
sourced() {
    (
        ulimit -f 2048 2>/dev/null
        PATH=${PPS_LOGIN_PATH:-$PATH}
        unset PPS_LOGIN_PATH
        exec "$timeout" -k 1 "$3" "$sh" "$work/source.sh" "$1" "$2" "$sh" "$work" >"$work/sourced.noise" 2>&1 </dev/null
    )
}

# dumped FILE NAME SECONDS: source FILE and keep the environment as env.NAME; false if that did not work.
dumped() {
    rm -f "$work/dump"
    sourced "$1" "$work/dump.sh" "$3"
    code=$?
    [ "$(tail -n 1 "$work/dump" 2>/dev/null)" = "=end" ] && mv "$work/dump" "$work/env.$2"
}

# Why sourcing failed, in words.
why_not() {
    case $code in
    124 | 137 | 143) printf "does not end" ;;
    *) printf 'ends the shell or leaves nothing that runs (exit %s) %s' "$code" "$(tail -n 1 "$work/sourced.noise" 2>/dev/null | cut -c1-160)" ;;
    esac
}
