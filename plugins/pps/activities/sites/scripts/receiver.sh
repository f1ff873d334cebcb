#!/bin/sh
#clean-environment
# PPS receiver: installs a client preview at a site, beside the production client.
#
# POSIX sh with find, tar, gzip, awk, sed, sort and coreutils (also busybox). Few processes however many files a preview
# has: a site's login host has other things to do.
#
# What may be seen at any instant, also after kill -9: the old preview or none, never a part of one. Everything
# happens in <preview_root>/.pps/stage.<n>, which is ours alone, is checked there and then renamed.
#
# What is sent, after the answer `full` or `delta BASE`: a line `PPS-PAYLOAD 2 <bytes> <bytes of MANIFEST>` and then so
# many bytes of tar.gz, MANIFEST first. Nothing is unpacked before MANIFEST has the digest that was asked for; it says how
# many bytes and members the rest may have. Those are plain files and symbolic links: folders are made here, and so
# are the hard links to what BASE has.
#include production_digest.sh
#include manifest_check.sh
#include safe_folder.sh
#include receiver_lock.sh
#include receiver_unpack.sh
#include receiver_verbs.sh

usage() {
  cat <<'HELP'
usage: receiver install NAME DIGEST PREVIEW_ROOT PRODUCTION_ROOT PROFILE_D [SECONDS [full|list [names|content]]]
       receiver look NAME DIGEST PREVIEW_ROOT
       receiver remove NAME PREVIEW_ROOT
       receiver --help

install  Prints what is here, reads one line (`full`, or `delta BASE`) and then one tar.gz from standard
         input, checks it against its MANIFEST (sha256 DIGEST) and renames it to PREVIEW_ROOT/NAME.
         PREVIEW_ROOT must be a folder that nobody else may write to.
         SECONDS limits the whole transfer. A preview that is here already is checked again: every file's
         content (full) or only names, modes and sizes (list). So is production: its names, modes, sizes, inodes and
         ctimes (names), or every file's content (content).
look     Checks an installed preview, every file's content: intact, absent or damaged.
remove   Removes a preview; files that others share by hard links stay with them. Busy, not absent, while
         an installer is at work.

PRODUCTION_ROOT is only ever read. Answers are lines `PPS-<WORD> ...`; a failure is one line
`PPS-REFUSE <word> <text>` and exit code 1.
HELP
}

# What only the kit of a site has to say.
payload_is_allowed() { :; }
manifest_is_allowed() { :; }
commit() { :; }

mine='' child='' heart=''
umask 022
exec 5<&0
trap give_back EXIT
trap 'exit 129' HUP INT TERM PIPE
for tool in awk cat cut date find gzip head ls ln mkdir mv rm sed sha256sum sort stat tar tr wc; do
  command -v "$tool" >/dev/null 2>&1 || refuse usage "the account has no $tool: install busybox or coreutils, or correct its PATH"
done
case ${1-} in
  install) shift; install_preview "$@" ;;
  look) shift; look_at_preview "$@" ;;
  remove) shift; remove_preview "$@" ;;
  --help|-h) usage ;;
  *) usage >&2; exit 2 ;;
esac
