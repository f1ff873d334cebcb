# Probe 5: the well-known tools really run from the preview, and say the versions that MANIFEST names.
. "$1/common.sh"
cd "$prefix" || verdict CRITICAL "there is no $prefix"
# tool, how to ask, exit codes that it ends with then, packages that bring it (deb and rpm).
# globus-url-copy -version ends with 1 and is well.
cat >"$work/known" <<'KNOWN_EOF'
voms-proxy-info --version 0 voms-clients,voms-clients-cpp
gfal-ls --version 0 gfal2-util-scripts,gfal2-util
globus-url-copy -version 0,1 globus-gass-copy-progs
grid-proxy-info -version 0 globus-proxy-utils
myproxy-info -V 0 myproxy
KNOWN_EOF
while read -r tool ask codes packages; do
    if [ -x "bin/$tool" ]; then echo "$tool $ask $codes $packages"; fi
done <"$work/known" >"$work/asked"
[ -s "$work/asked" ] || verdict WARNING "none of the well-known tools is in this client"

cat >"$work/versions_run.sh" <<'RUN_EOF'
work=$1
while read -r tool ask rest; do
    "$tool" "$ask" >"$work/said.$tool" 2>&1 </dev/null
    echo $? >"$work/exit.$tool"
done <"$work/asked"
RUN_EOF
rm -f "$work"/exit.* "$work"/said.*
sourced "$prefix/etc/profile.d/grid-env.sh" "$work/versions_run.sh" $((limit * 3 / 4))
code=$?

wrong='' fine=''
while read -r tool ask codes packages; do
    said=$(head -n 3 "$work/said.$tool" 2>/dev/null | tr '\n' ' ' | cut -c1-160)
    if ! [ -r "$work/exit.$tool" ]; then
        [ -n "$wrong" ] || wrong="$tool did not end, or grid-env.sh $(why_not); "
        continue
    fi
    read -r ended <"$work/exit.$tool"
    case ",$codes," in
    *",$ended,"*) ;;
    *)
        wrong="$wrong$tool $ask ends with $ended: $said; "
        continue
        ;;
    esac
    packaged=$(awk -v names=",$packages," '$1 == "#" && $2 == "package" && index(names, "," $4 ",") { print $5; exit }' MANIFEST)
    # Upstream's part of the version. A pre-release (`~`) does not promise what it will call itself.
    upstream=$(printf '%s\n' "$packaged" | sed 's/^[0-9]*://; s/-[^-]*$//; s/[+].*//')
    case $upstream in
    *~* | '') fine="$fine$tool runs, " ; continue ;;
    [0-9]*.[0-9]*) ;;
    *) fine="$fine$tool runs, " ; continue ;;
    esac
    # Some tools say less than their package (myproxy 6.2 of 6.2.14), none says something else.
    told=$(awk -v want="$upstream" '
        BEGIN { n = split(want, w, ".") }
        {
            line = $0
            while (match(line, /[0-9]+(\.[0-9]+)+/)) {
                told = substr(line, RSTART, RLENGTH)
                line = substr(line, RSTART + RLENGTH)
                m = split(told, t, ".")
                same = m <= n
                for (i = 1; i <= m; i++) if ((t[i] "") != (w[i] "")) same = 0
                if (same) { print told; exit }
            }
        }' "$work/said.$tool")
    if [ -n "$told" ]; then
        fine="$fine$tool $told, "
    else
        wrong="$wrong$tool does not say $upstream but: $said; "
    fi
done <"$work/asked"
asked=$(awk 'END { print NR }' "$work/asked")
[ -z "$wrong" ] || verdict CRITICAL "$wrong" "tools=$asked"
verdict OK "${fine%, }" "tools=$asked"
