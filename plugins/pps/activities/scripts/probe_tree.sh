# Probe 1: the tree is what MANIFEST says (digests, sizes, modes, links), and MANIFEST is this tarball's.
. "$1/common.sh"
cd "$prefix" 2>/dev/null || verdict CRITICAL "there is no $prefix"
[ -f MANIFEST ] || verdict CRITICAL "MANIFEST is missing"
found=$(sha256sum <MANIFEST | cut -c1-64)
[ "$found" = "$digest" ] || verdict CRITICAL "MANIFEST is not the one of this tarball, its sha256 is $found"
ok=
[ -r .pps-ok ] && IFS= read -r ok <.pps-ok
[ "$ok" = "$digest" ] || verdict CRITICAL ".pps-ok does not hold the tarball's digest"

pps_tree . >"$work/listing" 2>/dev/null
awk '
function octal(p,   bits, special, i, c) {
    bits = 0; special = 0
    for (i = 2; i <= 10; i++) {
        c = substr(p, i, 1)
        bits = bits * 2 + (c != "-" && c != "S" && c != "T")
        if (c ~ /[sStT]/) special += (i == 4) ? 4 : (i == 7) ? 2 : 1
    }
    return special * 512 + bits
}
function number(digits,   n, i) {
    n = 0
    for (i = 1; i <= length(digits); i++) n = n * 8 + substr(digits, i, 1)
    return n
}
function wrong(text) { told[name] = 1; if (++bad <= 3) list = list (list == "" ? "" : ", ") text }
NR == FNR && /^# / { next }
NR == FNR {
    kind = $1; mode = $3; size = $4; sum = $2
    sub(/^[dfl] [^ ]+ [0-9]+ [0-9]+ /, "")
    name = $0
    if (kind == "l") { at = index(name, " -> "); target[substr(name, 1, at - 1)] = substr(name, at + 4); name = substr(name, 1, at - 1) }
    kinds[name] = kind; modes[name] = number(mode); sizes[name] = size
    entries++
    if (kind == "f") { files++; bytes += size; sums[name] = sum }
    next
}
# sha256sum marks a line whose name it had to escape; that of busybox never escapes.
/^\\/ && substr($0, 2, 64) ~ /^[0-9a-f]+$/ { $0 = substr($0, 2); gsub(/\\\\/, "\\") }
substr($0, 1, 64) ~ /^[0-9a-f]+$/ && substr($0, 65, 2) ~ /^ [ *]$/ { is[substr($0, 69)] = substr($0, 1, 64); next }
{
    perms = substr($1, 1, 10); size = $2; kind = substr(perms, 1, 1)
    if (kind == "l") sub(/^[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ \.\//, "")
    else sub(/^[^ ]+ [0-9]+ \.\//, "")
    name = $0; to = ""
    if (kind == "l") { at = index(name, " -> "); to = substr(name, at + 4); name = substr(name, 1, at - 1) }
    if (kind == "-") kind = "f"
    if (!(name in kinds)) {
        # Python writes its byte code beside the source where it may; that is no damage.
        if (name !~ /^(MANIFEST|\.pps-ok|\.pps-site)$/ && name !~ /(^|\/)__pycache__(\/|$)/ && name !~ /\.pyc$/)
            if (++extra <= 3) extras = extras (extras == "" ? "" : ", ") name
        next
    }
    seen[name] = 1
    if (kind != kinds[name]) wrong(name " is of another kind")
    else if (kind == "l") { if (to != target[name]) wrong(name " leads to " to) }
    else if (kind == "f" && size != sizes[name]) wrong(name " has " size " bytes instead of " sizes[name])
    else if (kind == "f" && octal(perms) != modes[name]) wrong(name " has mode " perms)
    # a folder may have inherited its set-group bit from the site
    else if (kind == "d" && octal(perms) % 512 != modes[name] % 512) wrong(name " has mode " perms)
}
END {
    for (name in kinds) if (!(name in seen)) wrong(name " is missing")
    for (name in sums) if ((name in seen) && !(name in told) && is[name] != sums[name]) wrong(name " has another content")
    print bad + 0; print list; print extra + 0; print extras; print entries + 0; print files + 0; printf "%.0f\n", bytes
}' MANIFEST "$work/listing" >"$work/tree.found"
{ read -r bad && IFS= read -r list && read -r extra && IFS= read -r extras && read -r entries && read -r files && read -r bytes; } <"$work/tree.found" ||
    verdict UNKNOWN "the tree could not be compared with MANIFEST"
[ "$bad" -eq 0 ] || verdict CRITICAL "$bad of $entries entries differ from MANIFEST: $list" "entries=$entries wrong=$bad"
[ "$files" -gt 0 ] || verdict CRITICAL "MANIFEST lists no file"
[ "$extra" -eq 0 ] || verdict WARNING "$files files match MANIFEST; $extra are not in it: $extras" "files=$files bytes=${bytes}B extra=$extra"
verdict OK "$files files match MANIFEST" "files=$files bytes=${bytes}B"
