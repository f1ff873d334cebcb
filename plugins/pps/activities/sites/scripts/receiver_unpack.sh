# Of the receiver: from the stream that is sent to a whole tree in $stage/.pps-new.

# A preview whose programs cannot run is none, however whole it is.
runs_programs() {
  why=$({ printf '#!/bin/sh\nexit 7\n' >"$stage/run" && chmod 700 "$stage/run"; } 2>&1) || refuse io "$why"
  "$stage/run" >/dev/null 2>&1
  [ $? -eq 7 ] || refuse unsafe "no program can be run in $root: mount it without noexec, or give the account another preview_root"
  rm -f "$stage/run"
}

# one_line: what the centre says next. Only a shell reads a line and not more of what follows; one without an end does
# not fill the site's memory.
one_line() {
  $limit ${limit:+"$seconds"} sh -c 'ulimit -v 262144 2>/dev/null; IFS= read -r line && printf "%s" "$line"' <&5 2>/dev/null
}

# receive: from standard input to $stage/payload, not a byte more than announced; then MANIFEST of it, and its limits.
receive() {
  announced=$(one_line)
  [ -n "$announced" ] || refuse unpack "no payload came"
  IFS=' ' read -r mark version packed listed extra <<PPS_LINE
$announced
PPS_LINE
  case $mark:$version:$packed:$listed:$extra in
    PPS-PAYLOAD:2:*[!0-9:]*:|PPS-PAYLOAD:2::*|PPS-PAYLOAD:2:*::) refuse input "the payload does not begin as one" ;;
    PPS-PAYLOAD:2:*:) ;;
    *) refuse input "the payload does not begin as one" ;;
  esac
  [ "${#packed}" -le 12 ] && [ "${#listed}" -le 8 ] || refuse input "the payload says that it is too big"
  payload_is_allowed
  # shellcheck disable=SC2086
  $limit ${limit:+"$seconds"} head -c "$packed" <&5 >"$stage/payload" 2>"$stage/said" 4>&- &
  await $!; ended=$?  # the number of bytes tells more than the exit code of some timeout
  got=$(wc -c <"$stage/payload")
  [ "$got" -eq "$packed" ] || refuse unpack "$((got)) of $packed bytes came $(said $ended)"
  say "PPS-GOT $packed"
  gzip -dc <"$stage/payload" 2>/dev/null | head -c $(((listed + 511) / 512 * 512 + 512)) |
    tar -xf - -O .pps-new/MANIFEST >"$stage/MANIFEST" 2>/dev/null
  found=$(sha256sum <"$stage/MANIFEST")
  [ "${found%% *}" = "$digest" ] || full
  [ "${found%% *}" = "$digest" ] || refuse damaged "what arrived is not what was sent: MANIFEST has another digest"
  manifest_is_allowed
  # Room for a header and, where a name is long, two blocks for it: no tar needs more.
  set -- $(LC_ALL=C awk '
    BEGIN { bytes = 32768 }
    /^# / { next }
    { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", name) }
    $1 == "l" { sub(/ -> .*/, "", name) }
    name ~ /^\// || ("/" name "/") ~ /\/\.?\.?\// { bad = 1 }
    { bytes += 512 + (length(name) >= 90 ? 3072 : 0) + ($1 == "f" ? int(($4 + 511) / 512) * 512 : 0); if ($1 != "d") members++ }
    END { printf "%.0f %d %d\n", bytes, members + 1, bad }' "$stage/MANIFEST")
  [ "${3-1}" -eq 0 ] || refuse damaged "MANIFEST names a path that leaves the preview"
  # MANIFEST is a member, too.
  most=$(($1 + (listed + 511) / 512 * 512 + 512)) members=$2
}

# said EXIT: why a child failed. A full disk may have left no room for its words, a limit kills it silently.
said() {
  words=$(head -n 3 "$stage/said" 2>/dev/null)
  if [ "$1" -eq 153 ]; then words="File too large"
  elif [ -z "$words" ]; then words=$(no_room)
  fi
  printf '%s' "$words"
}

# no_room: what the disk says when it takes no more, or nothing. Not every tool passes that on.
no_room() { { dd if=/dev/zero bs=65536 count=1 >"$stage/room"; } 2>&1 | sed '/ records /d; /copied/d'; rm -f "$stage/room"; }

# full: refuse if it is only the disk that takes no more
full() { why=$(no_room); [ -z "$why" ] || refuse io "$why"; }

# inflate: what was received, once, to a file beside it: tar can list that without reading it. Only where it leaves most
# of the room to others; else who lists and who unpacks inflate for themselves.
inflate() {
  [ "$(df -Pk "$stage" 2>/dev/null | awk -v most="$most" 'NR == 2 { print ($4 * 256 > most) }')" = 1 ] || return 0
  gzip -dc <"$stage/payload" 2>/dev/null 4>&- | head -c "$most" >"$stage/inflated" 2>/dev/null 4>&- &
  await $! || rm -f "$stage/inflated"
}

list_members() {
  if [ -f "$stage/inflated" ]; then LC_ALL=C tar -tvf - <"$stage/inflated"
  else gzip -dc <"$stage/payload" | head -c "$most" | LC_ALL=C tar -tvf -
  fi 2>/dev/null
}

# extract: sets `extracted`. What is awaited is tar itself, since it must go with us.
extract() {
  why=$(mkdir "$stage/.pps-new" 2>&1 && in_folders 'd' 'mkdir -p') || refuse io "$why"
  if [ -f "$stage/inflated" ]; then
    tar -xpof - -C "$stage" <"$stage/inflated" 2>"$stage/said" >&2 4>&- &
  else
    gzip -dc <"$stage/payload" 2>/dev/null 4>&- | head -c "$most" 2>/dev/null 4>&- |
      tar -xpof - -C "$stage" 2>"$stage/said" >&2 4>&- &
  fi
  await $!; extracted=$?
}

# unpack: what was received, into $stage/.pps-new. First a list, since a member that is more than a plain file or a
# symbolic link, or one too many, must not be written at all.
unpack() {
  inflate
  why=$(list_members | awk -v most="$members" '
    /^-/ && (/ -> / || / link to [^ ]*\.pps-new\//) { print "a hard link"; exit }
    !/^[-l]/ { print "more than files and symbolic links"; exit }
    {
      at = index($0, " .pps-new/")
      name = substr($0, at + 1); if (/^l/) sub(/ -> .*/, "", name)
      if (!at || ("/" name "/") ~ /\/\.\.\//) { print "a name out of its folder"; exit }
      if (++count > most) { print "more than the " most " members of MANIFEST"; exit }
    }')
  [ -z "$why" ] || refuse damaged "what arrived is not what was sent: it has $why"
  extract
  if [ "$extracted" -ne 0 ] && [ -f "$stage/inflated" ]; then
    # a quota, perhaps, that takes the tree alone
    rm -f "$stage/inflated"
    remove_all "$stage/.pps-new"
    extract
  fi
  [ "$extracted" -eq 0 ] || refuse unpack "$(said "$extracted")"
  rm -f "$stage/payload" "$stage/inflated"
  [ -z "$(find "$stage/.pps-new" ! -type d -links +1 | head -n 1)" ] || refuse damaged "what arrived is not what was sent: it has a hard link"
  set_file_modes
}

# A default access list can take away from each new file what others may do, and tar believes that it asked for enough.
set_file_modes() {
  true >"$stage/plain"
  case $(ls -l "$stage/plain") in '-rw-r--r-- '*) return 0 ;; esac
  (cd "$stage/.pps-new" && find . -type f) >"$stage/sent"
  why=$(LC_ALL=C awk "$quoted"'
    FNR == 1 { file++ }
    file == 1 { sent[substr($0, 3)]; next }
    !/^f / { next }
    {
      mode = $3
      sub(/^f [^ ]+ [^ ]+ [^ ]+ /, "")
      if (!($0 in sent)) next
      line[mode] = line[mode] " " quote("./" $0)
      if (++n[mode] % 200 == 0) { print "chmod " mode line[mode]; line[mode] = "" }
    }
    END { for (mode in line) if (line[mode] != "") print "chmod " mode line[mode] }' "$stage/sent" "$stage/MANIFEST" | run_in_tree) ||
    refuse io "$why"
}

# in_folders MODE COMMAND: run `COMMAND FOLDER...` on all folders of MANIFEST, many at a time. With MODE m `COMMAND MODE
# FOLDER...`, one MODE at a time.
in_folders() {
  LC_ALL=C awk -v what="$1" -v command="$2" "$quoted"'
    /^d / {
      mode = what == "m" ? " " $3 : ""
      sub(/^d [^ ]+ [^ ]+ [^ ]+ /, "")
      line[mode] = line[mode] " " quote("./" $0)
      if (++n[mode] % 200 == 0) { print command mode line[mode]; line[mode] = "" }
    }
    END { for (mode in line) if (line[mode] != "") print command mode line[mode] }' "$stage/MANIFEST" | run_in_tree
}
quoted='
    function quote(s,   part, i, n, out) {
      n = split(s, part, "\047")
      out = "\047" part[1]
      for (i = 2; i <= n; i++) out = out "\047\\\047\047" part[i]
      return out "\047"
    }'
run_in_tree() { (cd "$stage/.pps-new" && { echo 'set -e'; cat; } | sh 2>&1); }

set_modes() {
  why=$(in_folders m chmod && chmod 755 "$stage/.pps-new" 2>&1) || refuse io "$why"
}

# link_from BASE: what MANIFEST lists and was not sent is linked from the files of BASE that have the same content and
# mode, many at a time. What stands there in the meantime shows when the whole tree is read.
link_from() {
  { ours "$1" && [ -d "$1" ] && [ -f "$1/MANIFEST" ] && ours "$1/MANIFEST"; } || refuse damaged "${1##*/} is not here as a preview of ours"
  why=$(check_tree "$new" "$digest" list part) || refuse damaged "what arrived is not what was sent: $why"
  (cd "$new" && find . -type f) >"$stage/sent"
  LC_ALL=C awk -v base="$1/" "$quoted"'
    function flush(key,   at) {
      split(key, at, SUBSEP)
      print "ln" line[key] " " quote("./" at[2]); line[key] = ""; n[key] = 0
    }
    FNR == 1 { file++ }
    file == 2 { delete want[substr($0, 3)]; next }
    !/^f / { next }
    { key = $2 " " $3; sub(/^f [^ ]+ [^ ]+ [^ ]+ /, "") }
    file == 1 { want[$0] = key; next }
    { held[key] = $0; has[$0] = key }
    END {
      for (path in want) {
        key = want[path]
        if (has[path] == key) from = path
        else if (key in held) from = held[key]
        else { print "echo " quote(path " is neither sent nor in the base") "; exit 1"; exit }
        match(path, "[^/]*$"); name = substr(path, RSTART); to = substr(path, 1, RSTART - 1)
        match(from, "[^/]*$")
        if (substr(from, RSTART) != name) { print "ln " quote(base from) " " quote("./" path); continue }
        key = substr(from, 1, RSTART - 1) SUBSEP to
        line[key] = line[key] " " quote(base from)
        if (++n[key] == 200) flush(key)
      }
      for (key in line) if (n[key]) flush(key)
    }' "$stage/MANIFEST" "$stage/sent" "$1/MANIFEST" >"$stage/links"
  why=$(run_in_tree <"$stage/links") || refuse damaged "building upon ${1##*/} failed: $why"
}
