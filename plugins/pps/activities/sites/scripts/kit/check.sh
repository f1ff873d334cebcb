#!/bin/sh
# Is the kit of this site as it must be? As root, after the installation and whenever you like: /opt/pps-kit/bin/pps-kit-check
# Each line is OK or WRONG, and says what to do. Exit code 1 if something is wrong.
#include safe_folder.sh
#include kit/settings.sh
#include kit/documents.sh
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export PATH LC_ALL=C
kit=$(cd "${0%/*}/.." && pwd -P)
wrong=0 report=
ok() { printf 'OK     %s\n' "$*"; }
wrong() { printf 'WRONG  %s\n' "$*"; wrong=1; }
refuse() { wrong "$2"; exit 1; }
verdict() { if [ -z "$2" ]; then ok "$1"; else wrong "$1: $2"; fi; }
[ "$(id -u)" = 0 ] || { echo "Run this as root." >&2; exit 2; }
the_kit
PATH=/usr/bin:/bin:/usr/sbin:/sbin

verdict "$kit is root's, and so is all above it" "$(pps_unsafe "$kit" 99)"
verdict "no file of the kit can be changed by others" "$(find "$kit" \( ! -user 0 -o -perm -020 -o -perm -002 \) ! -type l | head -n 1 | sed 's/$/ can be; chown it to root, chmod go-w/')"
home=$(getent passwd "$receiver" | cut -d: -f6)
verdict "$receiver's home is the kit's" "$([ "$home" = "$kit/home" ] || echo "it is ${home:-missing}; usermod --home $kit/home $receiver")"
verdict "its authorized_keys is the kit's" "$(cmp -s "$kit/etc/authorized_keys" "$home/.ssh/authorized_keys" || echo "it differs from $kit/etc/authorized_keys")"
verdict "each key in it starts the kit and nothing else" "$(grep -v '^restrict,command="[^"]*/bin/pps-receive"' "$kit/etc/authorized_keys" | cut -c 1-60)"
verdict "what the site remembers is $keeper's alone" "$([ "$(stat -c '%U %a' "$state" 2>/dev/null)" = "$keeper 700" ] || echo "$state is not $keeper's with mode 700")"
if [ "$switch" = sudo ]; then
  verdict "three accounts" "$([ "$receiver" != "$keeper" ] && [ "$keeper" != "$prober" ] && [ "$receiver" != "$prober" ] || echo "$receiver, $keeper and $prober are not three")"
  may=$(sudo -n -l -U "$receiver" 2>/dev/null | sed -n '/may run/,$p' | sed '1d; s/^ *//')
  verdict "$receiver may become $keeper for the kit, and nobody else" "$([ "$may" = "($keeper) NOPASSWD: $kit/bin/pps-keep" ] || echo "sudo -l -U $receiver says: $may")"
  may=$(sudo -n -l -U "$keeper" 2>/dev/null | sed -n '/may run/,$p' | sed '1d; s/^ *//')
  verdict "$keeper may become $prober for the probes, and nobody else" "$([ "$may" = "($prober) NOPASSWD: $kit/bin/pps-probe" ] || echo "sudo -l -U $keeper says: $may")"
else
  wrong "one account does everything (switch none): what a preview's probes run could change what this site remembers. Ask for a kit with sudo"
fi
for policy in "$kit"/etc/products/*; do
  the_policy "${policy##*/}"
  verdict "${policy##*/}: previews go to $preview_root, $keeper's" "$([ "$(stat -c %U "$preview_root" 2>/dev/null)" = "$keeper" ] || echo "it is not; chown $keeper $preview_root")"
  verdict "${policy##*/}: $keeper may write tags below $tag_dir" "$(su -s /bin/sh -c "test -w '$tag_dir' || test -w '$tag_dir/$subcluster/$vo/$vo.list' || test -w '$tag_dir/$subcluster/$vo'" "$keeper" 2>/dev/null || echo "it may not; let it write $tag_dir/$subcluster/$vo/$vo.list")"
done
if [ -f "$kit/etc/fetch" ]; then
  settings "$kit/etc/fetch" from site run seconds keep_days
  PATH=/usr/bin:/bin:/usr/sbin:/sbin
  verdict "what pps-fetch remembers is $receiver's alone" "$([ "$(stat -c '%U %a' "$run" 2>/dev/null)" = "$receiver 700" ] || echo "$run is not $receiver's with mode 700")"
  if [ -z "$report" ]; then ok "nothing is reported to the centre: the kit names no address for it"
  elif [ -f "$run/token" ]; then verdict "the token with which it reports is $receiver's alone" "$([ "$(stat -c '%U %a' "$run/token")" = "$receiver 600" ] || echo "$run/token is not; chown $receiver, chmod 600")"
  else ok "nothing is reported to the centre: there is no $run/token (only a site that has closed its SSH needs one)"
  fi
  verdict "cron starts it as $receiver" "$(grep -q "^[0-9]* \* \* \* \* $receiver $kit/bin/pps-fetch" /etc/cron.d/pps-kit 2>/dev/null || echo "/etc/cron.d/pps-kit does not; install the kit again, or start it in another way")"
fi
if command -v sshd >/dev/null; then
  said=$(sshd -T -C "user=$receiver,host=localhost,addr=127.0.0.1" 2>/dev/null)
  verdict "sshd reads that file, and takes no environment from it" "$(printf '%s\n' "$said" | awk '
    $1 == "authorizedkeysfile" && !/\.ssh\/authorized_keys/ { print "AuthorizedKeysFile is " $2 }
    $1 == "permituserenvironment" && $2 != "no" { print "PermitUserEnvironment is " $2 }
    $1 == "forcecommand" && $2 != "none" { print "ForceCommand is " $2 }' | head -n 1)"
fi
said=$(su -s /bin/sh -c "SSH_ORIGINAL_COMMAND='pps-kit 1 check state' '$kit/bin/pps-receive'" "$receiver" 2>&1 </dev/null)
verdict "the kit answers" "$(case $said in *PPS-STATE-END*) ;; *) echo "$said" | tail -n 1 ;; esac)"
printf '%s\n' "$said" | sed -n 's/^PPS-KIT 1 \(.*\)/       keys in force: \1/p; s/^PPS-CURRENT /       what is current: /p; s/^PPS-PRODUCT /       /p'
exit "$wrong"
