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

# production_digest DIR: one sha256 over path, mode, digest and link target of everything under DIR, in C
# order; "absent" if there is no such folder. Owners, times and sizes of folders do not count.
production_digest() {
  [ -d "$1" ] || { echo absent; return 0; }
  pps_tree "$1" 2>/dev/null |
    LC_ALL=C sed -e 's/^\(d[^ ]*\) [0-9]* /\1 /' \
      -e 's/^\(l[^ ]*\)  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]*  *[^ ]* /\1 /' |
    LC_ALL=C sort | sha256sum | {
      read -r pps_digest pps_dash
      echo "$pps_digest"
    }
}
