# Probe 2: grid-env can be sourced in a clean environment, keeps the site's own settings (SD 4.1.1:
# previews "inherit the same local settings used by the production clients"), its tools are found, and what the
# update needs to be configured is set (SD 4.1.2, 3).
. "$1/common.sh"
[ -r "$prefix/etc/profile.d/grid-env.sh" ] || verdict CRITICAL "etc/profile.d/grid-env.sh is missing"
# Half of the time for the preview; what is left suffices to find out whose fault it is.
patience=$((limit / 4 > 0 ? limit / 4 : 1))

# Name the file of the site's own profile.d that cannot be sourced; nothing if each can.
culprits() { # suffix, shell and its options
    suffix=$1
    shift
    tried=0
    for file in "$profile_d"/*."$suffix"; do
        [ -r "$file" ] || continue
        tried=$((tried + 1))
        [ "$tried" -le 40 ] || break
        rm -f "$work/alive"
        if [ "$suffix" = csh ]; then
            # an error in a sourced file ends those that source it, but not the script at the top
            printf 'source %s\necho yes >%s/alive\n' "$file" "$work" >"$work/inner.csh"
            printf 'source %s/inner.csh\n' "$work" >"$work/one.csh"
            timeout -k 1 1 "$@" "$work/one.csh" >/dev/null 2>&1 </dev/null
        else
            printf 'echo yes >"$1/alive"\n' >"$work/alive.sh"
            timeout -k 1 1 "$sh" "$work/source.sh" "$file" "$work/alive.sh" "$sh" "$work" >/dev/null 2>&1 </dev/null
        fi
        [ -r "$work/alive" ] || printf '%s ' "$file"
    done
}

if ! dumped "$prefix/etc/profile.d/grid-env.sh" preview "$patience"; then
    reason=$(why_not)
    guilty=$(culprits sh)
    verdict CRITICAL "sourcing grid-env.sh $reason${guilty:+; the site's own ${guilty}cannot be sourced}"
fi

true >"$work/nothing.sh"
dumped "$work/nothing.sh" clean "$patience" || verdict UNKNOWN "no clean environment: $(why_not)"
dumped "$work/site.sh" site "$patience" || verdict CRITICAL "sourcing the site's own $profile_d $(why_not)"
# Once more: what differs from one time to the next (a ticket's name, a random folder) proves nothing.
dumped "$work/site.sh" again "$patience" || verdict CRITICAL "sourcing the site's own $profile_d works only sometimes"

compare() { # clean site again preview: print what the preview does not keep of the site's settings
    awk -v prefix="$preview/" '
    function keeps(old, new,   a, b, n, m, i, j) {
        if (old == new) return 1
        n = split(old, a, ":"); m = split(new, b, ":")
        # a list keeps its parts in their order; others may come in front, between or behind
        for (i = j = 1; i <= n && j <= m; j++) if (a[i] == b[j]) i++
        if (i > n) return 1
        # one path that now leads into the preview is what a preview is for
        return n == 1 && m == 1 && substr(new, 1, length(prefix)) == prefix
    }
    FNR == 1 { file++ }
    $0 != "=end" {
        at = index($0, "="); name = substr($0, 1, at - 1); value[file, name] = substr($0, at + 1); has[file, name] = 1
        if (file == 2) names[++count] = name
    }
    END {
        for (i = 1; i <= count; i++) {
            n = names[i]
            if (has[1, n] && value[1, n] == value[2, n]) continue
            if (!has[3, n] || value[3, n] != value[2, n]) continue
            kept++
            if (!has[4, n]) print n " is lost"
            else if (!keeps(value[2, n], value[4, n])) print n " is changed"
        }
        print "kept=" kept + 0
    }' "$work/env.$1" "$work/env.$2" "$work/env.$3" "$work/env.$4"
}

value_of() { # name, environment
    sed -n "s/^$1=//p" "$work/env.$2"
}

# Tools of MANIFEST that PATH finds somewhere else, or not at all.
strangers() { # environment
    paths=$(value_of PATH "$1")
    while IFS= read -r tool; do
        where=
        IFS=:
        for folder in $paths; do
            if [ -f "$folder/$tool" ] && [ -x "$folder/$tool" ]; then
                where=$folder
                break
            fi
        done
        unset IFS
        [ "$where" = "$preview/bin" ] && continue
        [ "$where" = "$prefix/bin" ] && continue
        [ -n "$where" ] && [ "$(cd "$where" && pwd -P)" = "$preview/bin" ] && continue
        printf '%s (%s) ' "$tool" "${where:-not found}"
    done <"$work/tools"
}

awk '($1 == "f" && $3 ~ /[1357]/ || $1 == "l") {
    kind = $1
    sub(/^[dfl] [^ ]+ [0-9]+ [0-9]+ /, "")
    if (kind == "l") $0 = substr($0, 1, index($0, " -> ") - 1)
    if ($0 ~ /^bin\/[^\/]+$/) print substr($0, 5)
}' "$prefix/MANIFEST" | while IFS= read -r tool; do
    # a link to a folder or to something that is no program is no tool
    if [ -f "$prefix/bin/$tool" ] && [ -x "$prefix/bin/$tool" ]; then printf '%s\n' "$tool"; fi
done >"$work/tools"
tools=$(awk 'END { print NR }' "$work/tools")

check() { # environment, what it is called; ends the probe if something is wrong
    told=$(value_of PPS_PREFIX "$1")
    [ "$(cd "${told:-/nowhere}" 2>/dev/null && pwd -P)" = "$preview" ] || verdict CRITICAL "$2: PPS_PREFIX is '$told', not $prefix"
    elsewhere=$(strangers "$1")
    [ -z "$elsewhere" ] || verdict CRITICAL "$2: tools are not found in the preview: $elsewhere" "tools=$tools"
}

check preview grid-env.sh
unset_yet=
[ "$needed" = - ] || for name in $(printf '%s' "$needed" | tr ',' ' '); do
    grep -q "^$name=." "$work/env.preview" || unset_yet="$unset_yet $name"
done
[ -z "$unset_yet" ] || verdict CRITICAL "the local configuration does not set$unset_yet (export it in a file $prefix.local/*.sh)" "tools=$tools"
compare clean site again preview >"$work/compared"
lost=$(grep -v '^kept=' "$work/compared" | head -n 5 | tr '\n' ',')
kept=$(sed -n 's/^kept=//p' "$work/compared")
[ -z "$lost" ] || verdict CRITICAL "grid-env.sh does not keep the site's own settings: $lost" "tools=$tools"

csh=$(command -v tcsh || command -v csh) || verdict OK "sh sources it; $tools tools are found in it, $kept settings of the site are kept" "tools=$tools settings=$kept"
[ -r "$prefix/etc/profile.d/grid-env.csh" ] || verdict CRITICAL "etc/profile.d/grid-env.csh is missing"
rm -f "$work/dump"
printf 'source %s/etc/profile.d/grid-env.csh\nexec %s %s/dump.sh %s\n' "$prefix" "$sh" "$work" "$work" >"$work/preview.csh"
timeout -k 1 "$patience" "$csh" -f "$work/preview.csh" >"$work/sourced.noise" 2>&1 </dev/null
code=$?
if [ "$(tail -n 1 "$work/dump" 2>/dev/null)" != "=end" ] || ! grep -q '^PPS_PREFIX=' "$work/dump"; then
    guilty=$(culprits csh "$csh" -f)
    # Where the site's own csh settings are broken so are its production clients, and jobs run sh.
    [ -z "$guilty" ] || verdict WARNING "sh sources it; under csh the site's own ${guilty}cannot be sourced" "tools=$tools settings=$kept"
    [ "$code" -eq 0 ] && verdict CRITICAL "sourcing grid-env.csh does not reach its end: $(tail -n 1 "$work/sourced.noise" | cut -c1-160)"
    verdict CRITICAL "sourcing grid-env.csh $(why_not)"
fi
mv "$work/dump" "$work/env.csh"
check csh grid-env.csh
verdict OK "sh and csh source it; $tools tools are found in it, $kept settings of the site are kept" "tools=$tools settings=$kept"
