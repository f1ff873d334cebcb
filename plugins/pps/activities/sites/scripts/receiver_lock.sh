# Of the receiver: the lock, what others may not touch, and what happens when we are killed.
# lock.<n> is a symbolic link whose target says who: host/<start of the process>:pid:<second until which it holds>.
# The start tells a process from a later one with the same number; locks of older receivers have none. The highest n
# counts, and stays until a higher one is there; free.<n> says that its owner is done. Taking the lock, also
# from a dead owner, is to make lock.<n+1>: symlink(2) lets exactly one do that. A slow one that makes an n after it
# was overtaken sees the higher one and backs out.

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
  [ "${owner_host%%/*}" = "$host" ] || return 0
  kill -0 "$owner_pid" 2>/dev/null || [ -d "/proc/$owner_pid" ] || return 1
  case $owner_host in
    */?*) born=$(started "$owner_pid"); [ -z "$born" ] || [ "$born" = "${owner_host#*/}" ] ;;
  esac
}

started() { # PID: when it began, in ticks since the machine did; nothing where there is no /proc
  { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20; } 2>/dev/null
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
  why=$(ln -s "$host/$(started $$):$$:$((now + $1 + 120))" "$pps/lock.$next" 2>&1) || {
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

# Only folders are made writable: a file's mode belongs to every preview that shares it by a hard link. What a child of
# a killed installer still writes comes too late at the third try.
remove_all() {
  for try in 1 2 3; do
    rm -rf "$@" 2>/dev/null && return 0
    find "$@" -type d -exec chmod u+rwx {} + 2>/dev/null
    rm -rf "$@" 2>/dev/null && return 0
    [ "$try" -eq 3 ] || sleep 0.2 2>/dev/null || sleep 1
  done
  return 1
}

give_back() {
  trap '' HUP INT TERM PIPE
  still
  if [ -n "$mine" ]; then
    end_child
    [ ! -d "$stage" ] || remove_all "$stage"
    ln -s done "$pps/free.$mine" 2>/dev/null
    mine=
  fi
}

# watch: a process that outlives us for a moment. It reads from a pipe of which only we have the other end, so it notices
# at once when we are gone, also by kill -9; then it ends our child, sweeps and gives the lock back. Where the disk
# knows no pipes the next one of us sweeps.
watch() {
  mkfifo -m 600 "$stage/alive" 2>/dev/null || return 0
  {
    trap - EXIT
    trap '' HUP INT TERM PIPE
    exec 5<&-
    child=
    while read -r line; do child=$line; done
    if [ -d "$stage" ]; then
      end_child
      remove_all "$stage"
      ln -s done "$pps/free.$mine"
    fi
  } <"$stage/alive" >/dev/null 2>&1 &
  exec 4>"$stage/alive"
  rm -f "$stage/alive"
}

end_child() { [ -z "$child" ] || kill "$child" 2>/dev/null; child=; }

# await PID: our child until it ends. A signal that ends us comes through at once, and the child goes, too.
await() {
  child=$1
  { echo "$child" >&4; } 2>/dev/null
  wait "$child"
  set -- $?
  child=
  { echo >&4; } 2>/dev/null
  return "$1"
}

# Where coreutils has timeout, a transfer that hangs gives the lock back.
limit=
if command -v timeout >/dev/null 2>&1; then limit=timeout; fi

# private PREVIEW_ROOT: make sure that nobody else can change what we put there, and that .pps is ours alone.
private() {
  why=$(pps_unsafe "$1")
  [ -z "$why" ] || refuse unsafe "$why"
  if ! [ -d "$1" ]; then
    why=$(mkdir -p "$1" 2>&1) || refuse io "$why"
    why=$(pps_unsafe "$1")
    [ -z "$why" ] || refuse unsafe "$why"
  fi
  our_pps "$1"
}

# our_pps PREVIEW_ROOT: stand in .pps, and name what is in it from there. Whoever may write to PREVIEW_ROOT (what
# is there is looked at and removed all the same) could put a link in its place a moment later, into a folder where our
# stage.<n> or lock.<n> is something else.
our_pps() {
  pps=$1/.pps
  if ! [ -e "$pps" ] && ! [ -L "$pps" ]; then
    why=$(mkdir -m 700 "$pps" 2>&1) || [ -d "$pps" ] || refuse io "$why"
  fi
  { ours "$pps" && [ -d "$pps" ] && cd "$pps" 2>/dev/null && ours . && [ "$(pwd -P | sed 's:.*/::')" = .pps ]; } ||
    refuse unsafe "$pps is not a folder of our account's own: look who made it, and remove it"
  case $(ls -ldn .) in
    ?????-??-*) ;;
    *)
      why=$(pps_unsafe "$pps")
      [ -z "$why" ] || refuse unsafe "$why"
      chmod 700 . ;;
  esac
  pps=.
}

# What killed installers left behind, if any did: even a look takes it away.
sweep() { # PREVIEW_ROOT
  { [ -d "$1/.pps" ] && ours "$1/.pps"; } || return 0
  for l in "$1"/.pps/stage.*; do
    [ -d "$l" ] || continue
    (trap - EXIT; our_pps "$1"; take_lock 600; give_back) >/dev/null 2>&1 4>&-
    return 0
  done
}
