# Probe 4: every ELF file of the tree finds its libraries in the preview's environment.
. "$1/common.sh"
ldd=$(command -v ldd) || verdict WARNING "the site has no ldd"
xargs=$(command -v xargs) || verdict WARNING "the site has no xargs"
cd "$prefix" || verdict CRITICAL "there is no $prefix"
awk '$1 == "f" {
    mode = $3
    sub(/^[dfl] [^ ]+ [0-9]+ [0-9]+ /, "")
    if (mode ~ /[1357]/ || $0 ~ /\.so(\.|$)/) print
}' MANIFEST >"$work/programs"
elf=$(printf '\177ELF')
while IFS= read -r file; do
    head=
    # only the shell's own read: a process for each of some thousand files would take seconds
    { IFS= read -r head || [ -n "$head" ]; } 2>/dev/null <"./$file"
    case $head in "$elf"*) printf '%s\n' "$file" ;; esac
done <"$work/programs" 2>/dev/null >"$work/elf"
count=$(awk 'END { print NR }' "$work/elf")
[ "$count" -gt 0 ] || verdict OK "the tree holds no ELF file" "elf=0"

# ldd names the file before its libraries only if it is given several: so the first one goes with every call.
IFS= read -r first <"$work/elf"
sed 's|^|./|; s/[^A-Za-z0-9_./+-]/\\&/g' "$work/elf" >"$work/elf.quoted"
printf '%s -n 200 %s "%s" <"%s" >"$1/ldd.out" 2>&1\n' "$xargs" "$ldd" "./$first" "$work/elf.quoted" >"$work/ldd.sh"
sourced "$prefix/etc/profile.d/grid-env.sh" "$work/ldd.sh" $((limit * 3 / 4))
code=$?
[ -s "$work/ldd.out" ] || verdict CRITICAL "ldd does not run in the preview's environment: grid-env.sh $(why_not)"
awk '
/^[^ \t].*:$/ { file = substr($0, 3, length($0) - 3); next }
/not found|Error loading shared library|Error relocating/ {
    name = $1
    if (!((file, $0) in seen)) {
        seen[file, $0] = 1
        if (!(file in hit)) { hit[file] = 1; files++ }
        if (++shown <= 3) { sub(/^[ \t]+/, ""); sub(/ => /, " "); print file ": " $0 }
    }
    next
}
# every library is dynamic: one that the loader does not take is for another machine, or damaged
/not a dynamic executable/ && file ~ /\.so(\.|$)/ { if (!(file in hit)) { hit[file] = 1; files++; if (++shown <= 3) print file ": not for this machine" } }
END { print "=" files + 0 }' "$work/ldd.out" >"$work/missing"
bad=$(sed -n 's/^=//p' "$work/missing")
[ "${bad:-1}" -eq 0 ] || verdict CRITICAL "$bad of $count ELF files miss a library: $(grep -v '^=' "$work/missing" | tr '\n' ',')" "elf=$count missing=$bad"
verdict OK "$count ELF files find their libraries" "elf=$count missing=0"
