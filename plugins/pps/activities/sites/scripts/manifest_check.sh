# What is damage to a preview, and what is use of it: the one definition, for the probe, the receiver and the night.
#
# Damage: what MANIFEST lists is missing or is not as it says (kind, mode, size, content, target), or something that
# nobody shipped could be run, loaded or read by the client: anything executable, any library, and any file, link or
# folder in the client's own folders (bin, lib, etc ... and all that MANIFEST has at the top).
# Use, which is left alone:
#   - byte code of Python: what lies in __pycache__ (which Python never imports without its source), *.pyc beside its
#     source; also byte code that was shipped and written anew or removed, since Python compares it with the source
#   - what a crash leaves (core, core.1234, core.tool.1234, vgcore.1234, hs_err_pid1234.log)
#   - what a network file system keeps of open files that were removed (.nfs*, .fuse_hidden*, .panfs.*)
#   - what an editor, a lock or a log leaves (name~, .name.swp, #name#, .#name; *.lock, *.lck, *.pid, *.log, nohup.out)
#   - other files at the top, or in folders there that are none of the client's
# A folder may have inherited its set-group bit from the site.
#
# pps_compare DIR full|list [sent]: one line `<wrong> <entries> <files> <bytes> <left by use>`, then up to three texts.
# full reads every file's content. `sent`: nothing can have been used yet, what is not in MANIFEST is wrong.
pps_compare() (
  cd "$1" && [ -f MANIFEST ] && [ ! -L MANIFEST ] || { printf '1 0 0 0 0\nMANIFEST is missing\n'; exit; }
  how=$2
  {
    pps_tree . names 2>/dev/null | awk -v sent="${3-}" '
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
    function plain(p) { return int(p / 1024) % 2 ? p - 1024 : p }
    function wrong(text) { if (++bad <= 3) list = list "T " text "\n" }
    function cut(name) { match(name, "[^/]*$"); base = substr(name, RSTART); folder = substr(name, 1, RSTART - 1) }
    # byte code of a source that was shipped
    function cached(name,   stem) {
      if (sent || name !~ /\.py[co]$/) return 0
      cut(name); stem = base; sub(/\..*/, "", stem)
      if (sub(/__pycache__\/$/, "", folder)) return (folder stem ".py") in kinds
      return substr(name, 1, length(name) - 1) in kinds
    }
    function used(kind, name, perms,   top) {
      if (sent) return 0
      cut(name)
      if (kind == "l") return base ~ /^\.#/
      if (kind == "d") { if (base == "__pycache__") return 1 }
      else {
        if (kind != "f") return 0
        if (base ~ /^(\.nfs[0-9A-Fa-f]+|\.fuse_hidden[0-9A-Fa-f]+|\.panfs\..*)$/) return 1
        if (perms ~ /[xs]/ || base ~ /\.so(\.|$)/) return 0
        if (folder ~ /(^|\/)__pycache__\/$/) return base ~ /\.py[co](\.[0-9]+)?$/
        if (base ~ /^(core|core([.-].*)?[.-][0-9]+|vgcore\.[0-9]+|hs_err_pid[0-9]+\.log|nohup\.out)$/) return 1
        if (base ~ /~$/ || base ~ /^\..*\.sw[a-p]$/ || base ~ /^#.*#$/ || base ~ /\.(lock|lck|pid|log)$/) return 1
        if (base ~ /\.py[co]$/) return cached(name)
      }
      top = name; sub(/\/.*/, "", top)
      if (kind == "f" && top == name) return 1
      return !(top in kinds) && top !~ /^(bin|sbin|lib.*|etc|share|usr|opt|python.*)$/
    }
    FILENAME == "MANIFEST" && /^# / { next }
    FILENAME == "MANIFEST" {
      if (!match($0, /^[dfl] [0-9a-f-]+ [0-7][0-7][0-7][0-7] [0-9]+ /)) { wrong("MANIFEST has a strange line"); next }
      kind = $1; mode = $3; size = $4; sum = $2
      name = substr($0, RLENGTH + 1)
      if (kind == "l") { at = index(name, " -> "); target[substr(name, 1, at - 1)] = substr(name, at + 4); name = substr(name, 1, at - 1) }
      kinds[name] = kind; modes[name] = number(mode); sizes[name] = size
      entries++
      if (kind == "f") { files++; bytes += size; sums[name] = sum }
      next
    }
    {
      perms = substr($1, 1, 10); size = $2; kind = substr(perms, 1, 1)
      if (kind == "l") { if (!match($0, / \.\//)) next; name = substr($0, RSTART + 3) }
      else { if (!match($0, /^[^ ]+ [0-9]+ \.\//)) { wrong("a name that nobody shipped: " $0 " is not in MANIFEST"); next }; name = substr($0, RLENGTH + 1) }
      to = ""
      if (kind == "l") { at = index(name, " -> "); to = substr(name, at + 4); name = substr(name, 1, at - 1) }
      if (kind == "-") kind = "f"
      if (!(name in kinds)) {
        if (name ~ /^(MANIFEST|\.pps-ok|\.pps-site)$/ && kind == "f" && (!sent || name == "MANIFEST")) next
        if (used(kind, name, perms)) use++
        else wrong(name " is not in MANIFEST" (kind == "f" || kind == "d" || kind == "l" ? "" : " (" perms ")"))
        next
      }
      seen[name] = 1
      if (kind != kinds[name]) wrong(name " is of another kind")
      else if (kind == "l") { if (to != target[name]) wrong(name " leads to " to) }
      else if (kind == "d") { if (sent != "part" && plain(octal(perms)) != plain(modes[name])) wrong(name " has mode " perms) }
      else if (cached(name)) { }
      else if (size != sizes[name]) wrong(name " has " size " bytes instead of " sizes[name])
      else if (octal(perms) != modes[name]) wrong(name " has mode " perms)
      else { print sums[name] "  ./" name; to_read++ }
    }
    END {
      for (name in kinds) if (!(name in seen) && !cached(name)) {
        if (sent == "part" && kinds[name] == "f") continue
        wrong(name " is missing")
      }
      printf "E %d %d %d %.0f %d %d\n%s", bad, entries, files, bytes, use, to_read, list | "cat 1>&3"
    }' MANIFEST - | if [ "$how" = full ]; then sha256sum -c - 2>/dev/null; else cat; fi |
      awk -v how="$how" '
    how == "list" || /: OK$/ { same++; next }
    / FAILED/ && shown < 3 {
      text = / FAILED open/ ? "cannot be read" : "has another content"
      sub(/: FAILED.*$/, ""); if (sub(/^\\/, "")) gsub(/\\\\/, "\\"); sub(/^\.\//, "")
      list = list "T " $0 " " text "\n"; shown++
    }
    END { printf "R %d\n%s", same, list }'
  } 3>&1 | awk '
    $1 == "E" { bad = $2; rest = $3 " " $4 " " $5 " " $6; to_read = $7; told = 1 }
    $1 == "R" { same = $2 }
    $1 == "T" && n < 3 { text[++n] = substr($0, 3) }
    END {
      if (!told) { print "1 0 0 0 0"; print "the tree could not be compared with MANIFEST"; exit }
      bad += to_read - same
      if (bad && !n) text[++n] = "the files could not be read"
      print bad, rest
      for (i = 1; i <= n; i++) print text[i]
    }'
)
