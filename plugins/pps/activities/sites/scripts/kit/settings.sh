# Of the kit: what the site's root has laid down in <kit>/etc. Lines `key value`; who may write there may as well be root.

# settings FILE KEY...: each KEY of FILE into the variable of that name; every one must be there, once.
settings() {
  settings_of=$1 seen=' '; shift
  [ -f "$settings_of" ] && [ -r "$settings_of" ] || refuse kit "$settings_of cannot be read: ask the site's root to look at the kit (bin/pps-kit-check)"
  while IFS=' ' read -r setting kept; do
    case $seen in *" $setting "*) refuse kit "$settings_of has $setting twice" ;; esac
    [ -z "$kept" ] || seen="$seen$setting "
    case $setting in
      scheme) scheme=$kept ;; state) state=$kept ;; path) PATH=$kept ;; receiver) receiver=$kept ;;
      keeper) keeper=$kept ;; prober) prober=$kept ;; switch) switch=$kept ;; clock_skew) skew=$kept ;;
      preview_root) preview_root=$kept ;; production_root) production_root=$kept ;; production_check) production_check=$kept ;;
      profile_d) profile_d=$kept ;; tag_dir) tag_dir=$kept ;; subcluster) subcluster=$kept ;; vo) vo=$kept ;;
      packed) packed_policy=$kept ;; unpacked) unpacked_policy=$kept ;; files) files_policy=$kept ;;
      from) from=$kept ;; site) site=$kept ;; run) run=$kept ;; seconds) seconds=$kept ;; keep_days) keep_days=$kept ;;
      report) report=$kept ;;
      signers) first_role=${kept%% *} second_role=${kept##* } ;; start) start=$kept ;;
      ''|'#'*) ;;
      *) refuse kit "$settings_of has a line $setting, which this kit does not know" ;;
    esac
  done <"$settings_of"
  for key do
    case $seen in *" $key "*) ;; *) refuse kit "$settings_of does not say $key" ;; esac
  done
}

the_kit() {
  settings "$kit/etc/kit" path scheme state receiver keeper prober switch clock_skew
  case $scheme in ssh|openssl) ;; *) refuse kit "$kit/etc/kit says scheme $scheme; it is ssh or openssl" ;; esac
  is_number "$skew" || refuse kit "$kit/etc/kit says clock_skew $skew, which is no number of seconds"
}

# the_policy PRODUCT@PLATFORM: what the site wants of it; nothing is taken that has no file here.
the_policy() {
  case $1 in *@*) ;; *) refuse usage "not a product and its platform: $1" ;; esac
  { is_name "${1%%@*}" && is_name "${1#*@}"; } || refuse usage "not a product and its platform: $1"
  policy=$kit/etc/products/$1
  [ -f "$policy" ] || refuse policy "this site does not take $1"
  settings "$policy" preview_root production_root production_check profile_d tag_dir subcluster vo packed unpacked files signers start
  for number in "$packed_policy" "$unpacked_policy" "$files_policy" "$start"; do
    is_number "$number" || refuse kit "$policy has $number where a number must be"
  done
}
