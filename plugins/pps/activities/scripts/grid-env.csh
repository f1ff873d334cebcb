# Puts this client in front of the production one, in this shell only. Source it from csh or tcsh:
#
#     source <prefix>/etc/profile.d/grid-env.csh
#
# The site's own profile.d first, then the prefix in front; see grid-env.sh, which says why.

if ( ! $?_pps_in_grid_env ) then
set _pps_in_grid_env
# csh does not tell a sourced file its name, but holds it open while it reads it
set _pps_prefix = ""
if ( -d /proc/$$/fd ) set _pps_prefix = "`ls -l /proc/$$/fd | sed -n 's|^.* -> \(/.*\)/etc/profile[.]d/grid-env[.]csh.*|\1|p' | tail -n 1`"
if ( "$_pps_prefix" == "" && $?PPS_PREFIX ) then
    # not in one line: csh puts values in before it looks at the condition
    set _pps_prefix = "$PPS_PREFIX"
endif
if ( ! -f "$_pps_prefix/etc/profile.d/grid-env.csh" ) then
    echo "grid-env.csh: cannot find its own folder in this shell; setenv PPS_PREFIX to it and source again"
else

set _pps_site = /etc/profile.d
if ( -r "$_pps_prefix/.pps-site" ) set _pps_site = "`sed -n 1p < "\""$_pps_prefix/.pps-site"\""`"
if ( -d "$_pps_site" ) then
    if ( "`cd "\""$_pps_site"\""; pwd -P`" != "`cd "\""$_pps_prefix/etc/profile.d"\""; pwd -P`" ) then
        set _pps_glob_was_off = 0
        if ( $?nonomatch ) set _pps_glob_was_off = 1
        set nonomatch
        foreach _pps_script ( "$_pps_site"/*.csh )
            if ( -r "$_pps_script" ) source "$_pps_script"
        end
        if ( ! $_pps_glob_was_off ) unset nonomatch
        unset _pps_glob_was_off _pps_script
    endif
endif
unset _pps_site
# settings for this preview alone
if ( -d "$_pps_prefix.local" ) then
    set _pps_glob_was_off = 0
    if ( $?nonomatch ) set _pps_glob_was_off = 1
    set nonomatch
    foreach _pps_script ( "$_pps_prefix.local"/*.csh )
        if ( -r "$_pps_script" ) source "$_pps_script"
    end
    if ( ! $_pps_glob_was_off ) unset nonomatch
    unset _pps_glob_was_off _pps_script
endif

setenv PPS_PREFIX "$_pps_prefix"

foreach _pps_name ( sbin bin )
    if ( -d "$PPS_PREFIX/$_pps_name" && "$PATH" !~ "$PPS_PREFIX/${_pps_name}:"* ) setenv PATH "$PPS_PREFIX/${_pps_name}:$PATH"
end
if ( -d "$PPS_PREFIX/lib" ) then
    if ( ! $?LD_LIBRARY_PATH ) setenv LD_LIBRARY_PATH ""
    if ( "$LD_LIBRARY_PATH" == "" ) then
        setenv LD_LIBRARY_PATH "$PPS_PREFIX/lib"
    else if ( "${LD_LIBRARY_PATH}:" !~ "$PPS_PREFIX/lib:"* ) then
        setenv LD_LIBRARY_PATH "$PPS_PREFIX/lib:$LD_LIBRARY_PATH"
    endif
endif
if ( -d "$PPS_PREFIX/share/man" ) then
    if ( ! $?MANPATH ) setenv MANPATH ""
    if ( "$MANPATH" !~ "$PPS_PREFIX/share/man:"* ) setenv MANPATH "$PPS_PREFIX/share/man:$MANPATH"
endif
if ( -d "$PPS_PREFIX/share/perl5" ) then
    if ( ! $?PERL5LIB ) setenv PERL5LIB ""
    if ( "$PERL5LIB" == "" ) then
        setenv PERL5LIB "$PPS_PREFIX/share/perl5"
    else if ( "${PERL5LIB}:" !~ "$PPS_PREFIX/share/perl5:"* ) then
        setenv PERL5LIB "$PPS_PREFIX/share/perl5:$PERL5LIB"
    endif
endif
foreach _pps_name ( "`find "\""$PPS_PREFIX/lib"\"" -maxdepth 2 -type d -path '*/python3*' \( -name dist-packages -o -name site-packages \) | sort`" )
    if ( "$_pps_name" == "" ) continue
    if ( ! $?PYTHONPATH ) setenv PYTHONPATH ""
    if ( "$PYTHONPATH" == "" ) then
        setenv PYTHONPATH "$_pps_name"
    else if ( ":${PYTHONPATH}:" !~ *":${_pps_name}:"* ) then
        setenv PYTHONPATH "${_pps_name}:$PYTHONPATH"
    endif
end

setenv GLOBUS_LOCATION "$PPS_PREFIX"
if ( -e "$PPS_PREFIX/bin/python3" ) setenv GFAL_PYTHONBIN "$PPS_PREFIX/bin/python3"
if ( -e "$PPS_PREFIX/lib/gfal2-plugins" ) setenv GFAL_PLUGIN_DIR "$PPS_PREFIX/lib/gfal2-plugins"
if ( -e "$PPS_PREFIX/etc/gfal2.d" ) setenv GFAL_CONFIG_DIR "$PPS_PREFIX/etc/gfal2.d"
if ( -e "$PPS_PREFIX/lib/sasl2" ) setenv SASL_PATH "$PPS_PREFIX/lib/sasl2"
if ( -e "$PPS_PREFIX/lib/ossl-modules" ) setenv OPENSSL_MODULES "$PPS_PREFIX/lib/ossl-modules"
if ( -e "$PPS_PREFIX/lib/engines-3" ) setenv OPENSSL_ENGINES "$PPS_PREFIX/lib/engines-3"
if ( ! $?X509_VOMS_DIR && ! -d /etc/grid-security/vomsdir && -e "$PPS_PREFIX/etc/grid-security/vomsdir" ) setenv X509_VOMS_DIR "$PPS_PREFIX/etc/grid-security/vomsdir"
if ( ! $?X509_CERT_DIR && ! -d /etc/grid-security/certificates && -e "$PPS_PREFIX/etc/grid-security/certificates" ) setenv X509_CERT_DIR "$PPS_PREFIX/etc/grid-security/certificates"
if ( ! $?VOMS_USERCONF && ! -e /etc/vomses && -e "$PPS_PREFIX/etc/vomses" ) setenv VOMS_USERCONF "$PPS_PREFIX/etc/vomses"

endif
unset _pps_prefix _pps_name _pps_in_grid_env
endif
