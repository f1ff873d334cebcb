# Puts this client in front of the production one, in this shell only. Source it from sh, dash, busybox, mksh, bash or
# zsh:
#
#     . <prefix>/etc/profile.d/grid-env.sh
#
# First come the site's own settings (its profile.d), since a preview inherits the local settings of
# the production clients; then the settings for this preview alone, if there are any (<prefix>.local/*.sh);
# then the prefix goes in front. Nothing outside this shell is changed.
#
# People have habits: functions and aliases named like commands, options, an IFS of their own. So nothing is worked
# out here. A /bin/sh of its own does that and says what to do (libexec/pps-grid-env); here it is only done, with
# one variable, which is unset at the end, and with builtins, whatever else has their names.

# A site may source every client's grid-env.sh from its profile.d: once is enough. What an interrupted one has left does
# not count: none of them is being read around this one.
case ${_pps_in_grid_env-} in
?*)
    case ${BASH_VERSION-} in
    ?*) case $((${#BASH_SOURCE[@]} > _pps_in_grid_env)) in 0) _pps_in_grid_env= ;; esac ;;
    *)
        case $(/bin/sh -c 'n=0; for fd in /proc/"$PPID"/fd/*; do case $(PATH=/usr/bin:/bin readlink "$fd" 2>/dev/null) in */etc/profile.d/grid-env.sh) n=$((n + 1)) ;; esac; done; [ "$1" -gt 0 ] && [ "$n" -le "$1" ] && echo alone' sh "$_pps_in_grid_env" 2>/dev/null) in
        alone) _pps_in_grid_env= ;;
        esac
        ;;
    esac
    ;;
esac
case ${_pps_in_grid_env-} in
'')
    # A function named as what we reach all others by is put aside meanwhile. In bash only the special builtins of
    # its POSIX mode go before functions.
    case ${BASH_VERSION:+bash}${ZSH_VERSION:+zsh}${KSH_VERSION-} in
    bash*)
        _pps_builtin=$(POSIXLY_CORRECT=y; \unset -f command; \command declare -f builtin) || _pps_builtin=
        case ${_pps_builtin:+${POSIXLY_CORRECT+posix}.} in
        '') ;;
        posix.) \unset -f builtin ;;
        *)
            # its POSIX mode leaves an option on
            case :$BASHOPTS: in *:inherit_errexit:*) ;; *) _pps_find=off ;; esac
            POSIXLY_CORRECT=y
            \unset -f builtin
            \unset POSIXLY_CORRECT
            case ${_pps_find-} in off) \builtin shopt -u inherit_errexit 2>/dev/null || \builtin : ;; esac
            ;;
        esac
        ;;
    zsh*)
        case $(\unfunction typeset; \typeset -f builtin) in
        ?*)
            _pps_builtin=$(\unfunction typeset; \typeset -f builtin)
            \unfunction builtin
            ;;
        esac 2>/dev/null
        ;;
    *MIRBSD*)
        _pps_builtin=$(\unset -f typeset; \typeset -f builtin) || _pps_builtin=
        case $_pps_builtin in ?*) \unset -f builtin ;; esac
        ;;
    esac
    case ${ZSH_VERSION-} in
    ?*) \builtin typeset -g _pps_find= ;;
    esac
    # sh -c _pps_find HOW FILE FLAGS BASHOPTS IFS PPS_PREFIX IFS-IS-SET DEPTH. Where is FILE? bash and zsh know; other
    # shells hold it open while they read it. zsh shows a name that is not ASCII in its own way. No line ends between
    # quotes: zsh may have csh_junkie_quotes.
    _pps_find='unset -f cd command printf pwd read readlink test "[" 2>/dev/null; '\
'set +e +f +u; '\
'how=$1 file=$2; '\
'if [ ! -e "$file" ]; then '\
'file=; '\
'best=-1; '\
'for fd in "/proc/$PPID/fd"/*; do '\
'target=$(PATH=/usr/bin:/bin readlink "$fd" 2>/dev/null) || continue; '\
'case $target in '\
'*/etc/profile.d/grid-env.sh) [ "${fd##*/}" -gt "$best" ] && best=${fd##*/} file=$target ;; '\
'esac; '\
'done; '\
'fi; '\
'case $file in "" | /*) ;; *) file=./$file ;; esac; '\
'for hop in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do '\
'[ -h "$file" ] || break; '\
'target=$(PATH=/usr/bin:/bin readlink "$file"); '\
'case $target in /*) file=$target ;; *) file=${file%/*}/$target ;; esac; '\
'done; '\
'unset CDPATH; '\
'prefix=; '\
'[ -z "$file" ] || prefix=$(cd -L "${file%/*}/../.." 2>/dev/null && pwd -L); '\
'[ -f "$prefix/libexec/pps-grid-env" ] || prefix=$(cd -P "${file%/*}" 2>/dev/null && cd -P ../.. && pwd -P); '\
'[ -f "$prefix/libexec/pps-grid-env" ] || prefix=$6; '\
'if [ -f "$prefix/libexec/pps-grid-env" ]; then '\
'. "$prefix/libexec/pps-grid-env"; '\
'else '\
'printf "%s\n" "grid-env.sh: cannot find its own folder in this shell; set PPS_PREFIX to it and source again" >&2; '\
'[ "$how" = plain ] && printf "unset _pps_find; false #pps-end" || printf "%s" "\builtin unset _pps_find; \builtin false #pps-end"; '\
'fi'
    if case ${ZSH_VERSION-} in '') (POSIXLY_CORRECT=y; \unset -f builtin; \builtin :) 2>/dev/null ;; esac; then
        case ${ZSH_VERSION-} in
        '') _pps_find=$(/bin/sh -c "$_pps_find" sh builtin "${BASH_SOURCE-}" "$-" "${BASHOPTS-}" "${IFS-}" "${PPS_PREFIX-}" "${IFS+set}" "${BASH_VERSION:+${#BASH_SOURCE[@]}}") || _pps_find= ;;
        *) \builtin eval '_pps_find=$(/bin/sh -c "$_pps_find" sh zsh "${(%):-%x}" "" "" "" "${PPS_PREFIX-}") || _pps_find=' ;;
        esac
        case $_pps_find in
        *'#pps-end') \builtin eval "$_pps_find" ;;
        *) \builtin unset _pps_find; \builtin echo "grid-env.sh: /bin/sh does not run; nothing was set" >&2; \builtin false ;;
        esac
    else
        _pps_find=$(/bin/sh -c "$_pps_find" sh plain "" "$-" "" "${IFS-}" "${PPS_PREFIX-}" "${IFS+set}") || _pps_find=
        case $_pps_find in
        *'#pps-end') \eval "$_pps_find" ;;
        *) \unset _pps_find; \echo "grid-env.sh: /bin/sh does not run; nothing was set" >&2; \false ;;
        esac
    fi
    # Their function comes back, and the status stays.
    case $?:${_pps_builtin+set} in
    0:) ;;
    0:set) \builtin eval "\\builtin unset _pps_builtin; $_pps_builtin" ;;
    *:set) \builtin eval "\\builtin unset _pps_builtin; $_pps_builtin"; [[ -z x ]] ;;
    *) \false ;;
    esac
    ;;
esac
