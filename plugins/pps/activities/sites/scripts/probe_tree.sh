# Probe 1: the tree is what MANIFEST says (digests, sizes, modes, links), and MANIFEST is this tarball's.
. "$1/common.sh"
cd "$prefix" 2>/dev/null || verdict CRITICAL "there is no $prefix"
{ [ -f MANIFEST ] && [ ! -L MANIFEST ]; } || verdict CRITICAL "MANIFEST is missing"
found=$(sha256sum <MANIFEST | cut -c1-64)
[ "$found" = "$digest" ] || verdict CRITICAL "MANIFEST is not the one of this tarball, its sha256 is $found"
ok=
[ -f .pps-ok ] && [ ! -L .pps-ok ] && IFS= read -r ok <.pps-ok
[ "$ok" = "$digest" ] || verdict CRITICAL ".pps-ok does not hold the tarball's digest"

pps_compare . full >"$work/tree.found"
{ read -r bad entries files bytes use && IFS= read -r list && IFS= read -r second && IFS= read -r third; } <"$work/tree.found"
case ${bad:-none}:${use:-none} in *none*) verdict UNKNOWN "the tree could not be compared with MANIFEST" ;; esac
list="$list${second:+, $second}${third:+, $third}"
[ "$bad" -eq 0 ] || verdict CRITICAL "$bad of $entries entries differ from MANIFEST: $list" "entries=$entries wrong=$bad"
[ "$files" -gt 0 ] || verdict CRITICAL "MANIFEST lists no file"
left=
[ "$use" -eq 0 ] || left="; $use more that its use has left there"
verdict OK "$files files match MANIFEST$left" "files=$files bytes=${bytes}B${left:+ use=$use}"
