# Of the receiver: what it does, once its arguments are known. Also of the kit of a site, which asks three things more
# (`payload_is_allowed`, `manifest_is_allowed`, `commit`).

say() { printf '%s\n' "$*"; }

# From beat to still the centre hears every 10 s that we are alive: our command may read a lot of disk.
beat() {
  {
    naps=0
    while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
      naps=$((naps + 1))
      [ $((naps % 10)) -ne 0 ] || say PPS-WAIT
    done
  } </dev/null 4>&- 5<&- &
  heart=$!
}

still() {
  [ -n "$heart" ] || return 0
  kill -9 "$heart" 2>/dev/null  # TERM is lost on a child of busybox that has not put off our traps yet
  wait "$heart" 2>/dev/null
  heart=
}

cleaned() { LC_ALL=C tr -c '\040-\176' ' ' | cut -c 1-300; }

# refuse WORD TEXT: say why in one line, and end; the EXIT trap cleans up.
refuse() {
  refuse_word=$1; shift
  case $* in
    *'No space left'*|*'quota exceeded'*|*'File too large'*|*'ize limit exceeded'*|*'Wrote only'*)
      refuse_word=disk; set -- "quota or disk full: $*" ;;
  esac
  printf 'PPS-REFUSE %s %s\n' "$refuse_word" "$(printf %s "$*" | cleaned)"
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

# check_tree DIR DIGEST full|list [sent]: compare DIR with DIR/MANIFEST (manifest_check.sh). Prints the first
# difference and fails, or prints nothing.
check_tree() {
  { [ -f "$1/MANIFEST" ] && [ ! -L "$1/MANIFEST" ]; } || { echo "MANIFEST is missing"; return 1; }
  found=$(sha256sum <"$1/MANIFEST")
  [ "${found%% *}" = "$2" ] || { echo "MANIFEST has another digest"; return 1; }
  pps_compare "$1" "$3" "${4-}" | {
    read -r wrong rest
    IFS= read -r first
    [ "$wrong" != 0 ] || exit 0
    [ "$wrong" = 1 ] || first="$first (and $((wrong - 1)) more)"
    printf '%s\n' "$first"
    exit 1
  }
}

ours() { [ ! -L "$1" ] && [ -O "$1" ]; }

# check_installed DIR DIGEST full|list: as check_tree, for a preview in its place.
check_installed() {
  ours "$1" || { echo "the folder is not our account's own"; return 1; }
  for mark in "$1/.pps-ok" "$1/.pps-site"; do
    { [ -f "$mark" ] && [ ! -L "$mark" ]; } || { echo "${mark##*/} is missing"; return 1; }
  done
  installed_as=
  read -r installed_as <"$1/.pps-ok"
  [ "$installed_as" = "$2" ] || { echo ".pps-ok is of another preview"; return 1; }
  check_tree "$1" "$2" "$3"
}

# --- the verbs ----------------------------------------------------------------------------------------------

tell_production() { # DIR, names or content
  production=$(production_digest "$1" "$2")
  say "PPS-PRODUCTION $production"
  case $2:$production in
    names:names:*|names:absent|names:|content:*) ;;
    *) say "PPS-READ every file of $1 was read: its ctimes are not finer than a second" ;;
  esac
}

install_preview() {
  [ $# -ge 5 ] || refuse usage "install takes NAME DIGEST PREVIEW_ROOT PRODUCTION_ROOT PROFILE_D"
  checked_arguments "$1" "$3" "$4" "$5"
  name=$1; digest=$2; root=$3; profile_d=$5; seconds=${6:-3600}; depth=${7:-list}
  final=$root/$name
  say "PPS-HELLO 1"
  beat; tell_production "$4" "${8:-names}"; still
  private "$root"
  sweep "$root"
  seen=$(ls -di "$final" 2>/dev/null)
  if [ -d "$final" ]; then
    beat; why=$(check_installed "$final" "$digest" "$depth"); whole=$?; still
    if [ "$whole" -eq 0 ]; then say "PPS-ALREADY $depth"; return 0; fi
    say "PPS-DAMAGED $(printf %s "$why" | cleaned)"
  fi
  count=0
  for held in "$root"/*/.pps-ok; do
    held=${held%/.pps-ok}; held=${held##*/}
    case $held in "$name"|[!A-Za-z0-9]*|*[!A-Za-z0-9._+~-]*) continue ;; esac
    # Nothing is read through a link, and nothing that could wait for a writer.
    [ "$count" -lt 20 ] && ours "$root/$held" && ours "$root/$held/.pps-ok" && [ -f "$root/$held/.pps-ok" ] || continue
    read -r held_digest <"$root/$held/.pps-ok"
    case $held_digest in ''|*[!0-9a-f]*) continue ;; esac
    say "PPS-HAS $held $held_digest"
    count=$((count + 1))
  done 2>/dev/null
  say "PPS-READY"
  answer=$(one_line)
  [ -n "$answer" ] || refuse input "no answer came"
  how=${answer%% *}
  case $answer in *' '*) base=${answer#* } ;; *) base= ;; esac

  take_lock "$seconds"
  # Another installer was quicker? A whole preview is never taken away from under its jobs.
  if [ "$(ls -di "$final" 2>/dev/null)" != "$seen" ] && check_installed "$final" "$digest" "$depth" >/dev/null; then
    say "PPS-ALREADY $depth"; return 0
  fi
  why=$(mkdir -m 700 "$stage" 2>&1) || refuse io "$why"
  ours "$stage" || refuse unsafe "what our account makes in $root does not belong to it (root on a network file system that does not trust root?): use another account"
  watch
  runs_programs
  case $how in
    full) base= ;;
    delta) checked_arguments "$base" ;;
    *) refuse input "the answer was neither full nor delta" ;;
  esac
  receive
  beat
  unpack
  new=$stage/.pps-new
  [ -z "$base" ] || link_from "$root/$base"
  set_modes
  why=$(check_tree "$new" "$digest" full sent) || refuse damaged "what arrived is not what was sent: $why"
  why=$({ set -C; printf '%s\n' "$profile_d" >"$new/.pps-site" && printf '%s\n' "$digest" >"$new/.pps-ok" &&
    chmod 644 "$new/.pps-site" "$new/.pps-ok"; } 2>&1) || refuse io "$why $(no_room)"
  # On the disk before it is in its place, or a power cut could leave the name with empty files.
  sync -f "$new" 2>/dev/null || sync
  still
  still_mine
  commit
  if [ -e "$final" ] || [ -L "$final" ]; then
    why=$(mv "$final" "$stage/old" 2>&1) || refuse io "$why"
  fi
  why=$(mv "$new" "$final" 2>&1) || refuse io "$why"
  if [ -d "$final/.pps-new" ]; then
    # mv moves into a folder that is there: only an installer that lost its lock in this very instant can.
    remove_all "$final/.pps-new"
    refuse busy "another installer was faster"
  fi
  read -r installed_as <"$final/.pps-ok" && [ "$installed_as" = "$digest" ] || refuse io "$final is not there after the rename"
  say "PPS-INSTALLED $name"
}

look_at_preview() {
  [ $# -eq 3 ] || refuse usage "look takes NAME DIGEST PREVIEW_ROOT"
  checked_arguments "$1" "$3"
  say "PPS-HELLO 1"
  sweep "$3"
  beat
  if ! [ -e "$3/$1" ] && ! [ -L "$3/$1" ]; then seen=absent
  elif why=$(check_installed "$3/$1" "$2" full); then seen=intact
  else seen="damaged $(printf %s "$why" | cleaned)"
  fi
  still
  say "PPS-LOOK $seen"
}

remove_preview() {
  [ $# -eq 2 ] || refuse usage "remove takes NAME PREVIEW_ROOT"
  checked_arguments "$1" "$2"
  final=$2/$1
  say "PPS-HELLO 1"
  [ -e "$final" ] || [ -L "$final" ] || [ -d "$2/.pps" ] || { say "PPS-REMOVED absent"; return 0; }
  # Not `private`: what must go goes, also out of a folder that others may write to.
  our_pps "$2"
  # Also when it is not there: an installer that holds the lock may be about to put it there.
  take_lock 600
  [ -e "$final" ] || [ -L "$final" ] || { say "PPS-REMOVED absent"; return 0; }
  # Out of sight in one step, then gone; what is killed in between is swept by the next one.
  why=$(mkdir -m 700 "$stage" 2>&1 && mv "$final" "$stage/old" 2>&1) || refuse io "$why"
  watch
  beat; remove_all "$stage"; still
  ! [ -e "$final" ] || refuse io "$final is there again"
  if [ -e "$stage/old" ] || [ -L "$stage/old" ]; then
    kept=$(find "${stage#./}/old" ! -type d 2>/dev/null | head -n 1)
    refuse io "$1 is out of its place, but what others wrote into it cannot be deleted by our account: $2/.pps/${kept:-${stage#./}/old}"
  fi
  say "PPS-REMOVED $1"
}
