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
if ( ! $?_pps_in_grid_env ) then
    set _pps_in_grid_env
    setenv _pps_csh $$
    if ( $?noglob ) setenv _pps_csh "$$ noglob"
    # csh does not tell a sourced file its name, but holds it open while it reads it
    setenv _pps_find 'unset -f cd command printf pwd read readlink test "[" 2>/dev/null; set +e +f +u; unset CDPATH; how=csh prefix=${PPS_PREFIX-}; case $_pps_csh in vars) how=csh-vars ;; *) best=-1; for fd in /proc/${_pps_csh%% *}/fd/* /proc/$PPID/fd/*; do target=$(PATH=/usr/bin:/bin readlink "$fd" 2>/dev/null) || continue; case $target in */etc/profile.d/grid-env.csh) [ "${fd##*/}" -gt "$best" ] && best=${fd##*/} prefix=${target%/etc/profile.d/grid-env.csh} ;; esac; done ;; esac; set -- "" "" "${_pps_csh#* }"; if [ -f "$prefix/libexec/pps-grid-env" ]; then . "$prefix/libexec/pps-grid-env"; elif [ $how = csh ]; then echo "grid-env.csh: cannot find its own folder in this shell; setenv PPS_PREFIX to it and source again" >&2; echo "setenv _pps_csh none"; fi'
    eval "`printenv _pps_find | /bin/sh`"
    if ( "$_pps_csh" == vars ) eval "`printenv _pps_find | /bin/sh`"
    unsetenv _pps_csh
    unsetenv _pps_find
    unset _pps_in_grid_env
    if ( "`alias _pps_printenv`" != "" ) alias printenv "`alias _pps_printenv`"
    if ( "`alias _pps_eval`" != "" ) alias eval "`alias _pps_eval`"
    if ( "`alias _pps_source`" != "" ) alias source "`alias _pps_source`"
    if ( "`alias _pps_unsetenv`" != "" ) alias unsetenv "`alias _pps_unsetenv`"
    if ( "`alias _pps_setenv`" != "" ) alias setenv "`alias _pps_setenv`"
    if ( "`alias _pps_unset`" != "" ) alias unset "`alias _pps_unset`"
    if ( "`alias _pps_set`" != "" ) alias set "`alias _pps_set`"
    if ( "`alias _pps_if`" != "" ) alias if "`alias _pps_if`"
    unalias _pps_if
    unalias _pps_set
    unalias _pps_unset
    unalias _pps_setenv
    unalias _pps_unsetenv
    unalias _pps_source
    unalias _pps_eval
    unalias _pps_printenv
endif
