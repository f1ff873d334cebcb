#!/bin/sh
# Install the kit of a site, as its root: sh pps-kit/bin/pps-kit-install [--dry-run]
#
# Says what it does before it does it; the same twice is once. Read README and etc/ first, and compare etc/root with what
# you were told by another way: its keys decide what may happen here.
set -eu
umask 022
case ${1-} in
  ''|--dry-run) ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
here=$(cd "${0%/*}/.." && pwd -P)
kit=/opt/pps-kit
do_it() { printf '  %s\n' "$*"; [ "$dry" ] || "$@"; }
dry=${1-}
stop() { printf '%s\n' "$1" >&2; exit 1; }
setting() { sed -n "s/^$1 //p" "$2"; }
[ "$dry" ] || [ "$(id -u)" = 0 ] || stop "Run this as root."
[ "$here" != "$kit" ] || stop "Unpack the kit somewhere else than $kit, and run it from there."
scheme=$(setting scheme "$here/etc/kit") state=$(setting state "$here/etc/kit") switch=$(setting switch "$here/etc/kit")
receiver=$(setting receiver "$here/etc/kit") keeper=$(setting keeper "$here/etc/kit") prober=$(setting prober "$here/etc/kit")

case $scheme in
  ssh) ssh-keygen -Y 2>&1 | grep -q 'requires an argument' || stop "ssh-keygen here knows no signatures (OpenSSH below 8.1): ask for a kit with --scheme openssl." ;;
  openssl)
    for tool in openssl base64; do command -v "$tool" >/dev/null || stop "$tool is not here: install it."; done ;;
esac
[ "$switch" != sudo ] || command -v sudo >/dev/null || stop "sudo is not here: install it, or ask for a kit with --switch none."

if [ -f "$here/etc/fetch" ]; then
  command -v curl >/dev/null || command -v wget >/dev/null || stop "Neither curl nor wget is here: install one, or remove etc/fetch if this site does not fetch."
  command -v flock >/dev/null || stop "flock is not here: install util-linux or busybox."
  [ -d /etc/cron.d ] || stop "There is no /etc/cron.d: install cron, or remove etc/fetch and start pps-fetch in another way."
fi

echo "Accounts:"
make_account() { # NAME HOME SHELL; '*' is no password, and unlike '!' does not lock the account for sshd
  id "$1" >/dev/null 2>&1 ||
    do_it useradd --system --user-group --no-create-home --home-dir "$2" --shell "$3" --password '*' "$1"
}
make_account "$receiver" "$kit/home" /bin/sh
# nobody logs in to these
make_account "$keeper" /nonexistent /usr/sbin/nologin
make_account "$prober" /nonexistent /usr/sbin/nologin

echo "The kit, root's:"
do_it rm -rf "$kit.new"
do_it cp -R "$here" "$kit.new"
do_it mkdir -p "$kit.new/home/.ssh"
do_it cp "$here/etc/authorized_keys" "$kit.new/home/.ssh/authorized_keys"
do_it chown -R 0:0 "$kit.new"
do_it chmod -R go-w,a+rX "$kit.new"
[ ! -d "$kit" ] || do_it mv "$kit" "$kit.old.$$"
do_it mv "$kit.new" "$kit"
[ -z "$dry" ] && [ -d "$kit.old.$$" ] && do_it rm -rf "$kit.old.$$"

echo "What the site remembers, and where previews go:"
do_it mkdir -p -m 700 "$state"
do_it chown "$keeper" "$state"
do_it chmod 700 "$state"
for policy in "$here"/etc/products/*; do
  root=$(setting preview_root "$policy")
  do_it mkdir -p "$root"
  do_it chown "$keeper" "$root"
  do_it chmod 755 "$root"
done

if [ -f "$here/etc/fetch" ]; then
  echo "What it fetches by itself:"
  run=$(setting run "$here/etc/fetch")
  do_it mkdir -p -m 700 "$run"
  do_it chown "$receiver" "$run"
  do_it chmod 700 "$run"
  # every hour, at a minute of its own: all sites at once would be a crowd; once a day every file is compared
  set -- $(setting site "$here/etc/fetch" | cksum)
  minute=$(($1 % 60)) hour=$(($1 / 60 % 24))
  times="# Of the kit of a site (docs/kit.md). Who fetches may do no more than whoever comes over SSH.
$minute * * * * $receiver $kit/bin/pps-fetch --quiet
$(((minute + 30) % 60)) $hour * * * $receiver $kit/bin/pps-fetch --quiet --thoroughly"
  printf '%s\n' "$times" | sed 's/^/  /'
  if [ -z "$dry" ]; then
    printf '%s\n' "$times" >/etc/cron.d/.pps-kit.new
    chmod 644 /etc/cron.d/.pps-kit.new
    mv /etc/cron.d/.pps-kit.new /etc/cron.d/pps-kit
  fi
elif [ -f /etc/cron.d/pps-kit ]; then
  do_it rm -f /etc/cron.d/pps-kit
fi

if [ "$switch" = sudo ]; then
  echo "What each account may become:"
  rules="Defaults:$receiver,$keeper !requiretty
$receiver ALL=($keeper) NOPASSWD: $kit/bin/pps-keep
$keeper ALL=($prober) NOPASSWD: $kit/bin/pps-probe"
  printf '%s\n' "$rules" | sed 's/^/  /'
  if [ -z "$dry" ]; then
    printf '%s\n' "$rules" >/etc/sudoers.d/.pps-kit.new
    chmod 440 /etc/sudoers.d/.pps-kit.new
    visudo -cqf /etc/sudoers.d/.pps-kit.new || { rm -f /etc/sudoers.d/.pps-kit.new; stop "sudo does not understand these rules; nothing was changed."; }
    mv /etc/sudoers.d/.pps-kit.new /etc/sudoers.d/pps-kit
  fi
fi
if [ "$dry" ]; then echo "Nothing was done."; else exec sh "$kit/bin/pps-kit-check"; fi
