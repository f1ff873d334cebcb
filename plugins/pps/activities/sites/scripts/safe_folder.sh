# pps_unsafe PATH [LAST]: who, besides our account and root, could change what lies at PATH? One sentence that says why
# and what to do, or nothing. The LAST (1) parts of PATH must be ours to write alone; a folder above them may let others
# write only if it is sticky, as /tmp is. What is not there yet is judged by what is above it. Links are followed, each
# folder on the way is looked at. A group is nobody else where it is the account's own: its name, and no other member.
pps_unsafe() (
  me=$(id -u) name=$(id -un 2>/dev/null) path=$1 last=${2:-1} hops=0
  while :; do
    set -- /
    at='' rest=${path#/}
    while [ -n "$rest" ]; do
      part=${rest%%/*}
      case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
      case $part in ''|.) continue ;; esac
      at=$at/$part
      set -- "$@" "$at"
    done
    found=$(ls -ldn "$@" 2>/dev/null | awk -v me="$me" -v strict="$last" -v parts=$# -v us="${name:-number $me}" '
      {
        if (!match($0, / \/.*$/)) next
        file = substr($0, RSTART + 1); mode = $1; owner = $3; group = $4
        kind = substr(mode, 1, 1)
        if (kind == "l") file = substr(file, 1, index(file, " -> ") - 1)
        depth = file == "/" ? 1 : split(file, piece, "/")
        own = depth > parts - strict
        if (owner != 0 && owner != me) {
          print "S " file " belongs to the account with number " owner ": give it to " us (me == 0 ? "" : " or to root") " (chown)"; exit
        }
        if (kind == "l") { print "L " file; exit }
        if (kind != "d") { print "S " file " is no folder: remove it"; exit }
        if (!own && substr(mode, 10, 1) ~ /[tT]/) next
        if (substr(mode, 9, 1) == "w") { print "S everybody may write to " file " (" mode "): chmod o-w " file; exit }
        if (substr(mode, 6, 1) == "w") print "G " group " " file
      }')
    case $found in
      *'S '*) printf '%s\n' "$found" | sed -n 's/^S //p'; return ;;
    esac
    link=
    while read -r what group file; do
      case $what in
        L) link=${group}${file:+ $file} ;;
        G)
          why=$(pps_shared_group "$group" "$file") && { printf '%s\n' "$why"; return; } ;;
      esac
    done <<PPS_FOUND
$found
PPS_FOUND
    [ -n "$link" ] || return
    hops=$((hops + 1))
    to=$(readlink "$link")
    case $to in
      '') echo "the link $link cannot be read"; return ;;
      /*) ;;
      *) to=${link%/*}/$to ;;
    esac
    [ "$hops" -le 20 ] || { echo "$path goes through too many links"; return; }
    path=$to${path#"$link"}
  done
)

# pps_shared_group GID FOLDER: say that others are in a group that may write to FOLDER; false if it is ours alone.
pps_shared_group() {
  if command -v getfacl >/dev/null 2>&1; then
    listed=$(getfacl -np "$2" 2>/dev/null | sed -n "s/#effective.*//; /^user:$me:/d; /^user:0:/d; s/^\\(user:[0-9][0-9]*\\|group:[0-9][0-9]*\\):.w.*/\\1/p" | head -n 1)
    [ -z "$listed" ] || { echo "an access list lets $listed write to $2: setfacl -b $2, or chmod g-w $2"; return 0; }
  else
    case $(ls -ld "$2") in
      ??????????+*) echo "$2 has an access list, and getfacl is not here to read it: setfacl -b $2, or chmod g-w $2"; return 0 ;;
    esac
  fi
  line=$( { getent group "$1" || sed -n "/^[^:]*:[^:]*:$1:/p" /etc/group; } 2>/dev/null | head -n 1)
  others=$( { getent passwd || cat /etc/passwd; } 2>/dev/null | awk -F: -v gid="$1" -v us="$name" '$4 == gid && $1 != us { print $1; exit }')
  [ "${line%%:*}" != "$name" ] || [ -n "$others" ] || case ${line##*:} in ''|"$name") return 1 ;; esac
  echo "the group ${line%%:*} ($1) may write to $2, not only our account: chmod g-w $2"
}
