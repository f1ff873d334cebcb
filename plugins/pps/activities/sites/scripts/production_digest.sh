#!/bin/sh
# How a folder at a site is read. POSIX sh with find, ls, sed, sort and coreutils; sourced or prepended.

# pps_tree DIR: every entry under DIR, not sorted, in few processes however many files there are:
#   -rwxr-xr-x 31880 ./bin/tool                       file, and other things that are not links
#   lrwxrwxrwx 1 0 0 9 Jan 1 00:00 ./lib -> lib64     link, as POSIX lays down for ls -ldn
#   <sha256>  ./bin/tool                              content of a file (not with a second argument)
# stat, because the ls of busybox puts ? for letters outside ASCII; ls for links, since stat quotes targets.
pps_tree() (
  LC_ALL=C; export LC_ALL; unset TIME_STYLE
  cd "$1" || exit 1
  # One -exec for each find: the find of busybox forgets all but the last kind of `-exec ... +`.
  find . ! -name . -type l -exec ls -ldn {} +
  find . ! -name . ! -type l -exec stat -c '%A %s %n' {} +
  [ -n "${2-}" ] || find . -type f -exec sha256sum {} +
)

# pps_names DIR: every entry under DIR, not sorted, and not a byte of a file is read:
#   0 1 20090302120000.307686249                      1: ctimes are finer than a second; the newest of all
#   1 -rwxr-xr-x 31880 ./bin/tool                     what has a size; links with their target, folders without a size
#   2 20090302120000.307686249 4776358 ./bin/tool     ctime, which only root can set, and inode
#   3 20090302120000.307686249 0 ./bin                ctime of a folder: it tells where something went, no more
pps_names() {
  (
    LC_ALL=C TZ=UTC0; export LC_ALL TZ; unset TIME_STYLE
    cd "$1" || exit 1
    find . ! -name . -type l -exec ls -ldn {} +
    find . ! -type l -exec stat -c '%A %s %i %z %n' {} +
  ) 2>/dev/null | LC_ALL=C awk '
    /^l/ && match($0, / \.\//) { print "1 " $1 " " substr($0, RSTART + 1); next }
    match($0, /^[^ ]+ [0-9]+ [0-9]+ [0-9-]+ [0-9:.]+ [^ ]+ \./) {
      name = substr($0, RLENGTH); time = $4 $5; gsub(/[-:]/, "", time)
      if (time ~ /\.[0-9]*[1-9]/) fine = 1
      if ((time "") > (newest "")) newest = time
      if (/^d/) { if (name != ".") print "1 " $1 " " name; print "3 " time " 0 " name }
      else { print "1 " $1 " " $2 " " name; print "2 " time " " $3 " " name }
      next
    }
    { print "1 " $0 }
    END { print "0 " (fine ? 1 : 0) " " newest }'
}

# production_digest DIR names|content: what DIR is, to be compared later; "absent" if there is no such folder, false if
# it cannot be read. Owners, times and sizes of folders do not count.
#   content  one sha256 over path, mode, digest and link target of everything under DIR, in C order: reads every byte
#   names    names:<sha256 of the lines 1>:<sha256 of the lines 2>:<newest ctime>; as content where ctimes are not finer
#            than a second, for a change in the same one would not be seen
production_digest() {
  [ -d "$1" ] || { echo absent; return 0; }
  { [ -r "$1" ] && [ -x "$1" ]; } || return 1
  [ "$2" = content ] || ! production_names "$1" || return 0
  pps_tree "$1" 2>/dev/null |
    LC_ALL=C sed -e 's/^\(d[^ ]*\) [0-9]* /\1 /' \
      -e 's/^\(l[^ ]*\)  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]* /\1 /' |
    LC_ALL=C sort | sha256sum | {
      read -r pps_digest pps_dash
      echo "$pps_digest"
    }
}

production_names() {
  # One spelling of the command for each of the two pipes of awk.
  pps_names "$1" | LC_ALL=C sort | LC_ALL=C awk '
    BEGIN { printf "" | "sha256sum"; printf "" | "sha256sum -" }
    /^0/ { fine = $2; newest = $3 }
    /^1/ { print substr($0, 3) | "sha256sum" }
    /^2/ { print substr($0, 3) | "sha256sum -" }
    END { close("sha256sum"); close("sha256sum -"); print fine, newest }' | {
      read -r pps_seen pps_dash && read -r pps_times pps_dash && read -r pps_fine pps_newest &&
        [ "$pps_fine" = 1 ] && echo "names:$pps_seen:$pps_times:$pps_newest"
    }
}

# production_changes DIR CTIME: what has a newer ctime, in words: " (./bin, ./bin/tool and 2 more)", or nothing.
production_changes() {
  pps_names "$1" | LC_ALL=C sort -k 4 | LC_ALL=C awk -v since="$2" '
    /^[23]/ && ($2 "") > (since "") {
      if (++n > 3) next
      match($0, / \.(\/|$)/); list = list (n > 1 ? ", " : "") substr($0, RSTART + 1)
    }
    END { if (n) printf " (%s%s)", list, (n > 3 ? " and " (n - 3) " more" : "") }'
}
