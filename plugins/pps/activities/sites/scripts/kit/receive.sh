#!/bin/sh
# The kit of a site: the only thing that the centre's key can start (`command=` in authorized_keys). It reads what was asked
# for as words of a small alphabet, never as a command, and hands them to pps-keep under the account that keeps the previews.
set -f
kit=${0%/bin/*}
asked=${SSH_ORIGINAL_COMMAND-}
no() { printf '\nPPS-REFUSE kit %s\n' "$1"; exit 1; }
case $asked in
  '') no "this account gives no shell; the centre asks for pps-kit 1 ... (docs/kit.md)" ;;
  *[!A-Za-z0-9._+~:@,\ -]*) no "what was asked for is no request of this kit" ;;
esac
[ "${#asked}" -le 2000 ] || no "what was asked for is too long"
IFS=' '
set -- $asked
[ "${1-}" = pps-kit ] && [ "${2-}" = 1 ] && [ $# -ge 4 ] || no "what was asked for is no request of this kit (version 1)"
case $3 in *[!a-z0-9-]*) no "what was asked for is no request of this kit" ;; esac
shift 2
switch='' keeper=''
while read -r name value; do
  case $name in switch) switch=$value ;; keeper) keeper=$value ;; esac
done <"$kit/etc/kit"
case $switch in
  sudo) exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin sudo -n -u "$keeper" -- "$kit/bin/pps-keep" "$@" ;;
  none) exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin "$kit/bin/pps-keep" "$@" ;;
  *) no "$kit/etc/kit does not say how to become $keeper (switch sudo, or none)" ;;
esac
