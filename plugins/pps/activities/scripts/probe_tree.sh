# Probe 1: the tree is what MANIFEST says (digests, sizes, modes, links), and MANIFEST is this tarball's.
. "$1/common.sh"
cd "$prefix" 2>/dev/null || verdict CRITICAL "there is no $prefix"
[ -f MANIFEST ] || verdict CRITICAL "MANIFEST is missing"
found=$(sha256sum <MANIFEST | cut -c1-64)
[ "$found" = "$digest" ] || verdict CRITICAL "MANIFEST is not the one of this tarball, its sha256 is $found"
ok=
[ -r .pps-ok ] && IFS= read -r ok <.pps-ok
[ "$ok" = "$digest" ] || verdict CRITICAL ".pps-ok does not hold the tarball's digest"

pps_tree . names >"$work/listing" 2>/dev/null
awk -v sums="$work/sums" '
function octal(p,   s, o, i, c) {
    s = 0; o = 0
    for (i = 2; i <= 10; i++) {
        c = substr(p, i, 1)
        if (c != "-" && c != "S" && c != "T") o += 2 ^ (10 - i)
        if ((i == 4 || i == 7 || i == 10) && c ~ /[sStT]/) s += (i == 4) ? 2048 : (i == 7) ? 1024 : 512
    }
    return s + o
}
function number(digits,   n, i) {
    n = 0
    for (i = 1; i <= length(digits); i++) n = n * 8 + substr(digits, i, 1)
    return n
}
function wrong(text) { if (++bad <= 3) list = list (list == "" ? "" : ", ") text }
NR == FNR && /^# / { next }
NR == FNR {
    kind = $1; mode = $3; size = $4; sum = $2
    sub(/^[dfl] [^ ]+ [0-9]+ [0-9]+ /, "")
    name = $0
    if (kind == "l") { at = index(name, " -> "); target[substr(name, 1, at - 1)] = substr(name, at + 4); name = substr(name, 1, at - 1) }
    kinds[name] = kind; modes[name] = number(mode); sizes[name] = size
    entries++
    if (kind == "f") {
        files++; bytes += size
        line = name
        if (index(line, "\\")) { gsub(/\\/, "\\\\", line); sum = "\\" sum }
        print sum "  ./" line >sums
    }
    next
}
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
    print bad + 0; print list; print extra + 0; print extras; print entries + 0; print files + 0; printf "%.0f\n", bytes
}' MANIFEST "$work/listing" >"$work/tree.found"
{ read -r bad && IFS= read -r list && read -r extra && IFS= read -r extras && read -r entries && read -r files && read -r bytes; } <"$work/tree.found" ||
    verdict UNKNOWN "the tree could not be compared with MANIFEST"
[ "$bad" -eq 0 ] || verdict CRITICAL "$bad of $entries entries differ from MANIFEST: $list" "entries=$entries wrong=$bad"
[ "$files" -gt 0 ] || verdict CRITICAL "MANIFEST lists no file"

if ! sha256sum -c "$work/sums" >"$work/sums.found" 2>/dev/null; then
    bad=$(grep -c -v ': OK$' "$work/sums.found")
    [ "$bad" -gt 0 ] || verdict UNKNOWN "sha256sum could not check the files"
    verdict CRITICAL "$bad of $files files differ from MANIFEST: $(grep -v ': OK$' "$work/sums.found" | head -n 3 | sed 's/: FAILED.*//' | tr '\n' ' ')" "files=$files wrong=$bad"
fi
[ "$extra" -eq 0 ] || verdict WARNING "$files files match MANIFEST; $extra are not in it: $extras" "files=$files bytes=${bytes}B extra=$extra"
verdict OK "$files files match MANIFEST" "files=$files bytes=${bytes}B"
