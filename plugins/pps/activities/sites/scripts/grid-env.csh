# Puts this client in front of the production one, in this shell only. Source it from csh or tcsh:
#
#     source <prefix>/etc/profile.d/grid-env.csh
#
# The site's own profile.d first, then the prefix in front; see grid-env.sh, which says why, and libexec/pps-grid-env,
# which says what to do.

# People's aliases of what is called here are put aside meanwhile: csh has no other way round an alias of a builtin. If
# this file is met once more in the site's profile.d, they are aside already.
alias _pps_if "`alias if; alias _pps_if`"
unalias if
alias _pps_set "`alias set; alias _pps_set`"
unalias set
alias _pps_unset "`alias unset; alias _pps_unset`"
unalias unset
alias _pps_setenv "`alias setenv; alias _pps_setenv`"
unalias setenv
alias _pps_unsetenv "`alias unsetenv; alias _pps_unsetenv`"
unalias unsetenv
alias _pps_source "`alias source; alias _pps_source`"
unalias source
alias _pps_eval "`alias eval; alias _pps_eval`"
unalias eval
alias _pps_printenv "`alias printenv; alias _pps_printenv`"
unalias printenv
alias _pps_endif "`alias endif; alias _pps_endif`"
unalias endif
# A site may source this file from its profile.d: once is enough. What a sourcing has left that was interrupted, or ended
# by an error in the site's own scripts, does not count: then none of these files is open around this one.
setenv _pps_open "pid=$$; "'n=0; for process in "$pid" "$PPID"; do m=0; for fd in "/proc/$process/fd"/*; do case $(PATH=/usr/bin:/bin readlink "$fd" 2>/dev/null) in */etc/profile.d/grid-env.csh) m=$((m + 1)) ;; esac; done; [ "$m" -le "$n" ] || n=$m; done; echo "$n"'
if ( $?_pps_in_grid_env ) then
    if ( "0`printenv _pps_open | /bin/sh`" <= "0$_pps_in_grid_env" && "0$_pps_in_grid_env" > 0 ) then
        unset _pps_in_grid_env
        if ( $?_pps_csh ) then
            if ( "$_pps_csh" =~ *noglob ) set noglob
        endif
    endif
endif
if ( ! $?_pps_in_grid_env ) then
    set _pps_in_grid_env = "`printenv _pps_open | /bin/sh`"
    setenv _pps_csh "$$:0"
    # Only tcsh itself knows what is read-only in it.
    if ( $?tcsh ) setenv _pps_csh "$$:`set -r | /bin/sh -fc 'PATH=/usr/bin:/bin grep -c -e ^path[^a-z_] -e ^noglob[^a-z_]'`"
    if ( $?noglob ) setenv _pps_csh "$_pps_csh noglob"
    # csh does not tell a sourced file its name, but holds it open while it reads it
    setenv _pps_find 'unset -f cd command printf pwd read readlink test "[" 2>/dev/null; set +e +f +u; unset CDPATH; how=csh prefix=${PPS_PREFIX-}; case $_pps_csh in vars) how=csh-vars ;; *) best=-1; for fd in /proc/${_pps_csh%%:*}/fd/* /proc/$PPID/fd/*; do target=$(PATH=/usr/bin:/bin readlink "$fd" 2>/dev/null) || continue; case $target in */etc/profile.d/grid-env.csh) [ "${fd##*/}" -gt "$best" ] && best=${fd##*/} prefix=${target%/etc/profile.d/grid-env.csh} ;; esac; done ;; esac; set -- "" "" "${_pps_csh#* }"; case $_pps_csh in *:[1-9]*) echo "grid-env.csh: path or noglob is read-only in this shell; the preview is not set" >&2; how= ;; esac; if [ "$how" ] && [ -f "$prefix/libexec/pps-grid-env" ]; then . "$prefix/libexec/pps-grid-env"; elif [ "$how" != csh-vars ]; then [ -z "$how" ] || echo "grid-env.csh: cannot find its own folder in this shell; setenv PPS_PREFIX to it and source again" >&2; echo "setenv _pps_csh none"; fi'
    eval "`printenv _pps_find | /bin/sh`"
    if ( "$_pps_csh" == vars ) eval "`printenv _pps_find | /bin/sh`"
    unset _pps_in_grid_env
    unsetenv _pps_csh
    unsetenv _pps_find
    unsetenv _pps_open
    if ( "`alias _pps_printenv`" != "" ) alias printenv "`alias _pps_printenv`"
    if ( "`alias _pps_eval`" != "" ) alias eval "`alias _pps_eval`"
    if ( "`alias _pps_source`" != "" ) alias source "`alias _pps_source`"
    if ( "`alias _pps_unsetenv`" != "" ) alias unsetenv "`alias _pps_unsetenv`"
    if ( "`alias _pps_setenv`" != "" ) alias setenv "`alias _pps_setenv`"
    if ( "`alias _pps_unset`" != "" ) alias unset "`alias _pps_unset`"
    if ( "`alias _pps_set`" != "" ) alias set "`alias _pps_set`"
    unalias _pps_set
    unalias _pps_unset
    unalias _pps_setenv
    unalias _pps_unsetenv
    unalias _pps_source
    unalias _pps_eval
    unalias _pps_printenv
endif
# on one line: its aliases are looked up before it is run
if ( ! $?_pps_in_grid_env && "`alias _pps_endif`" != "" ) alias endif "`alias _pps_endif`"; if ( ! $?_pps_in_grid_env ) unalias _pps_endif
if ( ! $?_pps_in_grid_env && "`alias _pps_if`" != "" ) alias if "`alias _pps_if`"; if ( ! $?_pps_in_grid_env ) unalias _pps_if
