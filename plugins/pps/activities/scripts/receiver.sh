#!/bin/sh
# PPS receiver: installs a client preview at a site, beside the production client.
#
# Comes behind the text of production_digest.sh. POSIX sh with find, tar, gzip, awk, sed, sort and coreutils
# (also busybox). Few processes however many files a preview has: a site's login host has other things to do.
#
# What may be seen at any instant, also after kill -9: the old preview or none, never a part of one. Everything
# happens in <preview_root>/.pps/stage.<n>, is checked there and then renamed.

usage() {
  cat <<'HELP'
usage: receiver install NAME DIGEST PREVIEW_ROOT PRODUCTION_ROOT PROFILE_D [SECONDS [full|list]]
       receiver look NAME DIGEST PREVIEW_ROOT
       receiver remove NAME PREVIEW_ROOT
       receiver --help

install  Prints what is here, reads one line (`full`, or `delta BASE`) and then one tar.gz from standard
         input, checks it against its MANIFEST (sha256 DIGEST) and renames it to PREVIEW_ROOT/NAME.
         SECONDS limits the whole transfer. A preview that is here already is checked again: every file's
         content (full) or only names, modes and sizes (list).
look     Checks an installed preview, every file's content: intact, absent or damaged.
remove   Removes a preview; files that others share by hard links stay with them. Busy, not absent, while
         an installer is at work.

PRODUCTION_ROOT is only ever read. Answers are lines `PPS-<WORD> ...`; a failure is one line
`PPS-REFUSE <word> <text>` and exit code 1.
HELP
}

say() { printf '%s\n' "$*"; }

# patiently COMMAND...: run a command that may read a lot of disk, and let the centre hear every 10 s that we live.
patiently() {
  { while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do say PPS-WAIT; done; } </dev/null &
  patiently_pid=$!
  "$@"
  set -- $?
  kill -9 "$patiently_pid"  # TERM is lost on a child of busybox that has not put off our traps yet
  wait "$patiently_pid" 2>/dev/null
  return "$1"
}

# refuse WORD TEXT: say why in one line, and end; the EXIT trap cleans up.
refuse() {
  refuse_word=$1; shift
  case $* in
    *'No space left'*|*'quota exceeded'*|*'File too large'*|*'ize limit exceeded'*|*'Wrote only'*)
      refuse_word=disk; set -- "quota or disk full: $*" ;;
  esac
  printf 'PPS-REFUSE %s %s\n' "$refuse_word" "$(printf %s "$*" | LC_ALL=C tr -c '[:print:]' ' ' | cut -c 1-300)"
  exit 1
}

checked_arguments() { # NAME, then absolute paths
  case $1 in
    ''|[!A-Za-z0-9]*|*[!A-Za-z0-9._+~-]*) refuse usage "not a name: $1" ;;
  esac
  shift
  for path do
    case $path in
      /*) ;;
      *) refuse usage "not an absolute path: $path" ;;
    esac
  done
}

# check_tree DIR DIGEST full|list: compare DIR with DIR/MANIFEST: digest, size, mode, link target, nothing
# missing, nothing extra. Prints the first difference and fails, or prints nothing.
check_tree() {
  [ -f "$1/MANIFEST" ] || { echo "MANIFEST is missing"; return 1; }
  {
    if [ "$3" = full ]; then
      pps_tree "$1" 2>&1
    else
      pps_tree "$1" names 2>&1
      (cd "$1" && sha256sum ./MANIFEST)
    fi
  } | LC_ALL=C awk -v digest="$2" -v how="$3" '
    function differs(text) { if (!count++) first = text }
    function triple(bits, special, letter) {
      return (bits >= 4 ? "r" : "-") (int(bits / 2) % 2 ? "w" : "-") \
        (special ? (bits % 2 ? letter : toupper(letter)) : (bits % 2 ? "x" : "-"))
    }
    function permissions(octal,  s) {
      s = substr(octal, 1, 1)
      return triple(substr(octal, 2, 1), s >= 4, "s") triple(substr(octal, 3, 1), int(s / 2) % 2, "s") \
        triple(substr(octal, 4, 1), s % 2, "t")
    }
    part == 1 && /^#/ { next }
    part == 1 {
      if (!match($0, /^[dfl] [0-9a-f-]+ [0-7][0-7][0-7][0-7] [0-9]+ /)) { differs("MANIFEST has a strange line"); next }
      path = "./" substr($0, RLENGTH + 1)
      if ($1 == "l") {
        at = index(path, " -> ")
        want[substr(path, 1, at - 1)] = "l" substr(path, at)
      } else if ($1 == "d") want[path] = "d" permissions($3)
      else { want[path] = "-" permissions($3) " " ($4 + 0); sum[path] = $2 }
      next
    }
    substr($0, 1, 1) == "\\" && substr($0, 66, 3) ~ /^ [ *]\.$/ { $0 = substr($0, 2); gsub(/\\\\/, "\\") }
    substr($0, 1, 64) ~ /^[0-9a-f]+$/ && substr($0, 65, 3) ~ /^ [ *]\.$/ {
      path = substr($0, 67)
      if (path == "./MANIFEST") manifest = substr($0, 1, 64)
      else content[path] = substr($0, 1, 64)
      next
    }
    /^l/ {
      sub(/^[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ /, "")
      at = index($0, " -> ")
      is[substr($0, 1, at - 1)] = "l" substr($0, at)
      next
    }
    match($0, /^[^ ]+ [0-9]+ /) {
      path = substr($0, RLENGTH + 1)
      if (path == "./MANIFEST" || path == "./.pps-ok" || path == "./.pps-site") next
      is[path] = substr($1, 1, 1) == "d" ? substr($1, 1, 10) : substr($1, 1, 10) " " $2
      next
    }
    { differs("unreadable: " $0) }
    END {
      if (manifest != digest) differs("MANIFEST has another digest")
      for (path in is) if (!(path in want)) differs(path " is not in MANIFEST")
      for (path in want) {
        if (!(path in is)) differs(path " is missing")
        else if (is[path] != want[path]) differs(path " is " is[path] ", not " want[path])
        else if (how == "full" && (path in sum) && content[path] != sum[path]) differs(path " has another content")
      }
      if (count) { print first (count > 1 ? " (and " count - 1 " more)" : ""); exit 1 }
    }' part=1 "$1/MANIFEST" part=2 -
}

# check_installed DIR DIGEST full|list: as check_tree, for a preview in its place.
check_installed() {
  installed_as=
  [ -f "$1/.pps-ok" ] && read -r installed_as <"$1/.pps-ok"
  [ "$installed_as" = "$2" ] || { echo ".pps-ok is missing or of another preview"; return 1; }
  [ -f "$1/.pps-site" ] || { echo ".pps-site is missing"; return 1; }
  check_tree "$1" "$2" "$3"
}

# --- the lock -----------------------------------------------------------------------------------------------
# lock.<n> is a symbolic link whose target says who: host:pid:<second until which it holds>. The highest n
# counts, and stays until a higher one is there; free.<n> says that its owner is done. Taking the lock, also
# from a dead owner, is to make lock.<n+1>: symlink(2) lets exactly one do that. A slow one that makes an n which
# was overtaken meanwhile sees the higher one and backs out.

highest_lock() {
  n=0
  for l in "$pps"/lock.*; do
    l=${l##*/lock.}
    case $l in *[!0-9]*) continue ;; esac
    [ "$l" -gt "$n" ] && n=$l
  done
}

owner_is_alive() { # host:pid:until
  owner_host=${1%%:*}; owner_pid=${1#*:}; owner_until=${owner_pid#*:}; owner_pid=${owner_pid%%:*}
  case $owner_pid:$owner_until in :*|*:|*[!0-9:]*) return 1 ;; esac
  [ "$now" -le "$owner_until" ] || return 1
  [ "$owner_host" = "$host" ] || return 0
  kill -0 "$owner_pid" 2>/dev/null || [ -d "/proc/$owner_pid" ]
}

take_lock() { # SECONDS
  { read -r host </proc/sys/kernel/hostname; } 2>/dev/null || host=$(uname -n)
  now=$(date +%s)
  highest_lock
  if [ "$n" -gt 0 ] && [ ! -L "$pps/free.$n" ]; then
    owner=$(readlink "$pps/lock.$n") || refuse busy "another installer was faster"
    if owner_is_alive "$owner"; then refuse busy "another installer is at work ($owner)"; fi
  fi
  next=$((n + 1))
  why=$(ln -s "$host:$$:$((now + $1 + 120))" "$pps/lock.$next" 2>&1) || {
    [ -L "$pps/lock.$next" ] || refuse io "$why"
    refuse busy "another installer was faster"
  }
  highest_lock
  [ "$n" -eq "$next" ] || { rm -f "$pps/lock.$next"; refuse busy "another installer was faster"; }
  mine=$next
  stage=$pps/stage.$mine
  # Under the lock: what killed installers left behind.
  set --
  for l in "$pps"/lock.* "$pps"/free.* "$pps"/stage.*; do
    case $l in
      */lock."$mine"|*'.*') ;;
      *) set -- "$@" "$l" ;;
    esac
  done
  [ $# -eq 0 ] || remove_all "$@"
}

still_mine() {
  highest_lock
  [ "$n" -eq "$mine" ] || refuse busy "this installer took too long; another one took over"
}

# Only folders are made writable: a file's mode belongs to every preview that shares it by a hard link.
remove_all() {
  rm -rf "$@" 2>/dev/null || { find "$@" -type d -exec chmod u+rwx {} +; rm -rf "$@"; } 2>/dev/null
}

give_back() {
  trap '' HUP INT TERM PIPE
  if [ -n "$mine" ]; then
    [ ! -d "$stage" ] || remove_all "$stage"
    ln -s done "$pps/free.$mine" 2>/dev/null
    mine=
  fi
}

# limited SECONDS COMMAND...: where coreutils has timeout, a transfer that hangs gives the lock back.
limited() {
  limited_s=$1; shift
  if command -v timeout >/dev/null 2>&1; then timeout "$limited_s" "$@"; else "$@"; fi
}

prepare() { # PREVIEW_ROOT
  pps=$1/.pps
  [ -d "$pps" ] || why=$(mkdir -p "$pps" 2>&1) || refuse io "$why"
}

# --- the verbs ----------------------------------------------------------------------------------------------

tell_production() { say "PPS-PRODUCTION $(production_digest "$1")"; }

install_preview() {
  [ $# -ge 5 ] || refuse usage "install takes NAME DIGEST PREVIEW_ROOT PRODUCTION_ROOT PROFILE_D"
  checked_arguments "$1" "$3" "$4" "$5"
  name=$1; digest=$2; root=$3; profile_d=$5; seconds=${6:-3600}; depth=${7:-list}
  final=$root/$name
  say "PPS-HELLO 1"
  patiently tell_production "$4"
  prepare "$root"
  seen=$(ls -di "$final" 2>/dev/null)
  if [ -d "$final" ]; then
    if why=$(check_installed "$final" "$digest" "$depth"); then say "PPS-ALREADY $depth"; return 0; fi
    say "PPS-DAMAGED $why"
  fi
  count=0
  for held in "$root"/*/.pps-ok; do
    held=${held%/.pps-ok}; held=${held##*/}
    [ "$held" != "$name" ] && [ "$count" -lt 20 ] && read -r held_digest <"$root/$held/.pps-ok" || continue
    say "PPS-HAS $held $held_digest"
    count=$((count + 1))
  done 2>/dev/null
  say "PPS-READY"
  IFS=' ' read -r how base || refuse input "no answer came"

  take_lock "$seconds"
  # Another installer was quicker? A whole preview is never taken away from under its jobs.
  if [ "$(ls -di "$final" 2>/dev/null)" != "$seen" ] && check_installed "$final" "$digest" "$depth" >/dev/null; then
    say "PPS-ALREADY $depth"; return 0
  fi
  why=$(mkdir "$stage" 2>&1) || refuse io "$why"
  case $how in
    full) ;;
    delta)
      checked_arguments "$base"
      # The payload's hard links name files below `base`: tar makes them without a process for each.
      why=$(ln -s "../../$base" "$stage/base" 2>&1) || refuse io "$why" ;;
    *) refuse input "the answer was neither full nor delta" ;;
  esac
  why=$(limited "$seconds" tar -xzpof - -C "$stage" 2>&1) || refuse unpack "${why:-tar was stopped}"
  new=$stage/.pps-new
  why=$(check_tree "$new" "$digest" full) || refuse damaged "what arrived is not what was sent: $why"
  why=$({ printf '%s\n' "$profile_d" >"$new/.pps-site" && printf '%s\n' "$digest" >"$new/.pps-ok"; } 2>&1) || refuse io "$why"
  # On the disk before it is in its place, or a power cut could leave the name with empty files.
  sync -f "$new" 2>/dev/null || sync
  still_mine
  if [ -e "$final" ] || [ -L "$final" ]; then
    why=$(mv "$final" "$stage/old" 2>&1) || refuse io "$why"
  fi
  why=$(mv "$new" "$final" 2>&1) || refuse io "$why"
  if [ -d "$final/.pps-new" ]; then
    # mv moves into a folder that is there: only an installer that lost its lock in this very instant can.
    remove_all "$final/.pps-new"
    refuse busy "another installer was faster"
  fi
  say "PPS-INSTALLED $name"
}

look_at_preview() {
  [ $# -eq 3 ] || refuse usage "look takes NAME DIGEST PREVIEW_ROOT"
  checked_arguments "$1" "$3"
  say "PPS-HELLO 1"
  patiently tell_look "$@"
}

tell_look() {
  if [ ! -d "$3/$1" ]; then say "PPS-LOOK absent"
  elif why=$(check_installed "$3/$1" "$2" full); then say "PPS-LOOK intact"
  else say "PPS-LOOK damaged $(printf %s "$why" | LC_ALL=C tr -c '[:print:]' ' ' | cut -c 1-300)"
  fi
}

remove_preview() {
  [ $# -eq 2 ] || refuse usage "remove takes NAME PREVIEW_ROOT"
  checked_arguments "$1" "$2"
  say "PPS-HELLO 1"
  [ -d "$2/$1" ] || [ -d "$2/.pps" ] || { say "PPS-REMOVED absent"; return 0; }
  prepare "$2"
  # Also when it is not there: an installer that holds the lock may be about to put it there.
  take_lock 600
  [ -d "$2/$1" ] || { say "PPS-REMOVED absent"; return 0; }
  # Out of sight in one step, then gone; what is killed in between is swept by the next one.
  why=$(mkdir "$stage" 2>&1 && mv "$2/$1" "$stage/old" 2>&1) || refuse io "$why"
  say "PPS-REMOVED $1"
}

mine=
umask 022
trap give_back EXIT
trap 'exit 129' HUP INT TERM PIPE
case ${1-} in
  install) shift; install_preview "$@" ;;
  look) shift; look_at_preview "$@" ;;
  remove) shift; remove_preview "$@" ;;
  --help|-h) usage ;;
  *) usage >&2; exit 2 ;;
esac
